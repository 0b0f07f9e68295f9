import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uuidText } from '../../../pipelines/engagement/traffic/catalogue.ts';
import { Traffic, type TrafficBatch, type TrafficOptions } from '../../../pipelines/engagement/traffic/traffic.ts';
import { Zipf } from '../../../pipelines/engagement/traffic/zipf.ts';
import { Random } from '../../../pipelines/random.ts';

const NOW = Date.UTC(2026, 0, 2) * 1_000;
const OPTIONS: TrafficOptions = {
  seed: 42,
  contents: 200,
  updates: 8,
  deletes: 2,
  late: 3,
  contentEditsPerMinute: 60,
};

const ids = (first: number, count: number) => BigInt64Array.from({ length: count }, (_, n) => BigInt(first + n));

/** The state of the rows after a batch, as Postgres would hold it. */
function apply(rows: Map<bigint, Record<string, unknown>>, batch: TrafficBatch): void {
  const { inserts } = batch;
  for (let at = 0; at < inserts.count; at += 1) {
    rows.set(inserts.ids[at]!, {
      content: inserts.content[at],
      user: inserts.user[at],
      type: inserts.type[at],
      eventMicros: inserts.eventMicros[at],
      durationMs: inserts.durationMs[at]! < 0 ? null : inserts.durationMs[at],
      device: inserts.device[at],
      payload: inserts.payload[at],
    });
  }
  for (const [id, change] of batch.updates) {
    if (rows.has(id)) rows.set(id, { ...rows.get(id), ...change });
  }
  for (const id of batch.deletes) rows.delete(id);
}

function rowsAfter(cuts: readonly number[], options: TrafficOptions = OPTIONS): Map<bigint, Record<string, unknown>> {
  const traffic = new Traffic(options, NOW);
  const rows = new Map<bigint, Record<string, unknown>>();
  let first = 1;
  for (const count of cuts) {
    apply(rows, traffic.next(ids(first, count), NOW));
    first += count;
  }
  return rows;
}

describe('traffic', () => {
  it('is the same for the same seed and another for another', () => {
    expect(rowsAfter([2_000])).toEqual(rowsAfter([2_000]));
    expect(rowsAfter([2_000], { ...OPTIONS, seed: 43 })).not.toEqual(rowsAfter([2_000]));
  });

  it('leaves the same rows however it is cut into batches', () => {
    const whole = rowsAfter([1_500]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_499 }), fc.integer({ min: 1, max: 1_499 }), (a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        expect(rowsAfter([low, high - low, 1_500 - high])).toEqual(whole);
      }),
      { seed: 7, numRuns: 15 },
    );
  });

  it('never touches a row that is not there', () => {
    const traffic = new Traffic({ ...OPTIONS, updates: 60, deletes: 40, existingIds: [9_001n, 9_002n] }, NOW);
    const alive = new Set([9_001n, 9_002n]);
    for (let first = 1; first < 3_000; first += 500) {
      const batch = traffic.next(ids(first, 500), NOW);
      for (const id of batch.inserts.ids) alive.add(id);
      for (const id of batch.updates.keys()) expect(alive.has(id)).toBe(true);
      for (const id of batch.deletes) expect(alive.delete(id)).toBe(true);
    }
  });

  it('brings the shares that were asked for', () => {
    const traffic = new Traffic(OPTIONS, NOW);
    const count = 20_000;
    const batch = traffic.next(ids(1, count), NOW);
    const { inserts } = batch;
    const late = inserts.eventMicros.filter((micros) => NOW - micros > 60e6);
    expect(batch.deletes).toHaveLength(400);
    // Two changes of one row are one change.
    expect(batch.updates.size).toBeGreaterThan(1_400);
    expect(batch.updates.size).toBeLessThanOrEqual(1_600);
    expect(late.length / count).toBeCloseTo(0.03, 2);
    expect(Math.min(...late)).toBeLessThan(NOW - 3 * 86_400e6);
    expect(inserts.eventMicros.every((micros) => micros <= NOW)).toBe(true);
    const share = (column: ArrayLike<number>, value: number) =>
      Array.from(column).filter((item) => item === value).length / count;
    expect(share(inserts.durationMs, -1)).toBeGreaterThan(0.05);
    expect(share(inserts.durationMs, -1)).toBeLessThan(0.4);
    expect(share(inserts.device, -1)).toBeCloseTo(0.035, 2);
    for (const type of [0, 1, 2, 3]) expect(share(inserts.type, type), `type ${type}`).toBeGreaterThan(0.05);
    expect(traffic.contents.some((content) => content.lengthSeconds === null)).toBe(true);
  });

  it('updates durations, also to NULL, times and contents', () => {
    const batch = new Traffic({ ...OPTIONS, updates: 50 }, NOW).next(ids(1, 5_000), NOW);
    const changes = [...batch.updates.values()];
    expect(changes.some((change) => change.durationMs === null)).toBe(true);
    expect(changes.some((change) => typeof change.durationMs === 'number')).toBe(true);
    expect(changes.some((change) => change.eventMicros !== undefined)).toBe(true);
    expect(changes.some((change) => change.content !== undefined)).toBe(true);
  });

  it('edits contents by virtual time, and keeps slugs unique', () => {
    const traffic = new Traffic(OPTIONS, NOW);
    let edits = 0;
    for (let second = 1; second <= 120; second += 1) {
      edits += traffic.next(ids(second, 1), NOW + second * 1e6).contentEdits.size;
    }
    expect(edits).toBe(120);
    expect(new Set(traffic.contents.map((content) => content.slug)).size).toBe(OPTIONS.contents);
  });

  it('keeps to bounded memory: rows of long ago are sampled, not all kept', () => {
    const traffic = new Traffic({ ...OPTIONS, contents: 10, deletes: 0, updates: 10 }, NOW);
    let oldest = 1n << 60n;
    for (let first = 1; first <= 300_000; first += 10_000) {
      const batch = traffic.next(ids(first, 10_000), NOW);
      if (first < 290_000) continue;
      for (const id of batch.updates.keys()) if (id < oldest) oldest = id;
    }
    expect(oldest).toBeLessThan(150_000n);
  });
});

describe('its parts', () => {
  it('make version 4 UUIDs', () => {
    const traffic = new Traffic(OPTIONS, NOW);
    for (const content of traffic.contents) {
      expect(uuidText(content.id)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    expect(new Set(traffic.users.map(uuidText)).size).toBe(traffic.users.length);
  });

  it('pick by the law of Zipf', () => {
    const random = new Random(1, 'test');
    const zipf = new Zipf(50, 1);
    const seen = new Array<number>(50).fill(0);
    const draws = 100_000;
    for (let n = 0; n < draws; n += 1) seen[zipf.pick(random)]! += 1;
    const harmonic = seen.reduce((sum, _, rank) => sum + 1 / (rank + 1), 0);
    for (const rank of [0, 1, 4, 20, 49]) {
      expect(seen[rank]! / draws, `rank ${rank}`).toBeCloseTo(1 / (rank + 1) / harmonic, 2);
    }
  });

  it('draw separate sequences from one seed', () => {
    const draw = (stream: string) => Array.from({ length: 4 }, () => new Random(5, stream).uint32());
    expect(draw('a')).toEqual(draw('a'));
    expect(draw('a')).not.toEqual(draw('b'));
  });
});
