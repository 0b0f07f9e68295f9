/**
 * What Sluice needs of a Kafka client, shown on a real broker. Any client that is to take this one's place must pass. The other
 * side of each conversation is stock kafkajs.
 */
import kafkajs, { type Kafka } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import type { LogRecord, TransactionalWriter } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { brokers, unique } from '../../support/env.ts';
import { random } from '../../support/random.ts';
import { createTopic } from './topics.ts';

let kafka: Kafka;
let client: KafkaClient;
const open: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  kafka = new kafkajs.Kafka({
    brokers: brokers(),
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { initialRetryTime: 20, retries: 8 },
  });
  client = new KafkaClient({ brokers: brokers(), clientId: 'conformance', sessionTimeoutMs: 6_000 });
});
afterAll(async () => {
  for (const one of open.reverse()) await one.close();
  await client.close();
});

async function topic(partitions = 1): Promise<string> {
  const name = unique('conformance');
  await createTopic(brokers(), name, { partitions, config: { 'max.message.bytes': '8388608' } });
  return name;
}

async function foreignProducer(transactionalId: string) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  open.push({ close: () => producer.disconnect() });
  return producer;
}

/** All that read_committed shows up to the present end, by Sluice's reader. (A commit is answered before its markers are written.) */
async function readAll(name: string, partition = 0): Promise<LogRecord[]> {
  const end = (await client.offsets(name, [partition], 'highWatermark')).get(partition)!;
  const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
  const records: LogRecord[] = [];
  await readToEnd(reader, { topic: name, partition, from: 0n, end }, (run) => {
    for (const record of run.records) records.push(record);
  });
  await reader.close();
  return records;
}

const texts = (records: readonly LogRecord[]) => records.map(({ value }) => value?.toString() ?? null);

async function fenced(id: string): Promise<TransactionalWriter> {
  const writer = client.writer(id);
  open.push(writer);
  await writer.fence();
  return writer;
}

