/** Boards that differ while the rows are right: their sink writes them anew from the compacted topic, under its own fence. */
import { type Forgotten, rebuilds } from '../../../connectors/redis/forget.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { Deadline, until } from '../../operations/reconcile/deadline.ts';
import { partitionOf } from '../partition.ts';
import type { BoardWindow, PlaceDifference } from '../reconcile/boards.ts';
import { leaderboardName } from '../redis-boards.ts';

export interface BoardRepair {
  readonly redisUrl: string;
  readonly partitions: number;
  readonly deadlineSeconds: number;
}

/** Returns the windows that were not put into place in time: is the sink running? */
export async function rebuildBoards(
  { redisUrl, partitions, deadlineSeconds }: BoardRepair,
  places: ReadonlyMap<BoardWindow, readonly PlaceDifference[]>,
): Promise<readonly BoardWindow[]> {
  const redis = rebuilds({ url: redisUrl });
  const asked = [...places].flatMap(([window, wrong]): { window: BoardWindow; forgotten: Forgotten }[] => {
    if (wrong.length === 0) return [];
    const affected = [...new Set(wrong.map(({ contentId }) => partitionOf(contentId, partitions)))];
    const strays = wrong.flatMap(({ contentId, stray }) => (stray ? [contentId] : []));
    return [{ window, forgotten: { leaderboard: leaderboardName(window), partitions: affected, strays } }];
  });
  try {
    await redis.connect();
    for (const { forgotten } of asked) await redis.request(forgotten);
    const waiting = async () => {
      const done = await Promise.all(asked.map(({ forgotten }) => redis.done(forgotten)));
      return asked.flatMap(({ window }, index) => (done[index] === true ? [] : [window]));
    };
    try {
      await until(new Deadline(deadlineSeconds), {
        ask: waiting,
        done: (left) => (left.length === 0 ? true : null),
        missing: (left) => left.join(', '),
      });
      return [];
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'RECONCILE_DEADLINE') return await waiting();
      throw error;
    }
  } finally {
    await redis.close();
  }
}
