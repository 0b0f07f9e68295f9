/** Reading partitions from one offset to another, for restores, silent replays and whoever wants to know what a topic holds. */
import { SluiceError } from './errors.ts';
import type { FetchedRun, LogClient, LogReader } from './log.ts';

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

/** Bytes read ahead. */
const AHEAD_BYTES = 8 << 20;
const POLL_MS = 200;

/** Hands over what a topic still has of these partitions, one after the other, each up to its end (exclusive). Throws as `readToEnd`. */
export async function readTopic(
  client: Pick<LogClient, 'offsets' | 'reader'>,
  { topic, ends }: { readonly topic: string; readonly ends: ReadonlyMap<number, bigint> },
  each: (run: FetchedRun, partition: number) => void | Promise<void>,
): Promise<void> {
  const earliest = await client.offsets(topic, [...ends.keys()], 'earliest');
  const reader = client.reader({ minBytes: 1, maxWaitMs: POLL_MS, maxBufferedBytes: AHEAD_BYTES });
  try {
    for (const [partition, end] of ends) {
      const range = { topic, partition, from: earliest.get(partition) ?? 0n, end };
      await readToEnd(reader, range, (run) => each(run, partition));
    }
  } finally {
    await reader.close();
  }
}
