import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySegments } from '../../../engine/lmdb-segments.ts';
import { segmentedStore } from '../../../engine/segmented-store.ts';
import { LeaderboardState } from '../../../pipelines/engagement/leaderboard/leaderboard.ts';
import type { Contribution, LeaderboardChange } from '../../../pipelines/engagement/leaderboard/record.ts';
import { storedCodec } from '../../../pipelines/engagement/leaderboard/stored.ts';
import { History, SMALL_WINDOWS, type Step, step } from './history.ts';
import { expectedOutput } from './model.ts';
import { Simulation } from './simulation.ts';

const entries = (output: ReadonlyMap<string, unknown>) => Object.fromEntries([...output].sort());

type Steps = readonly Step[];

/** Runs the steps; after each committed transaction the compacted output must be the model's. */
function checkHistory(steps: Steps, rulesMayChange: boolean): void {
  const rules = { windows: SMALL_WINDOWS, minSamples: 2, reserve: 1 };
  const simulation = new Simulation({ ...rules, limit: 2 });
  const history = new History();
  let limit = 2;
  // A change of rules is only known to the successor from the first checkpoint under them on.
  let rulesStored = false;
  const finish = { do: 'commit' as const, checkpoint: true, crash: undefined, loseBase: false, limit: null };
  for (const at of [...steps, { do: 'mark' as const, tick: 1 }, finish]) {
    if (at.do !== 'commit') {
      simulation.input.push(...history.next(at));
      continue;
    }
    const before = simulation.committed;
    simulation.transaction(at.checkpoint, at.crash);
    if (simulation.committed > before) {
      const changes = simulation.input.slice(0, simulation.committed);
      const expected = expectedOutput(changes, { windows: SMALL_WINDOWS, limit, minSamples: 2 });
      expect(entries(simulation.output)).toEqual(entries(expected));
    }
    if (!rulesMayChange) expect(simulation.needlessTombstones).toBe(0);
    rulesStored ||= at.checkpoint && simulation.committed > before;
    if (at.crash === undefined) continue;
    if (rulesMayChange && rulesStored && at.limit !== null && at.limit !== limit) {
      limit = at.limit;
      rulesStored = false;
    }
    simulation.options = { ...rules, limit };
    simulation.restart(at.loseBase);
  }
}

describe('leaderboard against brute force', () => {
  const histories = fc.array(step, { minLength: 5, maxLength: 90, size: 'max' });

  it('publishes the boards of the live rows, over any history, time jump, batch split, crash and restore', () => {
    fc.assert(
      fc.property(histories, (steps) => checkHistory(steps, false)),
      { seed: 2_026, numRuns: 500 },
    );
  }, 30_000);

  it('takes up other rules at a restart', () => {
    fc.assert(
      fc.property(histories, (steps) => checkHistory(steps, true)),
      { seed: 2_027, numRuns: 500 },
    );
  }, 30_000);
});

