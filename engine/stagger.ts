/**
 * What every partition does every so often, not all at the same moment: a worker's partitions share one thread, and a burst of all of them is
 * seen as latency by each.
 */

/** Its multiples lie evenly in [0, 1), however many there are. */
const GOLDEN_RATIO = 0.618_033_988_749_895;

/** How much of the first interval of a partition is taken to have passed already, in [0, `everyMs`). */
export function headStartMs(partition: number, everyMs: number): number {
  return ((partition * GOLDEN_RATIO) % 1) * everyMs;
}
