/** The sinks of prices as their workers run them: from a real broker and registry, with keys and values as the stage writes them. */
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { appendRecords } from '../../../connectors/kafka/plain.ts';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { RunnableWorker } from '../../../engine/stage-worker.ts';
import { loadConfig } from '../../../pipelines/config.ts';
import { DEPLOYMENTS_TOPIC } from '../../../pipelines/operations/topics.ts';
import { encodeCandle, encodeCandleKey } from '../../../pipelines/prices/codec/candle.ts';
import { encodeIndicators } from '../../../pipelines/prices/codec/indicators.ts';
import { type IndicatorsReader, indicatorsReader } from '../../../pipelines/prices/indicators-reader.ts';
import { type LatestPriceReader, latestPriceReader } from '../../../pipelines/prices/latest-reader.ts';
import { PRICES_SINKS } from '../../../pipelines/prices/sink-workers.ts';
import {
  CANDLES,
  CANDLES_SINK,
  DLQ,
  INDICATORS,
  INDICATORS_CLICKHOUSE_SINK,
  INDICATORS_REDIS_SINK,
  LATEST_SINK,
} from '../../../pipelines/prices/topics.ts';
import { workerEnvironment } from '../../../pipelines/worker-environment.ts';
import { SUBJECTS, schemaText } from '../../../schemas/subjects.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import { brokers, stackEnv } from '../../support/env.ts';
import {
  type IndicatorsOutput,
  indicatorsAsOf,
  indicatorsGone,
  indicatorsOf,
  indicatorsOutput,
} from '../../support/indicator-records.ts';
import { type CandleOutput, candle, candleGone, candleKey } from '../../support/price-records.ts';
import { createTopic } from '../kafka/topics.ts';
import { startRedis, type TestRedis, until } from '../redis/server.ts';

const logger = pino({ level: 'silent' });
const TODAY = Math.floor(Date.now() / 86_400_000) * 86_400_000;

let clickHouse: TestClickHouse;
let database: EngagementDatabase;
let redis: TestRedis;
let reader: LatestPriceReader;
let indicators: IndicatorsReader;
const workers = new Map<string, { readonly worker: RunnableWorker; readonly run: Promise<void> }>();

beforeAll(async () => {
  [clickHouse, redis] = await Promise.all([startClickHouse(), startRedis(16_550)]);
  database = await engagementDatabase(clickHouse.url, 'sinks');
  reader = latestPriceReader({ url: redis.url });
  indicators = indicatorsReader({ url: redis.url });
  await Promise.all([reader.connect(), indicators.connect()]);
  await createTopic(brokers(), CANDLES);
  await createTopic(brokers(), INDICATORS);
  await createTopic(brokers(), DLQ);
  await createTopic(brokers(), DEPLOYMENTS_TOPIC);
}, 120_000);
afterAll(async () => {
  await Promise.all([...workers.keys()].map(stop));
  await Promise.all([reader?.close(), indicators?.close()]);
  await database?.close();
  await Promise.all([clickHouse?.stop(), redis?.stop()]);
}, 120_000);

const writer = new ByteWriter();
function bytes(work: () => Buffer): Buffer {
  writer.reset();
  return Buffer.from(work());
}

function testConfig() {
  const env = { ...stackEnv(), SLUICE_REDIS_URL: redis.url, SLUICE_CLICKHOUSE_URL: clickHouse.url };
  return loadConfig({ ...env, SLUICE_CLICKHOUSE_DATABASE: 'sinks', SLUICE_PARTITIONS: '1' });
}

async function idOf({ name, schema, compatibility }: (typeof SUBJECTS)[keyof typeof SUBJECTS]): Promise<number> {
  const registry = new RegistryClient({ url: testConfig().SLUICE_REGISTRY_URL });
  return (await registry.register({ name, text: schemaText(schema), compatibility })).id;
}

async function append(topic: string, records: readonly { readonly key: Buffer; readonly value: Buffer | null }[]) {
  const timestampMs = Date.now();
  await appendRecords(
    { brokers: brokers(), clientId: 'test' },
    topic,
    records.map(({ key, value }) => ({ partition: 0, key, value, headers: [], timestampMs })),
  );
  return timestampMs;
}

async function start(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const worker = await PRICES_SINKS[name]!(workerEnvironment(name, testConfig(), logger));
    workers.set(name, { worker, run: worker.run() });
  }
}

async function stop(name: string): Promise<void> {
  const { worker, run } = workers.get(name)!;
  await worker.stop();
  await run;
}

async function tellCandles(...outputs: readonly CandleOutput[]) {
  const [keyId, valueId] = [await idOf(SUBJECTS.candleKey), await idOf(SUBJECTS.candle)];
  await append(
    CANDLES,
    outputs.map((output) => ({
      key: bytes(() => encodeCandleKey(writer, keyId, candleKey(output))),
      value: output.kind === 'tombstone' ? null : bytes(() => encodeCandle(writer, valueId, { body: output.body })),
    })),
  );
}