describe('LeaderboardState', () => {
  const T = Date.parse('2026-03-01T12:00:00Z');
  const event = (contentId: string, at: number, more: Partial<Contribution> = {}): Contribution => ({
    contentId,
    eventType: 'play',
    eventTsMicros: at * 1_000,
    durationMs: 1_000,
    pctBp: 500,
    slug: contentId,
    title: contentId,
    contentType: 'video',
    ...more,
  });
  const insert = (after: Contribution, commitTs = T): LeaderboardChange => ({
    kind: 'insert',
    lsn: 1n,
    commitTs,
    before: null,
    after,
  });
  const fresh = () =>
    new LeaderboardState(segmentedStore({ base: memorySegments(), codec: storedCodec }), { limit: 100 });
  const publish = (state: LeaderboardState) => state.publish({ partition: 0, nextOffset: 1n });
  const keys = (state: LeaderboardState) => publish(state).map(({ kind, key }) => `${kind} ${key}`);

  it('stamps each window after its entries, and publishes nothing when nothing came', () => {
    const state = fresh();
    state.apply(insert(event('a', T)));
    expect(keys(state)).toEqual(
      ['10m', '1h', '1d', '1w'].flatMap((window) => [`upsert ${window}|a`, `upsert ${window}|`]),
    );
    expect(publish(state)).toEqual([]);
  });

  it('counts an event that is late for one window in the longer ones, and takes it off nowhere else', () => {
    const state = fresh();
    const late = event('a', T - 30 * 60_000);
    state.apply(insert(late));
    expect(keys(state).filter((key) => key.endsWith('a'))).toEqual(['upsert 1h|a', 'upsert 1d|a', 'upsert 1w|a']);
    state.apply({ kind: 'delete', lsn: 2n, commitTs: T, before: late, after: null });
    expect(keys(state).filter((key) => key.endsWith('a'))).toEqual([
      'tombstone 1h|a',
      'tombstone 1d|a',
      'tombstone 1w|a',
    ]);
  });

  it('lets a future event wait until stream time comes to its pane', () => {
    const state = fresh();
    state.apply(insert(event('a', T + 60_000)));
    expect(keys(state)).not.toContain('upsert 10m|a');
    state.advance(T + 59_999);
    expect(keys(state)).not.toContain('upsert 10m|a');
    state.advance(T + 60_000);
    expect(keys(state)).toContain('upsert 10m|a');
  });

  it('refills the hundredth place when a retraction empties it', () => {
    const state = fresh();
    const rows = Array.from({ length: 101 }, (_, n) => event(`c${String(n).padStart(3, '0')}`, T));
    for (const row of rows) state.apply(insert(row));
    expect(keys(state)).not.toContain('upsert 1h|c000');
    state.apply({ kind: 'delete', lsn: 2n, commitTs: T, before: rows[50]!, after: null });
    const changes = keys(state);
    expect(changes).toContain('upsert 1h|c000');
    expect(changes).toContain('tombstone 1h|c050');
  });

  it('keeps the newest names when a row is taken back to older ones to be deleted as it was', () => {
    const state = fresh();
    const [old, now] = ['old', 'now'].map((title) => event('a', T, { title })) as [Contribution, Contribution];
    state.apply(insert(old));
    state.apply(insert(old));
    const correct = { kind: 'correct', lsn: 9n, commitTs: T } as const;
    state.apply({ ...correct, before: old, after: now });
    state.apply({ ...correct, before: old, after: now });
    // Deleted at position 5: enrich has read the content's change at 9 first.
    state.apply({ ...correct, before: now, after: old });
    state.apply({ kind: 'delete', lsn: 5n, commitTs: T, before: old, after: null });
    const titles = publish(state).flatMap((output) =>
      output.kind === 'upsert' && output.value.body.kind === 'LeaderboardEntry' ? [output.value.body.title] : [],
    );
    expect(titles).toEqual(['now', 'now', 'now', 'now']);
  });

  it('does not move stream time backwards', () => {
    const state = fresh();
    state.advance(T);
    state.apply(insert(event('a', T), T - 3_600_000));
    expect(state.streamTime).toBe(T);
  });

  it('takes off what a predecessor without a store has left in the output', () => {
    const state = fresh();
    state.assumePublished('1h', 'gone');
    state.assumePublished('1h', 'a');
    state.assumePublished('1h', '');
    state.apply(insert(event('a', T)));
    const changes = keys(state);
    expect(changes).toContain('tombstone 1h|gone');
    expect(changes).toContain('upsert 1h|a');
    state.advance(T + 10_000);
    expect(keys(state)).not.toContain('tombstone 1h|gone');
  });

  it('refuses to take off what was never added', () => {
    const state = fresh();
    expect(() => state.apply({ kind: 'delete', lsn: 1n, commitTs: T, before: event('a', T), after: null })).toThrow(
      expect.objectContaining({ code: 'CHANGES_INCONSISTENT', action: 'fatal' }),
    );
  });

  it('forgets contents that are in no pane any more', () => {
    const store = segmentedStore({ base: memorySegments(), codec: storedCodec });
    const state = new LeaderboardState(store);
    state.apply(insert(event('a', T)));
    publish(state);
    expect([...store.scan('content')]).toHaveLength(1);
    state.advance(T + 8 * 86_400_000);
    publish(state);
    expect([...store.scan('content')]).toEqual([]);
    expect(store.segments().filter((name) => name.includes('|'))).toEqual([]);
  });
});