describe('read_committed', () => {
  it('shows no record of an aborted transaction, whatever its key (stock kafkajs shows it)', async () => {
    const name = await topic();
    const producer = await foreignProducer(unique('tx'));
    const aborted = await producer.transaction();
    // A key of four zero bytes looks like an abort marker to stock kafkajs, which then shows what follows it.
    await aborted.send({ topic: name, messages: [{ key: Buffer.alloc(4), value: 'aborted 1' }] });
    await aborted.send({ topic: name, messages: [{ key: 'x', value: 'aborted 2' }] });
    await aborted.abort();
    const committed = await producer.transaction();
    await committed.send({ topic: name, messages: [{ key: 'y', value: 'committed' }] });
    await committed.commit();
    expect(texts(await readAll(name))).toEqual(['committed']);
    expect(await stockReads(name, 'committed')).toContain('aborted 2');
  });

  it('agrees with a model under interleaved producers that commit and abort', async () => {
    const name = await topic();
    const next = random(11);
    const producers = await Promise.all([0, 1, 2].map(() => foreignProducer(unique('tx'))));
    const running: { tx: Awaited<ReturnType<(typeof producers)[0]['transaction']>>; values: string[] }[] = [];
    const written: { value: string; of: number }[] = [];
    const outcome = new Map<number, boolean>();
    const ids = new Map<number, number>();
    let transactions = 0;
    for (let step = 0; step < 120; step++) {
      const at = Math.floor(next() * producers.length);
      if (running[at] === undefined) {
        running[at] = { tx: await producers[at]!.transaction(), values: [] };
        ids.set(at, transactions++);
      }
      const value = `v${step}`;
      await running[at]!.tx.send({ topic: name, messages: [{ key: next() < 0.2 ? Buffer.alloc(4) : 'k', value }] });
      written.push({ value, of: ids.get(at)! });
      if (next() < 0.4) {
        const commit = next() < 0.5;
        await (commit ? running[at]!.tx.commit() : running[at]!.tx.abort());
        outcome.set(ids.get(at)!, commit);
        delete running[at];
      }
    }
    for (const [at, one] of running.entries()) {
      if (one === undefined) continue;
      await one.tx.abort();
      outcome.set(ids.get(at)!, false);
    }
    const expected = written.filter(({ of }) => outcome.get(of)).map(({ value }) => value);
    expect(expected.length).toBeGreaterThan(10);
    expect(texts(await readAll(name))).toEqual(expected);
  });

  it('waits for an open transaction, which counts in the high watermark and not in the last stable offset', async () => {
    const name = await topic();
    const producer = await foreignProducer(unique('tx'));
    const tx = await producer.transaction();
    await tx.send({ topic: name, messages: [{ value: 'open' }] });
    expect((await client.offsets(name, [0], 'highWatermark')).get(0)).toBe(1n);
    expect((await client.offsets(name, [0], 'lastStable')).get(0)).toBe(0n);
    await tx.commit();
    await expect.poll(async () => texts(await readAll(name)), { timeout: 10_000 }).toEqual(['open']);
  });

  it('passes control records: the next offset is the end of the partition', async () => {
    const name = await topic();
    const producer = await foreignProducer(unique('tx'));
    const tx = await producer.transaction();
    await tx.send({ topic: name, messages: [{ value: 'gone' }] });
    await tx.abort();
    const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
    open.push(reader);
    const run = await reader.open(name, 0, 0n).next(10_000);
    expect(run).toMatchObject({ records: [], from: 0n, next: 2n });
  });

  it('reads what other producers write: gzip, no compression, null keys and values, headers', async () => {
    const name = await topic();
    const producer = kafka.producer();
    await producer.connect();
    open.push({ close: () => producer.disconnect() });
    const { GZIP, None } = kafkajs.CompressionTypes;
    await producer.send({
      topic: name,
      compression: GZIP,
      messages: [{ key: 'a', value: 'zip', headers: { h: 'x' } }],
    });
    await producer.send({ topic: name, compression: None, messages: [{ key: null, value: 'plain' }] });
    await producer.send({ topic: name, messages: [{ key: 'a', value: null }] });
    const records = await readAll(name);
    expect(texts(records)).toEqual(['zip', 'plain', null]);
    expect(records.map(({ key }) => key?.toString() ?? null)).toEqual(['a', null, 'a']);
    expect(records[0]!.headers.map(({ key, value }) => [key, Buffer.from(value).toString()])).toEqual([['h', 'x']]);
  });

  it('goes on with a partition that is behind while the others have nothing new', async () => {
    const name = await topic(2);
    const producer = kafka.producer();
    await producer.connect();
    open.push({ close: () => producer.disconnect() });
    const value = Buffer.alloc(700_000);
    for (const partition of [0, 1, 1, 1]) await producer.send({ topic: name, messages: [{ partition, value }] });
    const reader = client.reader({ minBytes: 1 << 20, maxWaitMs: 60_000, maxBufferedBytes: 1 });
    open.push(reader);
    const [idle, behind] = [reader.open(name, 0, 0n), reader.open(name, 1, 0n)];
    expect((await idle.next(10_000))?.next).toBe(1n);
    // What is being fetched now is the idle partition alone: one record of the other one is there and not read yet.
    expect(await idle.next(500)).toBeNull();
    expect((await behind.next(10_000))?.next).toBe(1n);
    expect((await behind.next(10_000))?.next).toBe(2n);
  });

  it('knows whether a fetch was answered, with nothing to read too', async () => {
    const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
    open.push(reader);
    const stream = reader.open(await topic(), 0, 0n);
    expect(stream.answered).toBe(false);
    expect(await stream.next(50)).toBeNull();
    await expect.poll(() => stream.answered, { timeout: 10_000 }).toBe(true);
    expect(await stream.next(0)).toBeNull();
  });

  it('says so when the wanted offset is gone instead of going on elsewhere', async () => {
    const name = await topic();
    const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
    open.push(reader);
    await expect(reader.open(name, 0, 99n).next(10_000)).rejects.toMatchObject({
      code: 'KAFKA_OFFSET_OUT_OF_RANGE',
      action: 'fatal',
    });
  });
});

/** What stock kafkajs shows, up to the record it is known to end with. */
async function stockReads(name: string, last: string): Promise<string[]> {
  const consumer = kafka.consumer({ groupId: unique('stock'), maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topic: name, fromBeginning: true });
  const seen: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('stock kafkajs read nothing')), 20_000);
    void consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        seen.push(message.value!.toString());
        if (seen.at(-1) === last) {
          clearTimeout(timer);
          resolve();
        }
      },
    });
  });
  await consumer.disconnect();
  return seen;
}

