/** The two readers that the tasks of a worker share. */
import type { LogClient, LogReader } from './log.ts';

/** The latency that gathering a batch adds: larger batches make commits cheap. */
export interface Gathering {
  readonly gatherMs: number;
  readonly gatherBytes: number;
  /** Compressed bytes read ahead for each partition, 1 MiB if not given: what a batch holds at most when the reader is behind. */
  readonly bufferBytes?: number;
}

export interface TaskReaders {
  /** Fetches the input, gathering for a while. */
  readonly input: LogReader;
  /** Fetches for restores, without gathering. */
  readonly restore: LogReader;
  close(): Promise<void>;
}

/** Decoded they are ten times as much. */
const BUFFER_BYTES = 1 << 20;

export function taskReaders(
  client: LogClient,
  { gatherMs, gatherBytes, bufferBytes = BUFFER_BYTES }: Gathering,
): TaskReaders {
  const input = client.reader({ minBytes: gatherBytes, maxWaitMs: gatherMs, maxBufferedBytes: bufferBytes });
  const restore = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 4 * BUFFER_BYTES });
  return {
    input,
    restore,
    close: async () => {
      await input.close();
      await restore.close();
    },
  };
}
