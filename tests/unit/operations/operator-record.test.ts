import { describe, expect, it } from 'vitest';
import type { LogHeader, LogRecord } from '../../../engine/log.ts';
import { OperatorGuard } from '../../../pipelines/operations/operator-guard.ts';
import {
  changePosition,
  operatorHeaders,
  operatorRecord,
  rowOfKey,
} from '../../../pipelines/operations/operator-record.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const TOPIC = 'captured';
const operator = { origin: 'backfill', runId: 'r1', scannedTo: 7n, force: true } as const;

function record(headers: readonly LogHeader[], offset = 9n, key: Buffer | null = Buffer.from('k')): LogRecord {
  return { offset, timestampMs: 0, key, value: Buffer.from('v'), headers };
}

const header = (key: string, value: string): LogHeader => ({ key, value: Buffer.from(value) });

describe('operatorRecord', () => {
  it('reads what operatorHeaders wrote', () => {
    expect(operatorRecord(record(operatorHeaders(operator)))).toEqual(operator);
    expect(operatorRecord(record(operatorHeaders({ ...operator, force: false })))).toEqual({
      ...operator,
      force: false,
    });
  });

  it('leaves captured records alone, whatever else their headers say', () => {
    expect(operatorRecord(record([]))).toBeNull();
    expect(operatorRecord(record([header('trace', '1')]))).toBeNull();
  });

  it.each([
    ['an origin nobody knows', record([header('sluice.origin', 'magic'), header('sluice.scanned-to', '1')])],
    ['no position', record([header('sluice.origin', 'repair')])],
    ['a position that is no number', record([header('sluice.origin', 'repair'), header('sluice.scanned-to', '-1')])],
    ['a position behind itself', record(operatorHeaders(operator), 6n)],
    ['no key', record(operatorHeaders(operator), 9n, null)],
  ])('dead-letters a record with %s', (_, bad) => {
    const refusal = expect.objectContaining({ code: 'BAD_OPERATOR_RECORD', action: 'dead-letter' });
    expect(() => operatorRecord(bad)).toThrow(refusal);
  });

  it('stands in front of what it has not seen', () => {
    expect(changePosition(record([]))).toBe(9n);
    expect(changePosition(record(operatorHeaders(operator)))).toBe(6n);
  });

  it('names a row without the schema id of its key', () => {
    const key = (id: number) => Buffer.from([0, 0, 0, 0, id, 65, 66]);
    expect(rowOfKey(key(1))).toBe(rowOfKey(key(2)));
    expect(rowOfKey(key(1))).toBe('AB');
    expect(rowOfKey(Buffer.from('{"id":1}'))).toBe('{"id":1}');
  });
});

describe('OperatorGuard', () => {
  const key = Buffer.from('row');
  const write = (log: MemoryLog, headers: readonly LogHeader[] = [], of = key) =>
    log.append(TOPIC, 0, { key: of, value: Buffer.from('x'), headers });
  const seen = (scannedTo: bigint) => operatorHeaders({ origin: 'redrive', runId: 'r', scannedTo, force: false });

  async function verdicts(log: MemoryLog, records = log.records(TOPIC, 0)) {
    const guard = new OperatorGuard({ client: log, reader: log.reader(), topic: TOPIC, maxBehind: 10n });
    await guard.prepare(records, 0);
    return (offset: bigint) => guard.verdict(0, offset);
  }

  it('finds the change of the row that a command cannot have seen, and no other', async () => {
    const log = new MemoryLog();
    write(log);
    write(log, seen(1n));
    write(log, [], Buffer.from('another row'));
    write(log, seen(2n));
    write(log);
    write(log, seen(4n));
    write(log, seen(5n));
    const verdict = await verdicts(log);
    expect([1n, 3n, 5n, 6n].map(verdict)).toEqual(['newest', 'newest', 'superseded', 'newest']);
  });

  it('takes of two operator records of a row the one that has seen more, in either order', async () => {
    const log = new MemoryLog();
    for (let i = 0; i < 4; i++) write(log, [], Buffer.from('other'));
    write(log, seen(2n));
    write(log, seen(4n));
    write(log, seen(3n));
    const verdict = await verdicts(log);
    expect([4n, 5n, 6n].map(verdict)).toEqual(['newest', 'newest', 'superseded']);
  });

  it('does not guess when it would have to look through too much', async () => {
    const log = new MemoryLog();
    for (let i = 0; i <= 10; i++) write(log, [], Buffer.from('other'));
    write(log, seen(0n));
    write(log, seen(10n));
    const verdict = await verdicts(log, log.records(TOPIC, 0).slice(-2));
    expect([11n, 12n].map(verdict)).toEqual(['unknown', 'newest']);
  });

  it('knows only the batch that was prepared last', async () => {
    const log = new MemoryLog();
    write(log, seen(0n));
    const guard = new OperatorGuard({ client: log, reader: log.reader(), topic: TOPIC });
    await guard.prepare(log.records(TOPIC, 0), 0);
    await guard.prepare([], 0);
    expect(() => guard.verdict(0, 0n)).toThrow(expect.objectContaining({ code: 'OPERATOR_RECORD_NOT_PREPARED' }));
  });
});
