/** Sluice's client on a real broker, over connections that end at any byte of what the broker answers. */
import net, { type AddressInfo, type Socket } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import type { TransactionalWriter } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { brokers, unique } from '../../support/env.ts';
import { random } from '../../support/random.ts';
import { createTopic, produce, readAll } from './topics.ts';

interface Cutter {
  /** Connections that will still be cut. */
  left(): number;
  close(): Promise<void>;
}

/** Whether new connections to the broker go through the cutter, once there is one. */
let rerouted = true;
const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  rerouted = true;
  for (const one of open.splice(0).reverse()) await one.close();
});

/**
 * Stands in front of the broker, which tells clients its own port. Each connection lets as many bytes of answers through as `room` says and then
 * ends, for so many connections.
 */
async function cutter(cuts: number, room: () => number): Promise<Cutter> {
  const [host, port] = brokers()[0]!.split(':') as [string, string];
  const { connect } = net;
  const sockets = new Set<Socket>();
  let left = cuts;
  const server = net.createServer((client) => {
    const upstream = connect({ host, port: Number(port) });
    let bytesLeft = left > 0 ? room() : Number.POSITIVE_INFINITY;
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (bytes) => void upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (bytes.length <= bytesLeft) {
        bytesLeft -= bytes.length;
        client.write(bytes);
        return;
      }
      left--;
      client.end(bytes.subarray(0, bytesLeft));
      upstream.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const front = (server.address() as AddressInfo).port;
  vi.spyOn(net, 'connect').mockImplementation(((options: net.NetConnectOpts, then?: () => void) =>
    connect(
      rerouted && 'port' in options && options.port === Number(port) ? { ...options, port: front } : options,
      then,
    )) as typeof connect);
  const made = {
    left: () => left,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  open.push(made);
  return made;
}

function connected(): KafkaClient {
  const client = new KafkaClient({ brokers: brokers(), clientId: 'cut', requestTimeoutMs: 5_000 });
  open.push(client);
  return client;
}

/** Texts that do not compress away. */
function noiseOf(noise: () => number, length: number): string {
  return Array.from({ length }, () => Math.floor(noise() * 36).toString(36)).join('');
}

it('reads each record once, whatever is left of an answer', async () => {
  const noise = random(11);
  const topic = unique('cuts');
  const plain = connected();
  await createTopic(brokers(), topic);
  const values = Array.from({ length: 1_000 }, (_, index) => `${index} ${noiseOf(noise, 200)}`);
  await produce(
    plain,
    topic,
    values.map((value) => ({ partition: 0, key: 'k', value })),
  );
  const end = (await plain.offsets(topic, [0], 'highWatermark')).get(0)!;
  const cut = await cutter(30, () => Math.floor(noise() ** 3 * 400_000));
  const client = connected();
  const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
  open.push(reader);
  while (cut.left() > 0) {
    const read: (string | undefined)[] = [];
    await readToEnd(reader, { topic, partition: 0, from: 0n, end }, ({ records }) => {
      for (const { value } of records) read.push(value?.toString());
    });
    expect(read).toEqual(values);
    expect((await client.offsets(topic, [0], 'lastStable')).get(0)).toBe(end);
  }
});

it('writes each transaction once, whatever is left of an answer: the next fence tells', async () => {
  const noise = random(12);
  const topic = unique('cuts');
  await createTopic(brokers(), topic);
  const id = unique('cut-writer');
  const cut = await cutter(40, () => Math.floor(noise() * 2_000));
  const client = connected();
  const plain = connected();
  let writer: TransactionalWriter | null = null;
  let next = 0;
  let failures = 0;
  const written = async () => {
    rerouted = false;
    const values = (await readAll(plain, topic, 0)).map(({ value }) => Number(value?.toString()));
    rerouted = true;
    expect(values).toEqual(values.map((_, index) => index));
    return values.length;
  };
  while (cut.left() > 0 || next < 400) {
    try {
      if (writer === null) {
        writer = client.writer(id);
        await writer.fence();
        next = await written();
      }
      const batch = writer.batch(topic, 0);
      for (let at = next; at < next + 20; at++) batch.append(null, Buffer.from(String(at)), Date.now());
      await writer.commit([batch], { group: id, topic, partition: 0, offset: BigInt(next), metadata: '' });
      next += 20;
    } catch (error) {
      if ((error as { action?: string }).action === undefined) throw error;
      failures++;
      await writer?.close();
      writer = null;
    }
  }
  await writer?.close();
  expect(failures).toBeGreaterThan(0);
  expect(await written()).toBe(next);
});
