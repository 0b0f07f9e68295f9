/** The sinks of prices as their workers run them: from a real broker and registry, with keys and values as the stage writes them. */
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { appendRecords } from '../../../connectors/kafka/plain.ts';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { RunnableWorker } from '../../../engine/stage-worker.ts';
import { loadConfig } from '../../../pipelines/config.ts';
import { encodeCandle, encodeCandleKey } from '../../../pipelines/prices/codec/candle.ts';
import { type LatestPriceReader, latestPriceReader } from '../../../pipelines/prices/latest-reader.ts';
import { PRICES_SINKS } from '../../../pipelines/prices/sink-workers.ts';
import { CANDLES, CANDLES_SINK, DLQ, LATEST_SINK } from '../../../pipelines/prices/topics.ts';
import { workerEnvironment } from '../../../pipelines/worker-environment.ts';
import { SUBJECTS, schemaText } from '../../../schemas/subjects.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import { brokers, stackEnv } from '../../support/env.ts';
import { type CandleOutput, candle, candleGone, candleKey } from '../../support/price-records.ts';
import { createTopic } from '../kafka/topics.ts';
import { startRedis, type TestRedis, until } from '../redis/server.ts';

const logger = pino({ level: 'silent' });
const TODAY = Math.floor(Date.now() / 86_400_000) * 86_400_000;

let clickHouse: TestClickHouse;
let database: EngagementDatabase;
let redis: TestRedis;
let reader: LatestPriceReader;
const workers: RunnableWorker[] = [];
const runs: Promise<void>[] = [];

beforeAll(async () => {
  [clickHouse, redis] = await Promise.all([startClickHouse(), startRedis(16_550)]);
  database = await engagementDatabase(clickHouse.url, 'sinks');
  reader = latestPriceReader({ url: redis.url });
  await reader.connect();
  await createTopic(brokers(), CANDLES);
  await createTopic(brokers(), DLQ);
}, 120_000);
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  await Promise.all(runs);
  await reader?.close();
  await database?.close();
  await Promise.all([clickHouse?.stop(), redis?.stop()]);
}, 120_000);

it('mirror candles and take off what tombstones name', { timeout: 120_000 }, async () => {
  const env = { ...stackEnv(), SLUICE_REDIS_URL: redis.url, SLUICE_CLICKHOUSE_URL: clickHouse.url };
  const config = loadConfig({ ...env, SLUICE_CLICKHOUSE_DATABASE: 'sinks', SLUICE_PARTITIONS: '1' });
  const registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  const idOf = async ({ name, schema, compatibility }: (typeof SUBJECTS)['candle' | 'candleKey']) =>
    (await registry.register({ name, text: schemaText(schema), compatibility })).id;
  const [keyId, valueId] = [await idOf(SUBJECTS.candleKey), await idOf(SUBJECTS.candle)];
  const writer = new ByteWriter();
  const bytes = (work: () => Buffer): Buffer => {
    writer.reset();
    return Buffer.from(work());
  };
  const append = (...outputs: readonly CandleOutput[]) =>
    appendRecords(
      { brokers: brokers(), clientId: 'test' },
      CANDLES,
      outputs.map((output) => ({
        partition: 0,
        key: bytes(() => encodeCandleKey(writer, keyId, candleKey(output))),
        value: output.kind === 'tombstone' ? null : bytes(() => encodeCandle(writer, valueId, { body: output.body })),
        headers: [],
        timestampMs: Date.now(),
      })),
    );
  const day = (stock: bigint, close: bigint) =>
    candle({ stock_id: stock, interval: '1d', start: TODAY }, close, { source_commit_ts: Date.now() });
  await append(day(1n, 5_000_000n), day(2n, 6_000_000n));
  for (const name of [CANDLES_SINK, LATEST_SINK]) {
    const worker = await PRICES_SINKS[name]!(workerEnvironment(name, config, logger));
    workers.push(worker);
    runs.push(worker.run());
  }
  const closes = async () =>
    (
      await selectRows<{ c: string }>(
        database.client,
        'SELECT toString(close) AS c FROM prices_candles ORDER BY stock_id',
      )
    ).map(({ c }) => c);
  const shown = async () => (await reader.latest(['S1', 'S2'])).map((one) => one?.price ?? null);
  await until('both show both', async () => String(await closes()) === '5,6' && String(await shown()) === '5,6');
  await append(day(1n, 5_500_000n), candleGone({ stock_id: 2n, interval: '1d', start: TODAY }));
  await until('the correction and the removal are there', async () => String(await closes()) === '5.5');
  await until('in Redis too', async () => (await shown()).join() === '5.5,');
  expect(await shown()).toEqual(['5.5', null]);
});
