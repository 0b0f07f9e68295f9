/**
 * Which of several deployments of a part of a pipeline is live: one small fact per part, in the compacted topic `sluice.deployments`.
 * Workers read it when they start; one whose part of it changes ends, and its supervisor starts it on the new fact.
 */

import type { z } from 'zod';
import type { KafkaOptions } from '../../connectors/kafka/cluster.ts';
import { appendRecords } from '../../connectors/kafka/plain.ts';
import { SluiceError } from '../../engine/errors.ts';
import { Follower } from '../../engine/follower.ts';
import type { LogClient, LogRecord } from '../../engine/log.ts';
import { readToEnd } from '../../engine/restore.ts';
import { DEPLOYMENTS_TOPIC } from './topics.ts';

/** The newest record of a part. */
export interface Deployed {
  /** JSON; null when none was ever written. */
  readonly text: string | null;
  /** Where to follow from. */
  readonly next: bigint;
}

export async function readDeployment(client: LogClient, part: string): Promise<Deployed> {
  const earliest = (await client.offsets(DEPLOYMENTS_TOPIC, [0], 'earliest')).get(0) ?? 0n;
  const next = (await client.offsets(DEPLOYMENTS_TOPIC, [0], 'lastStable')).get(0) ?? earliest;
  const reader = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 1 << 20 });
  let text: string | null = null;
  try {
    await readToEnd(reader, { topic: DEPLOYMENTS_TOPIC, partition: 0, from: earliest, end: next }, ({ records }) => {
      text = newestOf(records, part) ?? text;
    });
  } finally {
    await reader.close();
  }
  return { text, next };
}

/** What the record of a part says. Throws DEPLOYMENT_INVALID (fatal) for one that is none, or that `sound` refuses. */
export function parseDeployment<T>(
  schema: z.ZodType<T>,
  part: string,
  text: string,
  sound: (value: T) => boolean = () => true,
): T {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success && sound(parsed.data)) return parsed.data;
  throw new SluiceError(`The record of ${part} in sluice.deployments makes no sense: ${text.slice(0, 500)}`, {
    code: 'DEPLOYMENT_INVALID',
    action: 'fatal',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export async function writeDeployment(kafka: KafkaOptions, part: string, text: string): Promise<void> {
  await appendRecords(kafka, DEPLOYMENTS_TOPIC, [
    { partition: 0, key: Buffer.from(part), value: Buffer.from(text), headers: [], timestampMs: Date.now() },
  ]);
}

/** Calls `changed` with each newer record of a part; close what it returns. */
export function followDeployment(
  client: LogClient,
  part: string,
  handlers: {
    readonly from: bigint;
    readonly changed: (text: string) => void;
    readonly failed: (error: unknown) => void;
  },
): Follower {
  const follower = new Follower(client, {
    topic: DEPLOYMENTS_TOPIC,
    fetch: { maxWaitMs: 500, maxBufferedBytes: 1 << 20 },
    prepare: async () => {},
    each: ({ records }) => {
      const text = newestOf(records, part);
      if (text !== undefined) handlers.changed(text);
    },
    failed: handlers.failed,
  });
  follower.start(handlers.from);
  return follower;
}

function newestOf(records: readonly LogRecord[], part: string): string | undefined {
  return records.findLast(({ key, value }) => value !== null && key?.toString() === part)?.value?.toString();
}
