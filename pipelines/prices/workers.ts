/**
 * The prices pipeline, in the order data flows:
 *
 *   cdc stock_prices ─[candles]─► candles ─[indicators]─► indicators ─[scanner]─► movers
 *                        └► candles.v1        └► signals.v1 (the public contracts)
 *                        └─(sink.clickhouse, sink.latest)─► ClickHouse, Redis
 *   indicators ─(sink.clickhouse-indicators, sink.indicators)─► ClickHouse, Redis
 *   movers ─(sink.movers)─► Redis
 *   cdc stocks ─(sink.clickhouse-stocks)─► ClickHouse
 */
import { type RunnableWorker, stageWorker } from '../../engine/stage-worker.ts';
import { type TableRow, VersionedTable } from '../../engine/versioned-table.ts';
import { SUBJECTS } from '../../schemas/subjects.ts';
import type { RowChange } from '../capture/envelope.ts';
import { sourceClock } from '../capture/source-clock.ts';
import { OperatorGuard } from '../operations/operator-guard.ts';
import { GATHER_BYTES, preparing, schemaId, type WorkerEnvironment, type WorkerTable } from '../worker-environment.ts';

import { CANDLES_STAGE, candlesStage, listingOf, sameListing } from './candles-stage.ts';
import { candleDecoder, seriesCandleDecoder, seriesKeyDecoder } from './codec/candle.ts';
import { priceChangeDecoder, type RawStock, stockChangeDecoder } from './codec/cdc.ts';
import { indicatorsDecoder } from './codec/indicators.ts';
import { moversDecoder } from './codec/movers.ts';
import { INDICATORS_STAGE, indicatorsStage } from './indicators-stage.ts';
import { SCANNER_STAGE, scannerStage } from './scanner-stage.ts';

import { PRICES_SINKS } from './sink-workers.ts';
import { CDC_PRICES, CDC_STOCKS } from './topics.ts';

/** The stocks, as a stage wants them. A version in which all of `same` is as before is none. */
function stockTable<V>(
  { client, registry }: WorkerEnvironment,
  { rowOf, same }: { rowOf(change: RowChange<RawStock>): TableRow<V> | null; same(a: V, b: V): boolean },
  failed: (error: unknown) => void,
): VersionedTable<V> {
  const decoder = stockChangeDecoder(registry);
  return new VersionedTable<V>(client, {
    topic: CDC_STOCKS,
    prepare: preparing(decoder),
    decode: ({ value }) => (value === null ? null : rowOf(decoder.decode(value))),
    same,
    failed,
  });
}

/** A deleted stock stays as it was for what refers to it. */
function namedStock({ after, lsn }: RowChange<RawStock>): TableRow<RawStock> | null {
  return after === null ? null : { key: String(after.id), lsn: lsn ?? 0n, value: after };
}

async function candles(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const decoder = priceChangeDecoder(registry);
  const ids = {
    key: await schemaId(registry, SUBJECTS.candleKey),
    candle: await schemaId(registry, SUBJECTS.candle),
    candleV1: await schemaId(registry, SUBJECTS.candleV1),
  };
  // The store keeps what earlier versions wrote. A version registered later ends the worker, which then starts with it.
  const stored = candleDecoder(registry);
  await stored.load(await registry.versionIds(SUBJECTS.candle.name));
  let worker: RunnableWorker;
  const stocks = stockTable(environment, { rowOf: listingOf, same: sameListing }, (error) => worker.fail(error));
  const decode = preparing(decoder);
  const again = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: GATHER_BYTES });
  const operators = new OperatorGuard({ client, reader: again, topic: CDC_PRICES });
  const latenessMs = config.SLUICE_PRICES_LATENESS_MS;
  worker = stageWorker({
    stage: candlesStage({ stocks: stocks.rows, decoder, stored, ids, operators, latenessMs }),
    client,
    logger,
    stateDir: config.SLUICE_STATE_DIR,
    prepare: async (records, partition) => {
      await Promise.all([decode(records), operators.prepare(records, partition)]);
    },
    tables: [stocks],
    clock: sourceClock(registry),
    gatherMs: config.SLUICE_PRICES_CANDLES_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
  return {
    ...worker,
    stop: async () => {
      await worker.stop();
      await again.close();
    },
  };
}

async function indicators({ config, client, logger, registry }: WorkerEnvironment): Promise<RunnableWorker> {
  const keys = seriesKeyDecoder(registry);
  const decoder = seriesCandleDecoder(registry);
  const stored = indicatorsDecoder(registry);
  await stored.load(await registry.versionIds(SUBJECTS.indicators.name));
  const ids = {
    indicators: await schemaId(registry, SUBJECTS.indicators),
    signalsKey: await schemaId(registry, SUBJECTS.signalsV1Key),
    signals: await schemaId(registry, SUBJECTS.signalsV1),
  };
  const decode = preparing(decoder);
  return stageWorker({
    stage: indicatorsStage({ keys, candles: decoder, stored, ids }),
    client,
    logger,
    stateDir: config.SLUICE_STATE_DIR,
    prepare: async (records) => {
      await Promise.all([decode(records), keys.prepare(records.map(({ key }) => key))]);
    },
    tables: [],
    gatherMs: config.SLUICE_PRICES_INDICATORS_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
}

async function scanner(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const decoder = indicatorsDecoder(registry);
  const stored = moversDecoder(registry);
  await stored.load(await registry.versionIds(SUBJECTS.movers.name));
  let worker: RunnableWorker;
  // Symbol and exchange never change.
  const same = (a: RawStock, b: RawStock) => a.sector === b.sector;
  const stocks = stockTable(environment, { rowOf: namedStock, same }, (error) => worker.fail(error));
  worker = stageWorker({
    stage: scannerStage({ stocks: stocks.rows, decoder, stored, schemaId: await schemaId(registry, SUBJECTS.movers) }),
    client,
    logger,
    stateDir: config.SLUICE_STATE_DIR,
    prepare: preparing(decoder),
    tables: [stocks],
    gatherMs: config.SLUICE_PRICES_SCANNER_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
  return worker;
}

export const PRICES_WORKERS: WorkerTable = {
  [CANDLES_STAGE]: candles,
  [INDICATORS_STAGE]: indicators,
  [SCANNER_STAGE]: scanner,
  ...PRICES_SINKS,
};
