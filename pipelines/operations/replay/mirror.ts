/**
 * Copies a mirrored topic again, from its beginning or from a time.
 *
 * Invariant: where the mirror stands is kept on the target, and moves only in a transaction of its writer. So the rewind is one: it fences
 * the running worker, moves the offset back, and the worker, refused at its next commit, opens at what it finds.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import type { KafkaOptions } from '../../../connectors/kafka/cluster.ts';
import { offsetsAtTime } from '../../../connectors/kafka/plain.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';

/** By partition: what is copied again. */
export type MirrorRange = ReadonlyMap<number, { readonly from: bigint; readonly end: bigint }>;

interface Mirror {
  /** Group on the target, and prefix of the transactional ids. */
  readonly name: string;
  readonly topic: string;
  readonly range: MirrorRange;
}

const ATTEMPTS = 5;
const POLL_MS = 200;
const CONTROL_GAP = 16n;

export async function mirrorRange(kafka: KafkaOptions, topic: string, from: Date | null): Promise<MirrorRange> {
  const client = new KafkaClient(kafka);
  try {
    const partitions = Array.from({ length: await client.partitions(topic) }, (_, partition) => partition);
    const starts =
      from === null
        ? await client.offsets(topic, partitions, 'earliest')
        : await offsetsAtTime(kafka, topic, from.getTime());
    const ends = await client.offsets(topic, partitions, 'lastStable');
    return new Map(partitions.map((at) => [at, { from: starts.get(at) ?? ends.get(at)!, end: ends.get(at)! }]));
  } finally {
    await client.close();
  }
}

/** A worker that opens at the same moment may fence the rewind in turn: it is tried again, some times. */
export async function rewindMirror(target: LogClient, { name, topic, range }: Mirror): Promise<void> {
  for (const [partition, { from }] of range) {
    for (let attempt = 1; ; attempt++) {
      const writer = target.writer(`${name}-${partition}`);
      try {
        await writer.fence();
        await writer.commit([], { group: name, topic, partition, offset: from, metadata: '' });
        break;
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
      } finally {
        await writer.close();
      }
    }
  }
}

/** Waits until all of it is there again. Throws REPLAY_TOO_SLOW (fatal). */
export async function untilMirrored(
  target: LogClient,
  {
    name,
    topic,
    range,
    ...waiting
  }: Mirror & {
    readonly signal: AbortSignal;
    readonly deadlineMs: number;
    readonly progress: (done: number, total: number) => void;
  },
): Promise<number> {
  const total = [...range.values()].reduce((sum, { from, end }) => sum + Number(end - from), 0);
  const deadline = performance.now() + waiting.deadlineMs;
  for (;;) {
    let left = 0;
    for (const [partition, { from, end }] of range) {
      const at = (await target.committed(name, topic, partition))?.offset ?? from;
      // The markers behind the last record are not worth a commit.
      if (at + CONTROL_GAP < end) left += Number(end - at);
    }
    waiting.progress(total - left, total);
    if (left === 0) return total;
    if (performance.now() > deadline) {
      throw new SluiceError(`${name} has ${left} offsets left to copy (is it running?); it goes on by itself`, {
        code: 'REPLAY_TOO_SLOW',
        action: 'fatal',
      });
    }
    await pause(POLL_MS, undefined, { signal: waiting.signal });
  }
}