const day = (stock: bigint, close: bigint) =>
  candle({ stock_id: stock, interval: '1d', start: TODAY }, close, { source_commit_ts: Date.now() });

async function closes(): Promise<string> {
  const query = 'SELECT toString(close) AS c FROM prices_candles ORDER BY stock_id';
  return (await selectRows<{ c: string }>(database.client, query)).map(({ c }) => c).join();
}

it('mirror candles and take off what tombstones name', { timeout: 120_000 }, async () => {
  await tellCandles(day(1n, 5_000_000n), day(2n, 6_000_000n));
  await start([CANDLES_SINK, LATEST_SINK]);
  const shown = async () => (await reader.latest(['S1', 'S2'])).map((one) => one?.price ?? null);
  await until('both show both', async () => (await closes()) === '5,6' && String(await shown()) === '5,6');
  await tellCandles(day(1n, 5_500_000n), candleGone({ stock_id: 2n, interval: '1d', start: TODAY }));
  await until('the correction and the removal are there', async () => (await closes()) === '5.5');
  await until('in Redis too', async () => (await shown()).join() === '5.5,');
  expect(await shown()).toEqual(['5.5', null]);
});

it('rebuild what they may have missed the end of, after an absence', { timeout: 120_000 }, async () => {
  await stop(CANDLES_SINK);
  // A candle whose tombstone the topic has let go.
  await database.client.command({
    query: `INSERT INTO prices_candles_day_store SELECT * REPLACE (9 AS stock_id) FROM
      (SELECT * FROM prices_candles_day_store FINAL WHERE stock_id = 1)`,
  });
  await tellCandles(day(3n, 7_000_000n));
  await start([CANDLES_SINK]);
  await until('it goes on', async () => (await closes()) === '5.5,7,5.5');
  await stop(CANDLES_SINK);
  const columns = 'pipeline, topic, partition, generation, next_offset, lsn, stream_time';
  await database.client.command({
    query: `INSERT INTO sluice_progress (${columns}, updated_at)
      SELECT ${columns}, now64(3) - INTERVAL 4 DAY FROM sluice_progress FINAL WHERE pipeline = '${CANDLES_SINK}'`,
  });
  await tellCandles(day(4n, 8_000_000n));
  await start([CANDLES_SINK]);
  await until('it is gone, and what came meanwhile is there', async () => (await closes()) === '5.5,7,8');
  await tellCandles(day(4n, 8_500_000n));
  await until('it goes on', async () => (await closes()) === '5.5,7,8.5');
  const shadows = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%shadow%'";
  expect(await selectRows(database.client, shadows)).toEqual([]);
});

it('mirror indicators, with the time of their record and the stamp', { timeout: 120_000 }, async () => {
  const id = await idOf(SUBJECTS.indicators);
  const tell = (...outputs: readonly IndicatorsOutput[]) =>
    append(
      INDICATORS,
      outputs.map((output) => ({
        key: output.key,
        value:
          output.kind === 'tombstone' ? null : bytes(() => encodeIndicators(writer, id, { body: output.value.body })),
      })),
    );
  const at = (stock_id: bigint) => ({ stock_id, interval: '1h', start: TODAY }) as const;
  const hour = (stock: bigint, rsi: number) =>
    indicatorsOutput(indicatorsOf(at(stock), 5_000_000n, { rsi_14: rsi, signals: ['rsi_oversold'] }), 0);
  await tell(hour(1n, 20.5), hour(2n, 30));
  await start([INDICATORS_CLICKHOUSE_SINK, INDICATORS_REDIS_SINK]);
  const rows = async () =>
    await selectRows<{ rsi_14: number }>(
      database.client,
      'SELECT stock_id, rsi_14, signals, toUnixTimestamp64Milli(as_of) AS ms FROM prices_indicators ORDER BY stock_id',
    );
  const inWarehouse = async () => (await rows()).map(({ rsi_14 }) => rsi_14).join();
  const inRedis = async () =>
    (await indicators.latest('1h', ['S1', 'S2'])).indicators.map((one) => one?.rsi_14 ?? null).join();
  await until('both show both', async () => (await inWarehouse()) === '20.5,30' && (await inRedis()) === '20.5,30');
  const timeMs = await tell(hour(1n, 25), indicatorsGone(at(2n)), indicatorsAsOf(0, TODAY, 77n));
  await until('the correction and the removal are there', async () => (await inWarehouse()) === '25');
  await until('in Redis too', async () => (await inRedis()) === '25,');
  expect(await rows()).toEqual([{ stock_id: '1', rsi_14: 25, signals: ['rsi_oversold'], ms: String(timeMs) }]);
  const { indicators: found, asOf } = await indicators.latest('1h', ['S1']);
  expect([found[0]?.asOf, asOf]).toEqual([timeMs, { streamTime: TODAY, sourceLsn: 77n }]);
  expect(
    await selectRows(database.client, 'SELECT lsn FROM sluice_freshness WHERE pipeline = {sink:String}', {
      sink: INDICATORS_CLICKHOUSE_SINK,
    }),
  ).toEqual([{ lsn: '77' }]);
});
