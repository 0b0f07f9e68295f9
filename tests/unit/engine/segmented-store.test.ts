import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEnvironment } from '../../../engine/lmdb-environment.ts';
import { lmdbSegments, memorySegments } from '../../../engine/lmdb-segments.ts';
import {
  type ChangelogEntry,
  decodeSegmentKey,
  type SegmentBase,
  type ValueCodec,
} from '../../../engine/segment-base.ts';
import { type CheckpointedStore, segmentedStore } from '../../../engine/segmented-store.ts';

interface Count {
  n: number;
}

const codec: ValueCodec<Count> = {
  encode: (value) => Buffer.from(String(value.n)),
  decode: (bytes) => ({ n: Number(Buffer.from(bytes).toString()) }),
};

type Model = Map<string, Map<string, number>>;

const flat = (model: Model) =>
  [...model].flatMap(([segment, keys]) => [...keys].map(([key, n]) => `${segment}/${key}=${n}`)).sort();

const contents = (store: CheckpointedStore<Count>) =>
  store
    .segments()
    .flatMap((segment) => [...store.scan(segment)].map(([key, { n }]) => `${segment}/${key}=${n}`))
    .sort();

/** What a compacted changelog keeps. */
const compact = (log: Map<string, Uint8Array>, entries: readonly ChangelogEntry[]) => {
  for (const { key, value } of entries) {
    if (value === null) log.delete(key.toString('hex'));
    else log.set(key.toString('hex'), value);
  }
};

const logged = (log: Map<string, Uint8Array>) =>
  [...log]
    .map(([hex, value]) => {
      const [segment, key] = decodeSegmentKey(Buffer.from(hex, 'hex'));
      return `${segment}/${key}=${codec.decode(value, segment).n}`;
    })
    .sort();

