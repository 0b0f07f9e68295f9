import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { OffsetKind } from '../../../engine/log.ts';
import { ViewStore } from '../../../engine/view-store.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const TOPIC = 'view';

/** A log whose partitions may begin later than at 0. */
class TrimmedLog extends MemoryLog {
  begin = 0n;

  override async offsets(topic: string, partitions: readonly number[], kind: OffsetKind) {
    if (kind === 'earliest') return new Map(partitions.map((partition) => [partition, this.begin]));
    return await super.offsets(topic, partitions, kind);
  }
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-view-'));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true, force: true });
});

const bytes = (text: string) => Buffer.from(text);
const append = (log: MemoryLog, key: string, value: string | null) =>
  log.append(TOPIC, 0, { key: bytes(key), value: value === null ? null : bytes(value) });
const openOn = async (log: MemoryLog) => await ViewStore.open(log, log.reader(), { topic: TOPIC, partition: 0, dir });
const all = (store: ViewStore) => store.scan(Buffer.alloc(0), null, 1_000).map(({ key, value }) => `${key}=${value}`);

/** Opens, looks, closes. */
async function seen(log: MemoryLog): Promise<string[]> {
  const store = await openOn(log);
  try {
    return all(store);
  } finally {
    await store.close();
  }
}

/** What a task does at its commit: the puts become records of the topic, then the store. */
async function commit(log: MemoryLog, store: ViewStore): Promise<void> {
  const writer = log.writer('task');
  await writer.fence();
  const batch = writer.batch(TOPIC, 0);
  store.writeTo(batch);
  const ends = await writer.commit([batch], { group: 'g', topic: 'in', partition: 0, offset: 0n, metadata: '' });
  store.committed(ends.get(`${TOPIC}-0`)!);
}

describe('a view store at its opening', () => {
  it('reads the whole topic the first time, and only what is new after that', async () => {
    const log = new MemoryLog();
    append(log, 'a', '1');
    append(log, 'b', '1');
    append(log, 'a', '2');
    append(log, 'b', null);
    expect(await seen(log)).toEqual(['a=2']);
    append(log, 'c', '3');
    const from: bigint[] = [];
    const reader = log.reader();
    const store = await ViewStore.open(
      log,
      {
        ...reader,
        open: (...at) => {
          from.push(at[2]);
          return reader.open(...at);
        },
      },
      { topic: TOPIC, partition: 0, dir },
    );
    expect(from).toEqual([4n]);
    expect(all(store)).toEqual(['a=2', 'c=3']);
    await store.close();
  });

  it('begins again when its position is before the topic: tombstones may be gone', async () => {
    const log = new TrimmedLog();
    append(log, 'gone', '1');
    expect(await seen(log)).toEqual(['gone=1']);
    append(log, 'gone', null);
    append(log, 'a', '1');
    log.begin = 2n;
    expect(await seen(log)).toEqual(['a=1']);
  });

  it('begins again when its position is beyond the topic: that is another topic', async () => {
    const old = new MemoryLog();
    for (let i = 0; i < 9; i++) append(old, `k${i}`, '1');
    expect(await seen(old)).toHaveLength(9);
    const young = new MemoryLog();
    append(young, 'a', '1');
    expect(await seen(young)).toEqual(['a=1']);
  });

  it('begins again when it was last written half a day ago, and not before', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const log = new TrimmedLog();
    append(log, 'gone', '1');
    expect(await seen(log)).toEqual(['gone=1']);
    // What compaction leaves when it has dropped both the entry and its tombstone.
    const young = new MemoryLog();
    young.append(TOPIC, 0, { key: null, value: bytes('x') });
    append(young, 'a', '1');
    vi.setSystemTime(Date.now() + 11 * 3_600_000);
    expect(await seen(young)).toEqual(['a=1', 'gone=1']);
    vi.setSystemTime(Date.now() + 13 * 3_600_000);
    expect(await seen(young)).toEqual(['a=1']);
  });

  it('leaves the folder closed when the topic cannot be read', async () => {
    const log = new MemoryLog();
    append(log, 'a', '1');
    const broken = {
      ...log.reader(),
      open: () => {
        throw new Error('reader');
      },
    };
    await expect(ViewStore.open(log, broken, { topic: TOPIC, partition: 0, dir })).rejects.toThrow('reader');
    expect(await seen(log)).toEqual(['a=1']);
  });
});

