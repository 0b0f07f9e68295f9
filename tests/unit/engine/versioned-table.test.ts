import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { LogRecord } from '../../../engine/log.ts';
import { VersionedRows, VersionedTable } from '../../../engine/versioned-table.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const same = (a: string, b: string) => a === b;

describe('versioned rows', () => {
  it('agree with a list of all versions, whatever comes in whatever order of LSN', () => {
    const row = fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      lsn: fc.bigInt({ min: 0n, max: 12n }),
      value: fc.constantFrom('x', 'y', 'z'),
    });
    const run = (rows: readonly { key: string; lsn: bigint; value: string }[], gap: number) => {
      const table = new VersionedRows<string>(same);
      const kept: { key: string; lsn: bigint; value: string; offset: bigint; first: boolean }[] = [];
      rows.forEach((one, i) => {
        const offset = BigInt(i * gap);
        table.apply(one, offset);
        const before = kept.findLast(({ key }) => key === one.key);
        if (before?.value !== one.value) kept.push({ ...one, offset, first: before === undefined });
      });
      for (const key of ['a', 'b', 'c', 'd']) {
        const versions = kept.filter((one) => one.key === key);
        expect(table.versionsOf(key).at(-1)?.offset).toBe(versions.at(-1)?.offset);
        for (let lsn = -1n; lsn <= 13n; lsn++) {
          const expected = versions.findLast((version) => version.lsn <= lsn) ?? versions[0];
          expect(table.asOf(key, lsn)?.offset).toBe(expected?.offset);
        }
      }
      const changes = kept.filter(({ first }) => !first);
      for (let offset = 0n; offset <= BigInt(rows.length * gap); offset++) {
        const expected = changes.find((change) => change.offset >= offset);
        expect(table.changeFrom(offset)?.version.offset).toBe(expected?.offset);
        expect(table.changeFrom(offset)?.key).toBe(expected?.key);
      }
      expect(table.changesEnd).toBe(changes.length === 0 ? 0n : changes.at(-1)!.offset + 1n);
      expect(table.size).toBe(new Set(rows.map(({ key }) => key)).size);
    };
    fc.assert(fc.property(fc.array(row, { maxLength: 25 }), fc.integer({ min: 1, max: 3 }), run), {
      seed: 3,
      numRuns: 200,
    });
  });

  it('take no version from what says the same, so that a re-snapshot corrects nothing', () => {
    const table = new VersionedRows<string>(same);
    table.apply({ key: 'a', lsn: 1n, value: 'x' }, 0n);
    table.apply({ key: 'a', lsn: 9n, value: 'x' }, 1n);
    expect(table.versionsOf('a').at(-1)).toEqual({ lsn: 1n, offset: 0n, value: 'x' });
    expect(table.changeFrom(0n)).toBeUndefined();
  });
});

const decode = ({ key, value, offset }: LogRecord) =>
  value === null ? null : { key: key!.toString(), lsn: offset, value: value.toString() };

const put = (log: MemoryLog, key: string, value: string | null) =>
  log.append('t', 0, { key: Buffer.from(key), value: value === null ? null : Buffer.from(value) });

const tables: VersionedTable<string>[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const table of tables.splice(0)) await table.close();
});

interface Wiring {
  readonly decode?: (record: LogRecord) => ReturnType<typeof decode>;
  readonly prepare?: () => Promise<void>;
  readonly failed?: (error: unknown) => void;
}

function tableOn(log: MemoryLog, wiring: Wiring = {}): VersionedTable<string> {
  const table = new VersionedTable<string>(log, {
    topic: 't',
    decode,
    prepare: async () => {},
    same,
    failed: () => {},
    ...wiring,
  });
  tables.push(table);
  return table;
}

