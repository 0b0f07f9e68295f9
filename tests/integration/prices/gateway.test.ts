/** Gateways on a real broker: everything they promise their clients, with a broker and a process that die. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { newToken } from '../../../connectors/websocket/tokens.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { loadConfig } from '../../../pipelines/config.ts';
import { createMarketGateway } from '../../../pipelines/prices/gateway/create.ts';
import type { MarketGateway } from '../../../pipelines/prices/gateway/gateway.ts';
import { CANDLES } from '../../../pipelines/prices/topics.ts';
import { CandleWriter } from '../../../scripts/bench/candle-writer.ts';
import { stackEnv } from '../../support/env.ts';
import { FeedClient } from '../../support/feed-client.ts';
import { freePortBase } from '../../support/ports.ts';
import { createTopic } from '../kafka/topics.ts';

const PARTITIONS = 2;
const PATIENCE = { timeout: 60_000 };
const e6 = (price: number) => BigInt(price) * 1_000_000n;
const MINUTE = 60_000;
const logger = pino({ level: 'silent' });

let home: string;
let stack: Stack;
let client: KafkaClient;
let writer: CandleWriter;
let token: string;
let env: Record<string, string>;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'sluice-gateway-'));
  stack = await startStack({ home, portBase: await freePortBase(), services: ['kafka'] });
  const brokers = stack.env.SLUICE_KAFKA_BROKERS!;
  await createTopic(brokers.split(','), CANDLES, { partitions: PARTITIONS, config: { 'cleanup.policy': 'compact' } });
  client = new KafkaClient({ brokers: brokers.split(','), clientId: 'test' });
  const registryUrl = stackEnv().SLUICE_REGISTRY_URL!;
  await openWriter();
  const made = newToken('test');
  token = made.token;
  const tokensFile = join(home, 'tokens');
  writeFileSync(tokensFile, made.line);
  env = {
    SLUICE_KAFKA_BROKERS: brokers,
    SLUICE_REGISTRY_URL: registryUrl,
    SLUICE_PRICES_GATEWAY_PORT: '0',
    SLUICE_PRICES_GATEWAY_TOKENS_FILE: tokensFile,
    SLUICE_PRICES_GATEWAY_DELAYED_MS: '5000',
  };
});

async function openWriter(): Promise<CandleWriter> {
  const registryUrl = stackEnv().SLUICE_REGISTRY_URL!;
  writer = await CandleWriter.open(client, { topic: CANDLES, partitions: PARTITIONS, registryUrl });
  return writer;
}

const gateways: MarketGateway[] = [];
const clients: FeedClient[] = [];
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate();
  await Promise.all(gateways.splice(0).map((gateway) => gateway.stop()));
});
afterAll(async () => {
  await writer?.close();
  await client?.close();
  await stack?.stop({ remove: true });
  rmSync(home, { recursive: true, force: true });
});

async function startGateway(settings: Readonly<Record<string, string>> = {}): Promise<MarketGateway> {
  const gateway = createMarketGateway(loadConfig({ ...env, ...settings }), logger);
  gateways.push(gateway);
  gateway.run().catch(() => {});
  await expect.poll(() => gateway.readiness().ready, PATIENCE).toBe(true);
  return gateway;
}

async function connect(port: number): Promise<FeedClient> {
  const connected = await FeedClient.connect(port, { token });
  clients.push(connected);
  return connected;
}

/** What `npm run gateway -- watch` says until it ends. */
async function watch(
  port: number,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly text: string }> {
  const command = [join(import.meta.dirname, '../../../scripts/gateway.ts'), 'watch', ...args];
  const settings = { ...process.env, ...env, SLUICE_PRICES_GATEWAY_PORT: String(port) };
  const run = promisify(execFile)(process.execPath, command, { env: settings, timeout: PATIENCE.timeout });
  return await run.then(
    ({ stdout }) => ({ code: 0, text: stdout }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, text: stderr }),
  );
}

