/** Stages of both kinds on a real broker: members come, crash and come back, and an output is too large. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import type { LogRecord } from '../../../engine/log.ts';
import type { CheckpointedStage, Emit, ViewStage } from '../../../engine/stage.ts';
import { type RunnableWorker, stageWorker } from '../../../engine/stage-worker.ts';
import { brokers, unique } from '../../support/env.ts';
import { random } from '../../support/random.ts';
import { CuttableClient } from '../kafka/cuttable-client.ts';
import { createTopic, header, type Message, produce, readAll } from '../kafka/topics.ts';

const PARTITIONS = 4;
const POISON = 'poison';
const MAX_BYTES = 200_000;
const logger = pino({ level: 'silent' });

let client: KafkaClient;
beforeAll(() => {
  client = new KafkaClient({ brokers: brokers(), clientId: 'stage-worker-test' });
});
afterAll(async () => await client.close());

let dir: string;
const started: RunnableWorker[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-stage-worker-'));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop()));
  rmSync(dir, { recursive: true, force: true });
});

/** More bytes than the topic takes, and nothing that compresses. */
function noise(): Buffer {
  const next = random(7);
  return Buffer.from(Array.from({ length: 2 * MAX_BYTES }, () => Math.floor(next() * 256)));
}
const TOO_LARGE = noise();

interface Names {
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly store: string;
  readonly dlq: string;
}

type Stage = ViewStage | CheckpointedStage<number>;

/** The sum of the key's values so far; a poisoned record asks for an output that is too large. */
function emitSum(emit: Emit, names: Names, { key, value, timestampMs }: LogRecord, sum: number): void {
  emit(names.output, key, isPoison(value) ? TOO_LARGE : Buffer.from(String(sum)), timestampMs);
}

const isPoison = (value: Buffer | null) => value!.toString() === POISON;
const amount = (value: Buffer | null) => (isPoison(value) ? 1 : Number(value));

const view = (names: Names): ViewStage => ({
  kind: 'view',
  name: names.name,
  input: names.input,
  outputs: [names.output, names.store],
  view: names.store,
  dlq: names.dlq,
  open: ({ store, emit }) => ({
    process(record) {
      const sum = Number(store.get(record.key!) ?? 0) + amount(record.value);
      store.put(record.key!, Buffer.from(String(sum)), record.timestampMs);
      emitSum(emit, names, record, sum);
    },
    streamTimeMs: () => 0,
  }),
});

const checkpointed = (names: Names): CheckpointedStage<number> => ({
  kind: 'checkpointed',
  name: names.name,
  input: names.input,
  outputs: [names.output],
  changelog: names.store,
  checkpointMs: 300,
  dlq: names.dlq,
  codec: { encode: (sum) => Buffer.from(String(sum)), decode: (bytes) => Number(Buffer.from(bytes).toString()) },
  open: ({ store, emit }) => ({
    process(record) {
      const key = record.key!.toString();
      const sum = (store.get('sums', key) ?? 0) + amount(record.value);
      store.put('sums', key, sum);
      emitSum(emit, names, record, sum);
    },
    streamTimeMs: () => 0,
  }),
});

async function newTopics(): Promise<Names> {
  const name = unique('stage');
  const names = { name, input: `${name}-in`, output: `${name}-out`, store: `${name}-store`, dlq: `${name}-dlq` };
  await createTopic(brokers(), names.input, { partitions: PARTITIONS });
  await createTopic(brokers(), names.output, {
    partitions: PARTITIONS,
    config: { 'max.message.bytes': String(MAX_BYTES) },
  });
  await createTopic(brokers(), names.store, { partitions: PARTITIONS, config: { 'cleanup.policy': 'compact' } });
  await createTopic(brokers(), names.dlq);
  return names;
}

interface Instance {
  readonly worker: RunnableWorker;
  crash(): Promise<void>;
}

/** `state` names the folder that survives a crash. */
function start(stage: Stage, state: string): Instance {
  const own = new CuttableClient({ brokers: brokers(), clientId: state });
  const worker = stageWorker({
    stage,
    client: own,
    logger,
    stateDir: join(dir, state),
    prepare: async () => {},
    tables: [],
    gatherMs: 20,
    gatherBytes: 1,
  });
  started.push(worker);
  void worker.run().catch(() => {});
  return { worker, crash: async () => await own.cut() };
}

const owns = (instance: Instance, count: number) =>
  expect
    .poll(() => instance.worker.worker.readiness(), { timeout: 60_000, interval: 100 })
    .toEqual({ ready: true, reason: `${count} partitions` });

function messages(count: number, seed: number): Message[] {
  const next = random(seed);
  return Array.from({ length: count }, () => ({
    partition: Math.floor(next() * PARTITIONS),
    key: `k${Math.floor(next() * 20)}`,
    value: String(Math.floor(next() * 100)),
  }));
}

const poison = (partition: number): Message => ({ partition, key: 'k1', value: POISON });

async function untilDone({ name, input }: Names): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const last = (await readAll(client, input, partition)).at(-1)!.offset;
    await expect
      .poll(async () => (await client.committed(name, input, partition))?.offset ?? 0n, {
        timeout: 90_000,
        interval: 100,
      })
      .toBeGreaterThan(last);
  }
}

/** What the outputs must be, folded in one go from the input. */
async function expectModel(names: Names): Promise<void> {
  const letters: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const sums = new Map<string, number>();
    const wanted: string[] = [];
    for (const { key, value, offset } of await readAll(client, names.input, partition)) {
      if (isPoison(value)) {
        letters.push(`${partition}/${offset}`);
        continue;
      }
      const sum = (sums.get(key!.toString()) ?? 0) + Number(value);
      sums.set(key!.toString(), sum);
      wanted.push(`${key}=${sum}`);
    }
    const outputs = (await readAll(client, names.output, partition)).map(({ key, value }) => `${key}=${value}`);
    expect(outputs).toEqual(wanted);
  }
  const found = await readAll(client, names.dlq, 0);
  expect(found.map((one) => `${header(one, 'sluice.partition')}/${header(one, 'sluice.offset')}`).sort()).toEqual(
    letters.sort(),
  );
  expect(new Set(found.map((one) => header(one, 'sluice.reason')))).toEqual(new Set(['RECORD_TOO_LARGE']));
}

describe.each([
  ['view', view],
  ['checkpointed', checkpointed],
] as const)('a %s stage on two workers', (_, make) => {
  it('stays exact while partitions move, one crashes and comes back, and an output is too large', async () => {
    const names = await newTopics();
    const stage: Stage = make(names);
    await produce(client, names.input, [
      ...messages(200, 1),
      poison(0),
      ...messages(200, 2),
      poison(3),
      ...messages(50, 3),
    ]);
    const first = start(stage, 'first');
    await owns(first, PARTITIONS);
    const second = start(stage, 'second');
    await produce(client, names.input, messages(200, 4));
    await owns(second, 2);
    await owns(first, 2);
    await produce(client, names.input, [...messages(200, 5), poison(1), poison(2), ...messages(20, 6)]);
    await first.crash();
    await produce(client, names.input, messages(200, 7));
    await owns(second, PARTITIONS);
    const back = start(stage, 'first');
    await produce(client, names.input, [...messages(200, 8), poison(2), ...messages(50, 9)]);
    await owns(back, 2);
    await untilDone(names);
    await expectModel(names);
  });
});