/** A transaction that is open on the table's topic: visible to the high watermark, to no reader. */
async function openTransaction(log: MemoryLog, key: string, value: string): Promise<() => Promise<void>> {
  const writer = log.writer('capture');
  await writer.fence();
  const batch = writer.batch('t', 0);
  batch.append(Buffer.from(key), Buffer.from(value), 0);
  log.fault = () => 'after-produce';
  const offsets = { group: 'g', topic: 'x', partition: 0, offset: 0n, metadata: '' };
  await expect(writer.commit([batch], offsets)).rejects.toThrow('INJECTED');
  log.fault = () => null;
  return async () => await writer.fence();
}

describe('a versioned table', () => {
  it('holds all there is after its start, tombstones keep the last version, and follows the topic', async () => {
    const log = new MemoryLog();
    put(log, 'a', '1');
    put(log, 'b', '1');
    put(log, 'a', '2');
    put(log, 'b', null);
    const table = tableOn(log);
    let changes = 0;
    table.onChange(() => changes++);
    await table.start();
    expect([table.rows.versionsOf('a').at(-1)?.value, table.rows.versionsOf('b').at(-1)?.value]).toEqual(['2', '1']);
    expect(table.position).toBe(4n);
    const before = changes;
    put(log, 'a', '3');
    await table.barrier();
    expect(table.rows.versionsOf('a').at(-1)?.value).toBe('3');
    expect(table.rows.asOf('a', 2n)?.value).toBe('2');
    await expect.poll(() => changes).toBeGreaterThan(before);
  });

  it('waits at the barrier for a transaction that was open when it was called', async () => {
    const log = new MemoryLog();
    put(log, 'a', '1');
    const table = tableOn(log);
    await table.start();
    const end = await openTransaction(log, 'a', 'aborted');
    let passed = false;
    const barrier = table.barrier().then(() => {
      passed = true;
    });
    put(log, 'a', '2');
    await new Promise((resolve) => setImmediate(resolve));
    expect(passed).toBe(false);
    await end();
    await barrier;
    expect(table.rows.versionsOf('a').at(-1)?.value).toBe('2');
  });

  it('gives up at the barrier after half a minute, and can be started again without reading anything twice', async () => {
    vi.useFakeTimers();
    const log = new MemoryLog();
    put(log, 'a', '1');
    put(log, 'a', '2');
    const end = await openTransaction(log, 'b', '1');
    const table = tableOn(log);
    const started = expect(table.start()).rejects.toMatchObject({ code: 'BARRIER_TIMEOUT', action: 'reconnect' });
    await vi.advanceTimersByTimeAsync(30_000);
    await started;
    await end();
    await table.start();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(table.rows.versionsOf('a').at(-1)).toEqual({ lsn: 1n, offset: 1n, value: '2' });
    expect(table.rows.changeFrom(2n)).toBeUndefined();
  });

  it('reports what it cannot read, to its owner and to everybody who waits', async () => {
    const log = new MemoryLog();
    put(log, 'a', '1');
    const failures: unknown[] = [];
    const table = tableOn(log, {
      decode: (record) => {
        if (record.value?.toString() === 'broken') throw new Error('broken row');
        return decode(record);
      },
      failed: (error) => failures.push(error),
    });
    await table.start();
    put(log, 'a', 'broken');
    await expect(table.barrier()).rejects.toThrow('broken row');
    await expect(table.barrier()).rejects.toThrow('broken row');
    expect(failures).toHaveLength(1);
  });

  it('waits for the schemas of what it reads', async () => {
    const log = new MemoryLog();
    put(log, 'a', '1');
    const order: string[] = [];
    const table = tableOn(log, {
      prepare: async () => {
        await Promise.resolve();
        order.push('prepared');
      },
      decode: (record) => {
        order.push('decoded');
        return decode(record);
      },
    });
    await table.start();
    expect(order).toEqual(['prepared', 'decoded']);
  });

  it('refuses a topic without one total order', async () => {
    const log = new MemoryLog();
    log.partitions = async () => 2;
    await expect(tableOn(log).start()).rejects.toMatchObject({ code: 'TABLE_PARTITIONS', action: 'fatal' });
  });
});
