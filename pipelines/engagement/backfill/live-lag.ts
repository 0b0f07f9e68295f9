/** How far the live path is behind: from capture to what real-time readers see. */
import type { LogClient } from '../../../engine/log.ts';
import { engagementMonitored } from '../monitored.ts';
import { CDC_EVENTS, CHANGES, LEADERBOARDS } from '../topics.ts';

const LIVE_INPUTS: readonly string[] = [CDC_EVENTS, CHANGES, LEADERBOARDS];
/** Rebuilt at leisure: its readers look at hours, not at seconds. */
const NOT_LIVE = 'engagement.sink.clickhouse';

/** Records that the workers on the path to Redis have not read, all together. A worker that never ran is left out. */
export async function liveLag(log: LogClient): Promise<number> {
  const workers = engagementMonitored({ mirrored: false }).workers.filter(
    ({ name, input }) => LIVE_INPUTS.includes(input) && name !== NOT_LIVE,
  );
  let lag = 0n;
  for (const { name, input } of workers) {
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
