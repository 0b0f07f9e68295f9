/** The two readers that the tasks of a worker share. */
import type { LogClient, LogReader } from './log.ts';

/** The latency that gathering a batch adds: larger batches make commits cheap. */
export interface Gathering {
  readonly gatherMs: number;
  readonly gatherBytes: number;
}

export interface TaskReaders {
  /** Fetches the input, gathering for a while. */
  readonly input: LogReader;
  /** Fetches for restores, without gathering. */
  readonly restore: LogReader;
  close(): Promise<void>;
}

/** Compressed bytes read ahead for each partition: decoded they are ten times as much. */
const BUFFER_BYTES = 1 << 20;

export function taskReaders(client: LogClient, { gatherMs, gatherBytes }: Gathering): TaskReaders {
  const input = client.reader({ minBytes: gatherBytes, maxWaitMs: gatherMs, maxBufferedBytes: BUFFER_BYTES });
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
