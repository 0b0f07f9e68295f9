/** Reads a dead-letter topic from its beginning, run by run: of its letters no more than one run is in memory. */
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';

export interface ReadDlq {
  readonly topic: string;
  readonly from: bigint;
  /** Exclusive. */
  readonly end: bigint;
  readonly signal: AbortSignal;
}

const PARTITION = 0;

/**
 * All there is now. The end counts open transactions too, and reading waits for them: a command that was killed may have written
 * its resolutions in one that stands behind another's.
 */
export async function dlqRange(client: LogClient, topic: string, signal: AbortSignal): Promise<ReadDlq> {
  const from = (await client.offsets(topic, [PARTITION], 'earliest')).get(PARTITION) ?? 0n;
  const end = (await client.offsets(topic, [PARTITION], 'highWatermark')).get(PARTITION) ?? 0n;
  return { topic, from, end, signal };
}

export async function readDlq(
  client: LogClient,
  { topic, from, end, signal }: ReadDlq,
  each: (records: readonly LogRecord[]) => void | Promise<void>,
): Promise<void> {
  const reader = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 4 << 20 });
  try {
    await readToEnd(reader, { topic, partition: PARTITION, from, end }, async ({ records }) => {
      signal.throwIfAborted();
      await each(records);
    });
  } finally {
    await reader.close();
  }
}
