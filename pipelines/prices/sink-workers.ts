/** The sinks of the prices pipeline. */

import { redisSink } from '../../connectors/redis/sink.ts';
import type { SchemaSource } from '../../engine/avro/framed-decoder.ts';
import { sinkWorker } from '../../engine/sink-worker.ts';
import type { RunnableWorker } from '../../engine/stage-worker.ts';
import type { CandleRecord } from '../../schemas/prices/candle.ts';
import type { MoversRecord } from '../../schemas/prices/movers.ts';
import { clickHouseConfig } from '../config.ts';
import { GATHER_BYTES, preparing, type WorkerEnvironment, type WorkerTable } from '../worker-environment.ts';
import { candlesClickHouseSink } from './clickhouse-candles.ts';
import { indicatorsClickHouseSink } from './clickhouse-indicators.ts';
import { stocksClickHouseSink } from './clickhouse-stocks.ts';
import { candleDecoder, candleKeyDecoder } from './codec/candle.ts';
import { indicatorsDecoder, type TimedIndicators } from './codec/indicators.ts';
import { moversDecoder } from './codec/movers.ts';
import { stockRowDecoder } from './codec/stock.ts';
import { preparingBoth, reading } from './preparing.ts';
import { atGeneration } from './redis-deployment.ts';
import { latestIndicatorsSink } from './redis-indicators.ts';
import { latestPriceSink } from './redis-latest.ts';
import { MOVERS_SINK, moversBoards } from './redis-movers.ts';
import { afterAbsence } from './replay/warehouses.ts';
import {
  CANDLES,
  CANDLES_SINK,
  CDC_STOCKS,
  DLQ,
  INDICATORS,
  INDICATORS_CLICKHOUSE_SINK,
  INDICATORS_REDIS_SINK,
  LATEST_SINK,
  MOVERS,
  STOCKS_SINK,
} from './topics.ts';

const streamTimeMs = ({ body }: CandleRecord): number =>
  body.kind === 'CandlesAsOf' ? body.stream_time : body.source_commit_ts;

async function clickHouseCandles(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const values = candleDecoder(registry);
  const keys = candleKeyDecoder(registry);
  const name = CANDLES_SINK;
  return sinkWorker({
    definition: {
      name,
      input: CANDLES,
      dlq: DLQ,
      sink: candlesClickHouseSink({ name, config: clickHouseConfig(config), keyOf: reading(keys) }),
      opening: afterAbsence(name, environment),
      prepare: preparingBoth(values, keys),
      decode: (value) => values.decode(value),
      streamTimeMs,
      generation: config.SLUICE_GENERATION,
      maxRecords: 30_000,
    },
    client,
    logger,
    gatherMs: config.SLUICE_CLICKHOUSE_GATHER_MS,
    gatherBytes: 4 << 20,
    bufferBytes: 3 << 20,
  });
}

/** Reads records of `prices.indicators`. */
export function timedIndicators(schemas: SchemaSource) {
  const decoder = indicatorsDecoder(schemas);
  const decode = (value: Buffer, timeMs: number): TimedIndicators => ({ body: decoder.decode(value).body, timeMs });
  return { prepare: preparing(decoder), decode };
}

/** What a sink of `prices.indicators` reads, whatever it writes to. */
function indicatorsInput({ config, registry }: WorkerEnvironment) {
  return {
    ...timedIndicators(registry),
    input: INDICATORS,
    dlq: DLQ,
    streamTimeMs: ({ timeMs }: TimedIndicators) => timeMs,
    generation: config.SLUICE_GENERATION,
    maxRecords: 20_000,
  };
}

async function clickHouseIndicators(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger } = environment;
  const name = INDICATORS_CLICKHOUSE_SINK;
  const sink = indicatorsClickHouseSink({ name, config: clickHouseConfig(config) });
  return sinkWorker({
    definition: { name, ...indicatorsInput(environment), sink, opening: afterAbsence(name, environment) },
    client,
    logger,
    gatherMs: config.SLUICE_CLICKHOUSE_GATHER_MS,
    gatherBytes: 4 << 20,
    bufferBytes: 3 << 20,
  });
}

async function redisIndicators(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger } = environment;
  const name = INDICATORS_REDIS_SINK;
  const sink = latestIndicatorsSink({ name, redis: { url: config.SLUICE_REDIS_URL } });
  return await atGeneration(environment, (generation) =>
    sinkWorker({
      definition: { name, ...indicatorsInput(environment), sink, generation },
      client,
      logger,
      gatherMs: config.SLUICE_REDIS_GATHER_MS,
      gatherBytes: GATHER_BYTES,
    }),
  );
}

async function clickHouseStocks({ config, client, logger, registry }: WorkerEnvironment): Promise<RunnableWorker> {
  const decoder = stockRowDecoder(registry);
  const name = STOCKS_SINK;
  return sinkWorker({
    definition: {
      name,
      input: CDC_STOCKS,
      dlq: DLQ,
      sink: stocksClickHouseSink({ name, config: clickHouseConfig(config) }),
      prepare: preparing(decoder),
      decode: (value) => decoder.decode(value),
      streamTimeMs: ({ commitTsMs }) => commitTsMs,
      generation: config.SLUICE_GENERATION,
      maxRecords: 10_000,
    },
    client,
    logger,
    gatherMs: config.SLUICE_CLICKHOUSE_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
}

async function latest(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const values = candleDecoder(registry);
  const keys = candleKeyDecoder(registry);
  const name = LATEST_SINK;
  return await atGeneration(environment, (generation) =>
    sinkWorker({
      definition: {
        name,
        input: CANDLES,
        dlq: DLQ,
        sink: latestPriceSink({ name, redis: { url: config.SLUICE_REDIS_URL }, keyOf: reading(keys) }),
        prepare: preparingBoth(values, keys),
        decode: (value) => values.decode(value),
        streamTimeMs,
        generation,
        maxRecords: 20_000,
      },
      client,
      logger,
      gatherMs: config.SLUICE_REDIS_GATHER_MS,
      gatherBytes: GATHER_BYTES,
    }),
  );
}

async function moversSink(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const decoder = moversDecoder(registry);
  const name = MOVERS_SINK;
  return await atGeneration(environment, (generation) =>
    sinkWorker({
      definition: {
        name,
        input: MOVERS,
        dlq: DLQ,
        sink: redisSink<MoversRecord>({
          name,
          redis: { url: config.SLUICE_REDIS_URL },
          ...moversBoards(config.SLUICE_PRICES_SECTORS),
          partitions: config.SLUICE_PARTITIONS,
        }),
        prepare: preparing(decoder),
        decode: (value) => decoder.decode(value),
        streamTimeMs: ({ body }) => (body.kind === 'MoversAsOf' ? body.stream_time : 0),
        generation,
        maxRecords: 20_000,
      },
      client,
      logger,
      gatherMs: config.SLUICE_PRICES_SCANNER_GATHER_MS,
      gatherBytes: GATHER_BYTES,
    }),
  );
}

export const PRICES_SINKS: WorkerTable = {
  [MOVERS_SINK]: moversSink,
  [CANDLES_SINK]: clickHouseCandles,
  [INDICATORS_CLICKHOUSE_SINK]: clickHouseIndicators,
  [INDICATORS_REDIS_SINK]: redisIndicators,
  [STOCKS_SINK]: clickHouseStocks,
  [LATEST_SINK]: latest,
};
