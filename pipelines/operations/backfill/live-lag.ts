/** How far the live path is behind: from capture to what real-time readers see. */
import type { LogClient } from '../../../engine/log.ts';

/** A worker of the live path, by its consumer group, and the topic that it reads. */
export interface LiveWorker {
  readonly name: string;
  readonly input: string;
}

/** Records that the workers have not read, all together. A worker that never ran is left out. */
export async function liveLag(log: LogClient, workers: readonly LiveWorker[]): Promise<number> {
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
