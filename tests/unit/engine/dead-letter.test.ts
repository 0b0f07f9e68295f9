import { describe, expect, it } from 'vitest';
import { appendDeadLetter, deadLetterHeaders } from '../../../engine/dead-letter.ts';
import type { LogHeader, LogRecord, OutputBatch } from '../../../engine/log.ts';

const record = (changes: Partial<LogRecord> = {}): LogRecord => ({
  offset: 42n,
  timestampMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  key: Buffer.from('k'),
  value: Buffer.from([0, 0, 0, 1, 2, 9]),
  headers: [],
  ...changes,
});

const letter = { reason: 'UNDECODABLE', message: 'why', stage: 'engagement.enrich', topic: 'in', partition: 3 };

const named = (headers: readonly LogHeader[]) =>
  Object.fromEntries(headers.map(({ key, value }) => [key, Buffer.from(value).toString()]));

describe('the headers of a dead letter', () => {
  it('say what, where, why, and when the record was written', () => {
    expect(named(deadLetterHeaders(record(), letter))).toEqual({
      'sluice.reason': 'UNDECODABLE',
      'sluice.stage': 'engagement.enrich',
      'sluice.message': 'why',
      'sluice.topic': 'in',
      'sluice.partition': '3',
      'sluice.offset': '42',
      'sluice.schema-id': '258',
      'sluice.attempts': '1',
      'sluice.first-at': '2026-01-02T03:04:05.006Z',
      'sluice.last-at': '2026-01-02T03:04:05.006Z',
    });
  });

  it('count the attempts of a redriven record and keep its first time', () => {
    const headers = deadLetterHeaders(record(), letter);
    const again = record({ timestampMs: Date.UTC(2026, 5, 1), offset: 99n, headers });
    const second = deadLetterHeaders(again, { ...letter, reason: 'OTHER' });
    expect(named(second)).toMatchObject({
      'sluice.attempts': '2',
      'sluice.first-at': '2026-01-02T03:04:05.006Z',
      'sluice.last-at': '2026-06-01T00:00:00.000Z',
      'sluice.offset': '99',
      'sluice.reason': 'OTHER',
    });
    const third = deadLetterHeaders({ ...again, headers: second }, letter);
    expect(named(third)['sluice.attempts']).toBe('3');
  });

  it('are the same for the same record, so that a repeated transaction writes the same letter', () => {
    expect(deadLetterHeaders(record(), letter)).toEqual(deadLetterHeaders(record(), letter));
  });

  it.each([
    ['no value', null],
    ['too short', Buffer.from([0, 0, 0, 1])],
    ['another magic byte', Buffer.from([1, 0, 0, 0, 7])],
  ])('name no schema for a value that is not framed: %s', (_, value) => {
    expect(named(deadLetterHeaders(record({ value }), letter))['sluice.schema-id']).toBe('');
  });

  it('bound the message', () => {
    const long = deadLetterHeaders(record(), { ...letter, message: 'x'.repeat(5_000) });
    expect(named(long)['sluice.message']).toHaveLength(1_000);
  });

  it('take a record whose time is not known, or no time at all', () => {
    expect(named(deadLetterHeaders(record({ timestampMs: -1 }), letter))['sluice.last-at']).toBe(
      '1969-12-31T23:59:59.999Z',
    );
    expect(named(deadLetterHeaders(record({ timestampMs: 1e18 }), letter))).toMatchObject({
      'sluice.reason': 'UNDECODABLE',
      'sluice.last-at': '',
    });
  });

  it('begin to count again where a foreign header is no number', () => {
    const headers = [{ key: 'sluice.attempts', value: Buffer.from('many') }];
    expect(named(deadLetterHeaders(record({ headers }), letter))['sluice.attempts']).toBe('1');
  });

  it('keep what an operator record had seen, so that a second redrive looks from there', () => {
    const headers = [{ key: 'sluice.scanned-to', value: Buffer.from('7') }];
    expect(named(deadLetterHeaders(record({ headers }), letter))['sluice.scanned-to']).toBe('7');
  });
});

describe('a letter', () => {
  function written(of: LogRecord) {
    const appended: { key: Uint8Array | null; value: Uint8Array | null; headers: readonly LogHeader[] }[] = [];
    const output: OutputBatch = {
      topic: 'dlq',
      partition: 0,
      count: 0,
      append: (key, value, _, headers = []) => appended.push({ key, value, headers }),
    };
    appendDeadLetter(output, of, letter);
    return { ...appended[0]!, named: named(appended[0]!.headers) };
  }

  it('holds the bytes as they were, 5 MB of them too', () => {
    const value = Buffer.alloc(5 << 20, 1);
    const { key, value: kept, named: headers } = written(record({ value }));
    expect([key, kept]).toEqual([Buffer.from('k'), value]);
    expect(headers).not.toHaveProperty('sluice.truncated');
  });

  it('is never too large for its topic itself: of more than 7 MiB it keeps the beginning and says the size', () => {
    const value = Buffer.alloc(8 << 20, 1);
    const { value: kept, named: headers } = written(record({ value, key: Buffer.alloc(100_000, 2) }));
    expect(kept).toHaveLength(65_536);
    expect(headers['sluice.truncated']).toBe(String(value.length + 100_000));
  });
});