describe.each(['lmdb', 'memory'] as const)('segmented store over %s', (kind) => {
  let dir: string;
  const bases: SegmentBase[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-segments-'));
  });
  afterEach(async () => {
    for (const base of bases.splice(0)) await base.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const newBase = (name = 'a') => {
    const base = kind === 'lmdb' ? lmdbSegments(openEnvironment({ dir: join(dir, name) })) : memorySegments();
    bases.push(base);
    return base;
  };

  it('reads from the base what left memory, and marks what is changed in place', () => {
    const base = newBase();
    const store = segmentedStore({ base, codec, maxEntries: 0 });
    store.put('s', 'a', { n: 1 });
    store.drainDirty();
    store.checkpoint({ input: '5' });
    const value = store.get('s', 'a');
    expect(value).toEqual({ n: 1 });
    value!.n = 2;
    store.put('s', 'a', value!);
    expect(store.drainDirty().map(({ value: bytes }) => bytes?.toString())).toEqual(['2']);
    store.checkpoint({ input: '6', changelog: '1' });
    expect(segmentedStore({ base, codec }).get('s', 'a')).toEqual({ n: 2 });
    expect(store.positions()).toEqual({ input: '6', changelog: '1' });
  });

  it('writes no tombstone for what the changelog never held', () => {
    const store = segmentedStore({ base: newBase(), codec });
    store.put('s', 'a', { n: 1 });
    store.remove('s', 'a');
    store.put('t', 'a', { n: 1 });
    store.dropSegment('t');
    expect(store.drainDirty()).toEqual([]);
  });

  it('names each dead key of a dropped segment, but not one that was put again', () => {
    const store = segmentedStore({ base: newBase(), codec });
    for (const key of ['a', 'b']) store.put('s', key, { n: 1 });
    store.drainDirty();
    store.checkpoint({});
    store.dropSegment('s');
    expect(store.get('s', 'a')).toBeUndefined();
    store.put('s', 'b', { n: 7 });
    const drained = store.drainDirty().map(({ key, value }) => [...decodeSegmentKey(key), value?.toString()]);
    expect(drained).toEqual([
      ['s', 'a', undefined],
      ['s', 'b', '7'],
    ]);
    store.checkpoint({});
    expect(contents(store)).toEqual(['s/b=7']);
  });

  it('keeps what changes between draining and checkpoint for the next checkpoint', () => {
    const base = newBase();
    const store = segmentedStore({ base, codec, maxEntries: 0 });
    store.put('s', 'a', { n: 1 });
    store.drainDirty();
    store.put('s', 'a', { n: 2 });
    store.put('s', 'b', { n: 3 });
    store.checkpoint({});
    expect([...segmentedStore({ base, codec }).scan('s')]).toEqual([['a', { n: 1 }]]);
    expect(contents(store)).toEqual(['s/a=2', 's/b=3']);
    expect(store.drainDirty()).toHaveLength(2);
  });

  it('refuses to be drained twice, and to mix a changelog with changes', () => {
    const store = segmentedStore({ base: newBase(), codec });
    const misused = expect.objectContaining({ code: 'STORE_MISUSED' });
    store.put('s', 'a', { n: 1 });
    expect(() => store.applyChangelog(Buffer.from('s\0b'), Buffer.from('1'))).toThrow(misused);
    store.drainDirty();
    expect(() => store.drainDirty()).toThrow(misused);
    expect(() => store.put('a\0b', 'a', { n: 1 })).toThrow(misused);
    expect(() => store.applyChangelog(Buffer.from('\0meta'), null)).toThrow();
  });

  const keys = fc.constantFrom('a', 'b', 'c', 'é', '');
  const names = fc.constantFrom('p', 'p|1', 'p|10', 'content');
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant('put' as const), s: names, k: keys, n: fc.nat(99) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), s: names, k: keys }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('drop' as const), s: names }) },
    { weight: 2, arbitrary: fc.constant({ do: 'checkpoint' as const }) },
    { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
    { weight: 1, arbitrary: fc.constant({ do: 'restore' as const }) },
  );

  it('equals two levels of maps over changes, checkpoints, crashes and restores from the changelog', () => {
    let run = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), fc.constantFrom(0, 2, 100), (steps, maxEntries) => {
        run += 1;
        let base = newBase(`run-${run}`);
        let store = segmentedStore({ base, codec, maxEntries });
        let live: Model = new Map();
        let saved: Model = new Map();
        const log = new Map<string, Uint8Array>();
        steps.forEach((at, index) => {
          if (at.do === 'put') {
            store.put(at.s, at.k, { n: at.n });
            const keysOf = live.get(at.s) ?? new Map<string, number>();
            live.set(at.s, keysOf.set(at.k, at.n));
          } else if (at.do === 'remove') {
            store.remove(at.s, at.k);
            live.get(at.s)?.delete(at.k);
          } else if (at.do === 'drop') {
            store.dropSegment(at.s);
            live.delete(at.s);
          } else if (at.do === 'checkpoint') {
            compact(log, store.drainDirty());
            store.checkpoint({ input: String(index) });
            saved = new Map([...live].map(([name, keysOf]) => [name, new Map(keysOf)]));
            expect(logged(log)).toEqual(flat(saved));
          } else {
            if (at.do === 'crash') {
              store.discard();
            } else {
              base = newBase(`run-${run}-${index}`);
              store = segmentedStore({ base, codec, maxEntries });
              for (const [hex, value] of log) store.applyChangelog(Buffer.from(hex, 'hex'), value);
              store.checkpoint({});
            }
            live = new Map([...saved].map(([name, keysOf]) => [name, new Map(keysOf)]));
          }
          expect(contents(store)).toEqual(flat(live));
          for (const name of ['p', 'p|1']) expect(store.get(name, 'a')?.n).toBe(live.get(name)?.get('a'));
        });
      }),
      { seed: 20_240, numRuns: kind === 'lmdb' ? 60 : 300 },
    );
  });
});