describe('the overlay of a view store', () => {
  it('is what `get` sees, not what `scan` sees, until it is committed', async () => {
    const log = new MemoryLog();
    append(log, 'a', '1');
    append(log, 'b', '1');
    const store = await openOn(log);
    store.put(bytes('a'), bytes('2'), 0);
    store.put(bytes('b'), null, 0);
    store.put(bytes('c'), bytes('1'), 0);
    expect(store.dirty).toBe(true);
    expect([store.get(bytes('a'))?.toString(), store.get(bytes('b')), store.get(bytes('c'))?.toString()]).toEqual([
      '2',
      undefined,
      '1',
    ]);
    expect(all(store)).toEqual(['a=1', 'b=1']);
    await commit(log, store);
    expect(store.dirty).toBe(false);
    expect(all(store)).toEqual(['a=2', 'c=1']);
    await store.close();
    expect(await seen(log)).toEqual(['a=2', 'c=1']);
    expect(log.compacted(TOPIC, 0).size).toBe(2);
  });

  it('is lost with the task that held it', async () => {
    const log = new MemoryLog();
    append(log, 'a', '1');
    const store = await openOn(log);
    store.put(bytes('a'), bytes('2'), 0);
    await store.close();
    expect(await seen(log)).toEqual(['a=1']);
  });

  it('writes one record per key, the newest, with its time', async () => {
    const log = new MemoryLog();
    const store = await openOn(log);
    store.put(bytes('a'), bytes('1'), 5);
    store.put(bytes('a'), bytes('2'), 6);
    await commit(log, store);
    const records = log.records(TOPIC, 0).map(({ value, timestampMs }) => [value!.toString(), timestampMs]);
    expect(records).toEqual([['2', 6]]);
    await store.close();
  });

  it('copies keys and values, so that the caller may use its buffers again', async () => {
    const log = new MemoryLog();
    const store = await openOn(log);
    const key = bytes('key');
    const value = bytes('value');
    store.put(key, value, 0);
    key.fill(0);
    value.fill(0);
    await commit(log, store);
    expect(all(store)).toEqual(['key=value']);
    await store.close();
  });
});

describe('values of a view store', () => {
  it('have the length and the bytes that were put, short after long', async () => {
    const log = new MemoryLog();
    append(log, 'long', 'x'.repeat(5_000));
    append(log, 'short', 'y');
    const store = await openOn(log);
    const long = Buffer.from(store.get(bytes('long'))!);
    const short = store.get(bytes('short'))!;
    expect(short.length).toBe(1);
    expect(Buffer.concat([short]).toString()).toBe('y');
    expect(short.equals(bytes('y'))).toBe(true);
    expect(long.toString()).toBe('x'.repeat(5_000));
    // Putting a view of the store's own buffer back must not see later reads.
    store.put(bytes('copy'), store.get(bytes('long'))!, 0);
    store.get(bytes('short'));
    expect(store.get(bytes('copy'))!.toString()).toBe('x'.repeat(5_000));
    await store.close();
  });
});

