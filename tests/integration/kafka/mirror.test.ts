/** The mirror between two real brokers, run by the real sink worker. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { mirrorSink } from '../../../connectors/kafka/mirror.ts';
import { sinkWorker } from '../../../engine/sink-worker.ts';
import type { RunnableWorker } from '../../../engine/stage-worker.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { mirrorRange, rewindMirror } from '../../../pipelines/operations/replay/mirror.ts';
import { brokers, unique } from '../../support/env.ts';
import { freePortBase } from '../../support/ports.ts';
import { random } from '../../support/random.ts';
import { CuttableClient } from './cuttable-client.ts';
import { createTopic, type Message, produce, readAll } from './topics.ts';

const PARTITIONS = 3;
const PARTITION_NUMBERS = [0, 1, 2];
const logger = pino({ level: 'silent' });

let stack: Stack;
let here: KafkaClient;
let there: KafkaClient;
let away: readonly string[];

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'sluice-mirror-'));
  stack = await startStack({ home, portBase: await freePortBase(), services: ['kafka'] });
  away = stack.env.SLUICE_KAFKA_BROKERS!.split(',');
  here = new KafkaClient({ brokers: brokers(), clientId: 'here' });
  there = new KafkaClient({ brokers: away, clientId: 'there' });
});
afterAll(async () => {
  await here?.close();
  await there?.close();
  await stack?.stop({ remove: true });
});

interface Mirror {
  readonly worker: RunnableWorker;
  /** What ended it; null when it was stopped. */
  readonly ended: Promise<unknown>;
  /** Its process dies. */
  crash(): Promise<void>;
}

const started: RunnableWorker[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop()));
});

function startMirror(name: string, topic: string, partitions = PARTITIONS): Mirror {
  const source = new CuttableClient({ brokers: brokers(), clientId: name });
  const target = new CuttableClient({ brokers: away, clientId: name });
  const worker = sinkWorker({
    definition: {
      name,
      input: topic,
      dlq: `${topic}-dlq`,
      sink: mirrorSink({ name, topic, partitions, target }),
      prepare: async () => {},
      decode: (value) => value,
      streamTimeMs: () => 0,
      generation: 1,
      maxRecords: 10,
    },
    client: source,
    logger,
    gatherMs: 20,
    gatherBytes: 1,
  });
  started.push(worker);
  const ended = worker.run().then(
    () => null,
    (error: unknown) => error,
  );
  return { worker, ended, crash: async () => await Promise.all([source.cut(), target.cut()]).then(() => {}) };
}

function messages(count: number, seed: number): Message[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, i) => ({
    partition: Math.floor(next() * PARTITIONS),
    key: `k${Math.floor(next() * 50)}`,
    value: next() < 0.2 ? null : `v${i}`,
  }));
}

async function newTopic(): Promise<string> {
  const topic = unique('mirrored');
  await createTopic(brokers(), topic, { partitions: PARTITIONS });
  await createTopic(away, topic, { partitions: PARTITIONS });
  return topic;
}

const pairs = async (client: KafkaClient, topic: string, partition: number) =>
  (await readAll(client, topic, partition)).map(({ key, value }) => `${key}=${value}`);

/** How many records the target's own offsets say are copied, gaps counted. */
async function copied(name: string, topic: string): Promise<bigint> {
  let sum = 0n;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    sum += (await there.committed(name, topic, partition))?.offset ?? 0n;
  }
  return sum;
}

/** Waits until the target's offsets have passed all records of the source. */
async function untilCopied(name: string, topic: string): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const last = (await readAll(here, topic, partition)).at(-1)!.offset;
    await expect
      .poll(async () => (await there.committed(name, topic, partition))?.offset ?? 0n, { timeout: 60_000 })
      .toBeGreaterThan(last);
  }
}

async function expectSame(topic: string): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const wanted = await pairs(here, topic, partition);
    expect(wanted.length).toBeGreaterThan(0);
    expect(await pairs(there, topic, partition)).toEqual(wanted);
  }
}

