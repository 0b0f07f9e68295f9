/** How far a topic may be read so that nothing in front of a moment is missing. */
import type { LogClient } from '../../../engine/log.ts';
import { type Deadline, until } from './deadline.ts';

/**
 * The ends of the partitions once every transaction is over that was open when this was called: a commit reaches the partitions of its transaction at
 * different moments, so another reader may know of one that is still open here. Throws RECONCILE_DEADLINE (retry).
 */
export async function stableEnds(
  client: Pick<LogClient, 'offsets'>,
  topic: string,
  partitions: readonly number[],
  deadline: Deadline,
): Promise<ReadonlyMap<number, bigint>> {
  const written = await client.offsets(topic, partitions, 'highWatermark');
  const openAt = (stable: ReadonlyMap<number, bigint>) =>
    [...written].filter(([partition, end]) => (stable.get(partition) ?? 0n) < end);
  return await until(deadline, {
    ask: async () => await client.offsets(topic, partitions, 'lastStable'),
    done: (stable) => (openAt(stable).length === 0 ? stable : null),
    missing: (stable) =>
      openAt(stable)
        .map(([partition, end]) => `${topic}, partition ${partition}: open at ${stable.get(partition)}, wanted ${end}`)
        .join('; '),
  });
}