describe('a transaction', () => {
  const offsets = (group: string, of: string, offset: bigint) => ({
    group,
    topic: of,
    partition: 0,
    offset,
    metadata: `at ${offset}`,
  });

  it('moves outputs and input offset together and says where the outputs end', async () => {
    const [input, output] = [await topic(), await topic(2)];
    const group = unique('group');
    const writer = await fenced(unique('tx'));
    for (const round of [1, 2]) {
      const batches = [0, 1].map((partition) => {
        const batch = writer.batch(output, partition);
        for (let i = 0; i < 3; i++)
          batch.append(Buffer.from(`k${i}`), i === 1 ? null : Buffer.from(`${round}/${partition}/${i}`), 5);
        return batch;
      });
      const ends = await writer.commit(batches, offsets(group, input, BigInt(round)));
      expect(ends.get(`${output}-0`)).toBe(round === 1 ? 3n : 7n);
    }
    expect(texts(await readAll(output, 1))).toEqual(['1/1/0', null, '1/1/2', '2/1/0', null, '2/1/2']);
    expect(await client.committed(group, input, 0)).toEqual({ offset: 2n, metadata: 'at 2' });
  });

  it('is fenced by a successor with the same id, and leaves nothing behind', async () => {
    const [input, output] = [await topic(), await topic()];
    const [group, id] = [unique('group'), unique('tx')];
    const old = await fenced(id);
    const first = old.batch(output, 0);
    first.append(null, Buffer.from('first'), 0);
    await old.commit([first], offsets(group, input, 1n));
    const successor = await fenced(id);
    const zombie = old.batch(output, 0);
    zombie.append(null, Buffer.from('zombie'), 0);
    await expect(old.commit([zombie], offsets(group, input, 9n))).rejects.toMatchObject({ action: 'reconnect' });
    const second = successor.batch(output, 0);
    second.append(null, Buffer.from('second'), 0);
    await successor.commit([second], offsets(group, input, 2n));
    expect(texts(await readAll(output))).toEqual(['first', 'second']);
    expect((await client.committed(group, input, 0))?.offset).toBe(2n);
  });

  it('carries more than one record batch holds, in order, and a large record', async () => {
    const [input, output] = [await topic(), await topic()];
    const writer = await fenced(unique('tx'));
    const next = random(3);
    const noise = Buffer.from(Array.from({ length: 2_000_000 }, () => Math.floor(next() * 256)));
    const batch = writer.batch(output, 0);
    for (let i = 0; i < 30; i++) batch.append(Buffer.from(String(i)), noise.subarray(i * 1000, i * 1000 + 100_000), i);
    batch.append(Buffer.from('large'), noise, 31);
    await writer.commit([batch], offsets(unique('group'), input, 1n));
    const records = await readAll(output);
    expect(records.map(({ key }) => key!.toString())).toEqual([
      ...Array.from({ length: 30 }, (_, i) => String(i)),
      'large',
    ]);
    expect(records.at(-1)!.value!.equals(noise)).toBe(true);
  });

  it('says that a record is at fault when the broker finds it too large', async () => {
    const [input, output] = [await topic(), await topic()];
    const writer = await fenced(unique('tx'));
    const next = random(5);
    const batch = writer.batch(output, 0);
    batch.append(null, Buffer.from(Array.from({ length: 9_000_000 }, () => Math.floor(next() * 256))), 0);
    await expect(writer.commit([batch], offsets(unique('group'), input, 1n))).rejects.toMatchObject({
      code: 'KAFKA_MESSAGE_TOO_LARGE',
      action: 'dead-letter',
    });
  });
});

describe('membership', () => {
  interface Member {
    readonly membership: ReturnType<KafkaClient['membership']>;
    owned: readonly number[];
    generation: number;
  }

  function join(group: string, name: string): Member {
    const membership = client.membership(group, name);
    const member: Member = { membership, owned: [], generation: -1 };
    void membership.run({
      assigned: ({ generation, partitions }) => {
        member.owned = partitions;
        member.generation = generation;
      },
      revoked: async () => {
        member.owned = [];
      },
    });
    open.push({ close: () => membership.stop() });
    return member;
  }

  it('shares the partitions, keeps what a member had, and refuses a commit of an older generation', async () => {
    const name = await topic(5);
    const group = unique('group');
    const first = join(group, name);
    await expect.poll(() => first.owned, { timeout: 20_000 }).toEqual([0, 1, 2, 3, 4]);
    const old = first.generation;
    const second = join(group, name);
    await expect.poll(() => [...first.owned, ...second.owned].length, { timeout: 20_000 }).toBe(5);
    await expect.poll(() => second.owned.length, { timeout: 20_000 }).toBeGreaterThan(1);
    expect([...first.owned, ...second.owned].sort()).toEqual([0, 1, 2, 3, 4]);
    const at = { topic: name, partition: 0 };
    await expect(first.membership.commit(old, at, { offset: 3n, metadata: '' })).rejects.toMatchObject({
      code: 'KAFKA_ILLEGAL_GENERATION',
    });
    await first.membership.commit(first.generation, at, { offset: 4n, metadata: 'm' });
    expect(await client.committed(group, name, 0)).toEqual({ offset: 4n, metadata: 'm' });
    await second.membership.stop();
    await expect.poll(() => first.owned, { timeout: 20_000 }).toEqual([0, 1, 2, 3, 4]);
  });
});
