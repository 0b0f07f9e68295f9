/** Leaderboards that are built when the beginning of the changes is gone already. */
import { expect, it } from 'vitest';
import { memorySegments } from '../../../engine/lmdb-segments.ts';
import { segmentedStore } from '../../../engine/segmented-store.ts';
import { LeaderboardState } from '../../../pipelines/engagement/leaderboard/leaderboard.ts';
import type { Contribution, LeaderboardChange } from '../../../pipelines/engagement/leaderboard/record.ts';
import { type Stored, storedCodec } from '../../../pipelines/engagement/leaderboard/stored.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);

function event(contentId: string, atMs: number, durationMs: number): Contribution {
  const shown = { slug: contentId, title: contentId, contentType: 'video' };
  return { contentId, eventType: 'play', eventTsMicros: atMs * 1_000, durationMs, pctBp: null, ...shown };
}

function change(hours: number, before: Contribution | null, after: Contribution | null): LeaderboardChange {
  return { kind: 'update', lsn: BigInt(hours + 1), commitTs: START + hours * HOUR, before, after };
}

/** An event an hour, each changed half a day after it, each dated up to a day ahead. */
function history(days: number): readonly LeaderboardChange[] {
  const dated = (hour: number) => START + (hour + (hour % 25) - 1) * HOUR;
  return Array.from({ length: days * 24 }, (_, hour) => {
    const insert = change(hour, null, event(`c${hour % 7}`, dated(hour), 1_000));
    const old = hour - 12;
    if (old < 0) return [insert];
    const [before, after] = [1_000, 3_000].map((ms) => event(`c${old % 7}`, dated(old), ms));
    return [insert, change(hour, before!, after!)];
  }).flat();
}

const store = () => segmentedStore<Stored>({ base: memorySegments(), codec: storedCodec });

function boards(state: LeaderboardState): unknown {
  return state.publish({ partition: 0, nextOffset: 0n }).toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

it('takes nothing off that it never added, and shows the same once the log is older than the longest window and a day', () => {
  const changes = history(20);
  // Nine days are kept.
  const kept = changes.filter(({ commitTs }) => commitTs >= START + 11 * 24 * HOUR);
  const whole = new LeaderboardState(store());
  for (const one of changes) whole.apply(one);
  const late = new LeaderboardState(store(), { trimmed: true });
  for (const one of kept) late.apply(one);
  expect(boards(late)).toEqual(boards(whole));
  const careless = new LeaderboardState(store());
  expect(() => {
    for (const one of kept) careless.apply(one);
  }).toThrow(expect.objectContaining({ code: 'CHANGES_INCONSISTENT' }));
});

it('keeps to the same events after a restart', () => {
  const kept = history(20).filter(({ commitTs }) => commitTs >= START + 11 * 24 * HOUR);
  const shared = store();
  const first = new LeaderboardState(shared, { trimmed: true });
  for (const one of kept.slice(0, 5)) first.apply(one);
  const second = new LeaderboardState(shared);
  for (const one of kept.slice(5)) second.apply(one);
  const whole = new LeaderboardState(store(), { trimmed: true });
  for (const one of kept) whole.apply(one);
  expect(boards(second)).toEqual(boards(whole));
});