const metric = async (gateway: MarketGateway, name: string): Promise<number> =>
  (await gateway.registry.getSingleMetric(name)!.get()).values.reduce((sum, { value }) => sum + value, 0);

describe('the market gateway', () => {
  it('tells the current value at once and then what changes, the same from every gateway', async () => {
    await writer.write([
      { stockId: 1, interval: '5m', start: 0, closeE6: e6(10) },
      { stockId: 1, interval: '5m', start: 5 * MINUTE, closeE6: e6(11) },
      { stockId: 2, interval: '1d', start: 0, closeE6: e6(20) },
    ]);
    const ports = [(await startGateway()).port!, (await startGateway()).port!];
    const both = [await connect(ports[0]!), await connect(ports[1]!)];
    for (const one of both) one.subscribe(['S1', '5m'], ['S2', '1d'], ['NONE', '5m']);
    for (const one of both) {
      await expect.poll(() => one.ofType('value'), PATIENCE).toHaveLength(3);
      expect(one.lastClose('S1', '5m')).toBe('11.000000');
      expect(one.lastClose('S2', '1d')).toBe('20.000000');
      expect(one.lastClose('NONE', '5m')).toBeNull();
    }
    await writer.write([
      { stockId: 1, interval: '5m', start: 5 * MINUTE, closeE6: e6(12) },
      { stockId: 2, interval: '1d', start: 0, closeE6: null },
      { stockId: 1, interval: '1h', start: 0, closeE6: e6(99) },
    ]);
    for (const one of both) {
      await expect.poll(() => one.lastClose('S1', '5m'), PATIENCE).toBe('12.000000');
      await expect.poll(() => one.lastClose('S2', '1d'), PATIENCE).toBeNull();
      expect(one.lastClose('S1', '1h')).toBeUndefined();
    }
    const watched = await watch(ports[0]!, 'S1', '--count', '1', '--token', token);
    expect(watched.text).toContain('close 12.000000');
    const refused = await watch(ports[0]!, 'S1', '--token', 'wrong');
    expect(refused).toMatchObject({ code: 2, text: expect.stringContaining('FEED_REFUSED') });
    expect(refused.text).toContain('401');
  });

  it('shows the candle before when all that it keeps of a series are deleted', async () => {
    const starts = Array.from({ length: 12 }, (_, i) => i * MINUTE);
    await writer.write(starts.map((start, i) => ({ stockId: 3, interval: 'bar', start, closeE6: e6(100 + i) })));
    const one = await connect((await startGateway()).port!);
    one.subscribe(['S3', 'bar']);
    await expect.poll(() => one.lastClose('S3', 'bar'), PATIENCE).toBe('111.000000');
    await writer.write(starts.slice(2).map((start) => ({ stockId: 3, interval: 'bar', start, closeE6: null })));
    await expect.poll(() => one.lastClose('S3', 'bar'), PATIENCE).toBe('101.000000');
    expect(one.ofType('value')).toHaveLength(2);
  });

  it('conflates for a client that does not read, which harms nobody', async () => {
    const gateway = await startGateway({ SLUICE_PRICES_GATEWAY_HEARTBEAT_MS: '60000' });
    const slow = await connect(gateway.port!);
    const quick = await connect(gateway.port!);
    const stocks = Array.from({ length: 100 }, (_, i) => 1_000 + i);
    for (const one of [slow, quick]) {
      one.subscribe(...stocks.map((stockId) => [`S${stockId}`, '5m'] as const));
      await expect.poll(() => one.ofType('value'), PATIENCE).toHaveLength(100);
    }
    slow.socket.pause();
    let price = 0;
    while ((await metric(gateway, 'sluice_feed_conflated_total')) < 100) {
      price++;
      await writer.write(stocks.map((stockId) => ({ stockId, interval: '5m', start: 0, closeE6: e6(price) })));
      await expect.poll(() => quick.lastClose('S1099', '5m'), PATIENCE).toBe(`${price}.000000`);
    }
    slow.socket.resume();
    for (const stockId of stocks) {
      await expect.poll(() => slow.lastClose(`S${stockId}`, '5m'), PATIENCE).toBe(`${price}.000000`);
    }
    expect(slow.ofType('value').length).toBeLessThan(quick.ofType('value').length);
    expect(await metric(gateway, 'sluice_feed_dropped_total')).toBe(0);
  });

  it('drops a client that does not answer, and keeps the others', async () => {
    const gateway = await startGateway({ SLUICE_PRICES_GATEWAY_HEARTBEAT_MS: '300' });
    const dead = await connect(gateway.port!);
    const alive = await connect(gateway.port!);
    dead.socket.pause();
    await expect.poll(async () => await metric(gateway, 'sluice_feed_dropped_total'), PATIENCE).toBe(1);
    expect(alive.closeCode).toBeNull();
  });

  it('keeps its clients while the broker is away, says that values are delayed, and goes on', async () => {
    await writer.write([{ stockId: 5, interval: '1w', start: 0, closeE6: e6(1) }]);
    const one = await connect((await startGateway()).port!);
    one.subscribe(['S5', '1w']);
    const state = () => one.ofType('status').at(-1)?.state;
    await expect.poll(() => one.lastClose('S5', '1w'), PATIENCE).toBe('1.000000');
    await stack.kill('kafka', 'SIGSTOP');
    try {
      await expect.poll(state, PATIENCE).toBe('delayed');
    } finally {
      await stack.kill('kafka', 'SIGCONT');
    }
    await stack.kill('kafka', 'SIGKILL');
    await writer.close();
    await expect.poll(async () => await openWriter().catch(() => null), PATIENCE).not.toBeNull();
    await writer.write([{ stockId: 5, interval: '1w', start: 0, closeE6: e6(2) }]);
    await expect.poll(() => one.lastClose('S5', '1w'), PATIENCE).toBe('2.000000');
    await expect.poll(state, PATIENCE).toBe('live');
    expect(one.closeCode).toBeNull();
  });

  it('is started again after SIGKILL and tells the same', async () => {
    await writer.write([{ stockId: 6, interval: '15m', start: 0, closeE6: e6(6) }]);
    const port = String(await freePortBase());
    const children: ChildProcess[] = [];
    const start = () => {
      const command = [join(import.meta.dirname, '../../../scripts/worker.ts'), 'prices.gateway'];
      const child = spawn(process.execPath, command, {
        env: { ...process.env, ...env, SLUICE_PRICES_GATEWAY_PORT: port, SLUICE_LOG_LEVEL: 'fatal' },
        stdio: 'ignore',
      });
      children.push(child);
      return child;
    };
    const untilConnected = async (): Promise<FeedClient> => {
      let connected: FeedClient | null = null;
      const tryAgain = async () => {
        connected = await connect(Number(port)).catch(() => null);
        return connected !== null;
      };
      await expect.poll(tryAgain, PATIENCE).toBe(true);
      return connected!;
    };
    try {
      for (const price of [6, 7]) {
        const child = start();
        const one = await untilConnected();
        one.subscribe(['S6', '15m']);
        await expect.poll(() => one.lastClose('S6', '15m'), PATIENCE).toBe(`${price}.000000`);
        child.kill('SIGKILL');
        await expect.poll(() => one.closeCode, PATIENCE).toBe(1006);
        await writer.write([{ stockId: 6, interval: '15m', start: 0, closeE6: e6(price + 1) }]);
      }
      const child = start();
      const one = await untilConnected();
      child.kill('SIGTERM');
      expect((await once(child, 'exit'))[0]).toBe(0);
      await expect.poll(() => one.closeCode, PATIENCE).toBe(1001);
    } finally {
      for (const child of children) child.kill('SIGKILL');
    }
  });
});
