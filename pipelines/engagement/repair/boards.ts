/** Which boards are to be written anew, while the rows are right. */
import type { Forgotten } from '../../../connectors/redis/forget.ts';
import { partitionOf } from '../partition.ts';
import type { BoardWindow, PlaceDifference } from '../reconcile/boards.ts';
import { leaderboardName } from '../redis-boards.ts';

/** By window, the partitions of the contents that are shown wrongly. */
export function boardsToRebuild(
  places: ReadonlyMap<BoardWindow, readonly PlaceDifference[]>,
  partitions: number,
): ReadonlyMap<BoardWindow, Forgotten> {
  const wrong = [...places].filter(([, differences]) => differences.length > 0);
  return new Map(
    wrong.map(([window, differences]) => {
      const affected = [...new Set(differences.map(({ contentId }) => partitionOf(contentId, partitions)))];
      const strays = differences.flatMap(({ contentId, stray }) => (stray ? [contentId] : []));
      return [window, { leaderboard: leaderboardName(window), partitions: affected, strays }];
    }),
  );
}
