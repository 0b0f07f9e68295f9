/** How far the live path is behind: from capture to what real-time readers see. */
import type { LogClient } from '../../../engine/log.ts';
import { readLeaderboards } from '../leaderboard-deployment.ts';
import { monitoredOf } from '../monitored.ts';
import { CLICKHOUSE_SINK } from '../topics.ts';

/** Rebuilt at leisure: its readers look at hours, not at seconds. */
const NOT_LIVE = CLICKHOUSE_SINK;

/** Records that the workers on the path to Redis have not read, all together. A worker that never ran is left out. */
export async function liveLag(log: LogClient): Promise<number> {
  const { workers } = monitoredOf(await readLeaderboards(log), { mirrored: false });
  let lag = 0n;
  for (const { name, input } of workers) {
    if (name === NOT_LIVE) continue;
    const partitions = Array.from({ length: await log.partitions(input) }, (_, partition) => partition);
    const ends = await log.offsets(input, partitions, 'lastStable');
    for (const partition of partitions) {
      const committed = await log.committed(name, input, partition);
      const behind = committed === null ? 0n : (ends.get(partition) ?? 0n) - committed.offset;
      if (behind > 0n) lag += behind;
    }
  }
  return Number(lag);
}