describe('the mirror', () => {
  it('copies each record once and in order, tombstones too, when its process dies in the middle', async () => {
    const topic = await newTopic();
    const name = unique('mirror');
    await produce(here, topic, messages(1_500, 1));
    const first = startMirror(name, topic);
    await expect.poll(async () => await copied(name, topic), { timeout: 60_000 }).toBeGreaterThan(100n);
    await first.crash();
    const before = await copied(name, topic);
    startMirror(name, topic);
    await produce(here, topic, messages(300, 2));
    await untilCopied(name, topic);
    await expectSame(topic);
    expect(before).toBeLessThan(await copied(name, topic));
    const tombstones = (await readAll(there, topic, 0)).filter(({ value }) => value === null);
    expect(tombstones.length).toBeGreaterThan(0);
  });

  it('goes on from the offset on the target after an orderly stop', async () => {
    const topic = await newTopic();
    const name = unique('mirror');
    await produce(here, topic, messages(200, 3));
    const first = startMirror(name, topic);
    await untilCopied(name, topic);
    await first.worker.stop();
    expect(await first.ended).toBeNull();
    await produce(here, topic, messages(200, 4));
    startMirror(name, topic);
    await untilCopied(name, topic);
    await expectSame(topic);
  });

  it('copies again from the beginning or from a time, though a worker runs and goes on', async () => {
    const topic = await newTopic();
    const name = unique('mirror');
    const kafka = { brokers: brokers(), clientId: name };
    await produce(here, topic, messages(150, 6));
    startMirror(name, topic);
    await untilCopied(name, topic);
    const first = await Promise.all(PARTITION_NUMBERS.map((partition) => pairs(here, topic, partition)));
    const range = await mirrorRange(kafka, topic, null);
    await rewindMirror(there, { name, topic, range });
    await produce(here, topic, messages(150, 7));
    await untilCopied(name, topic);
    const all = await Promise.all(PARTITION_NUMBERS.map((partition) => pairs(here, topic, partition)));
    for (const partition of PARTITION_NUMBERS) {
      const found = await pairs(there, topic, partition);
      // What the worker wrote before it noticed is followed by everything from the beginning.
      expect(found.slice(0, first[partition]!.length)).toEqual(first[partition]);
      expect(found.slice(-all[partition]!.length)).toEqual(all[partition]);
    }

    const [newest] = (await readAll(here, topic, 0)).slice(-1);
    const late = await mirrorRange(kafka, topic, new Date(newest!.timestampMs));
    expect(late.get(0)!.from).toBeGreaterThan(range.get(0)!.end);
    expect(late.get(0)!.from).toBeLessThanOrEqual(newest!.offset);
    const none = await mirrorRange(kafka, topic, new Date(newest!.timestampMs + 3_600_000));
    expect([...none.values()].every(({ from, end }) => from === end)).toBe(true);
  });

  it('refuses a writer that wakes up after another has taken over', async () => {
    const topic = await newTopic();
    const name = unique('mirror');
    await produce(here, topic, messages(100, 5));
    const zombie = mirrorSink({
      name,
      topic,
      partitions: PARTITIONS,
      target: new KafkaClient({ brokers: away, clientId: 'z' }),
    });
    try {
      await zombie.connect();
      expect(await zombie.position({ topic, partition: 0, generation: 1 })).toEqual({ kind: 'offset', offset: 0n });
      startMirror(name, topic);
      await untilCopied(name, topic);
      const record = { kind: 'upsert' as const, offset: 0n, key: Buffer.from('k'), value: Buffer.from('zombie') };
      const batch = { topic, partition: 0, from: 0n, to: 1n, generation: 1, records: [record] };
      await expect(zombie.write(batch, { retry: false })).rejects.toMatchObject({ action: 'reconnect' });
      await expectSame(topic);
    } finally {
      await zombie.close();
    }
  });

  it('ends with one clear message when the partitions are not the same on both sides', async () => {
    const topic = unique('mirrored');
    await createTopic(brokers(), topic, { partitions: 2 });
    await createTopic(away, topic, { partitions: 4 });
    expect(await startMirror(unique('mirror'), topic, 2).ended).toMatchObject({
      code: 'MIRROR_PARTITIONS',
      action: 'fatal',
      message: `${topic} has 4 partitions on the other cluster and 2 here`,
    });
  });
});