describe('scanning a view store', () => {
  it('pages through binary keys in byte order, each entry once, whatever the page size', async () => {
    const keyBytes = fc.uint8Array({ minLength: 1, maxLength: 4 }).map((key) => Buffer.from(key));
    const prefix = fc.constantFrom(Buffer.alloc(0), Buffer.from([0]), Buffer.from([0xff]), Buffer.from([7, 0]));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(prefix, keyBytes), { maxLength: 30 }),
        prefix,
        fc.integer({ min: 1, max: 6 }),
        async (entries, of, limit) => {
          const log = new MemoryLog();
          const keys = entries.map(([head, tail]) => Buffer.concat([head, tail]));
          for (const key of keys) log.append(TOPIC, 0, { key, value: key });
          const folder = join(dir, `scan-${run++}`);
          const store = await ViewStore.open(log, log.reader(), { topic: TOPIC, partition: 0, dir: folder });
          const found: string[] = [];
          let after: Buffer | null = null;
          for (;;) {
            const page = store.scan(of, after, limit);
            for (const { key, value } of page) {
              expect(value.equals(key)).toBe(true);
              found.push(key.toString('hex'));
            }
            if (page.length < limit) break;
            after = page.at(-1)!.key;
          }
          await store.close();
          const wanted = keys.filter((key) => key.subarray(0, of.length).equals(of)).map((key) => key.toString('hex'));
          expect(found).toEqual([...new Set(wanted)].sort());
        },
      ),
      { seed: 5, numRuns: 40 },
    );
  });

  it('gives backwards what it gives forwards', async () => {
    const log = new MemoryLog();
    for (const key of ['a1', 'b1', 'b2', 'b4', 'c1']) append(log, key, '1');
    const store = await openOn(log);
    const back = (before: string, limit: number) =>
      store.scanBack(bytes('b'), bytes(before), limit).map(({ key }) => key.toString());
    expect(back('b9', 9)).toEqual(['b4', 'b2', 'b1']);
    expect(back('b4', 9)).toEqual(['b2', 'b1']);
    expect(back('b3', 1)).toEqual(['b2']);
    expect(back('b1', 9)).toEqual([]);
    await store.close();
  });

  it('goes on behind a key that has been removed since', async () => {
    const log = new MemoryLog();
    for (const key of ['a', 'b', 'c']) append(log, key, '1');
    const store = await openOn(log);
    store.put(bytes('b'), null, 0);
    await commit(log, store);
    expect(store.scan(Buffer.alloc(0), bytes('b'), 9).map(({ key }) => key.toString())).toEqual(['c']);
    await store.close();
  });
});

describe('a view store with an order of its own', () => {
  const backwards = {
    name: 'backwards',
    keyOf: (key: Buffer) => Buffer.from(key).reverse(),
  };
  const openWith = async (log: MemoryLog, order?: typeof backwards) =>
    await ViewStore.open(log, log.reader(), { topic: TOPIC, partition: 0, dir, order });

  it('answers by the keys of the topic, scans by its own, and writes those of the topic', async () => {
    const log = new MemoryLog();
    for (const key of ['a2', 'b1', 'c2']) append(log, key, key);
    const store = await openWith(log, backwards);
    const scanned = (prefix: string) => store.scan(bytes(prefix), null, 9).map(({ key, value }) => `${key}=${value}`);
    expect(scanned('2')).toEqual(['2a=a2', '2c=c2']);
    store.put(bytes('b2'), bytes('new'), 0);
    store.put(bytes('c2'), null, 0);
    await commit(log, store);
    expect(scanned('2')).toEqual(['2a=a2', '2b=new']);
    expect(scanned('')).toEqual(['1b=b1', '2a=a2', '2b=new']);
    expect([store.get(bytes('b2'))?.toString(), store.get(bytes('c2')), store.get(bytes('2b'))]).toEqual([
      'new',
      undefined,
      undefined,
    ]);
    expect([...log.compacted(TOPIC, 0).keys()].sort()).toEqual(['a2', 'b1', 'b2']);
    await store.close();
  });

  it('is made anew when it was kept in another order', async () => {
    const log = new MemoryLog();
    for (const key of ['a2', 'b1']) append(log, key, key);
    await (await openWith(log)).close();
    const ordered = await openWith(log, backwards);
    expect(all(ordered)).toEqual(['1b=b1', '2a=a2']);
    await ordered.close();
    expect(await seen(log)).toEqual(['a2=a2', 'b1=b1']);
  });
});
