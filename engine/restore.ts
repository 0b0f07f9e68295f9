/** Reading a partition from one offset to another, for restores and silent replays. */
import { SluiceError } from './errors.ts';
import type { FetchedRun, LogReader } from './log.ts';

const SLICE_MS = 5_000;
const STALLED_SLICES = 12;

export interface Range {
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  /** Exclusive. */
  readonly end: bigint;
}

/** Hands over [from, end) run by run; runs are cut at `end`. Throws RESTORE_STALLED when nothing comes for a minute. */
export async function readToEnd(
  reader: LogReader,
  range: Range,
  each: (run: FetchedRun) => void | Promise<void>,
): Promise<void> {
  const { topic, partition, from, end } = range;
  if (from >= end) return;
  const stream = reader.open(topic, partition, from);
  let position = from;
  let idle = 0;
  try {
    while (position < end) {
      const run = await stream.next(SLICE_MS);
      if (run === null) {
        if (++idle >= STALLED_SLICES) {
          throw new SluiceError(`Reading ${topic}-${partition} stalled at ${position}, before ${end}`, {
            code: 'RESTORE_STALLED',
            action: 'reconnect',
          });
        }
        continue;
      }
      idle = 0;
      position = run.next;
      await each(run.next <= end ? run : { ...run, records: run.records.filter((r) => r.offset < end), next: end });
    }
  } finally {
    stream.close();
  }
}
