/**
 * The prices pipeline, in the order data flows:
 *
 *   cdc stock_prices ─[candles]─► candles
 *                            └► candles.v1 (the public contract)
 */
import { type RunnableWorker, stageWorker } from '../../engine/stage-worker.ts';
import { VersionedTable } from '../../engine/versioned-table.ts';
import { SUBJECTS } from '../../schemas/subjects.ts';
import { sourceClock } from '../capture/source-clock.ts';
import { OperatorGuard } from '../operations/operator-guard.ts';
import { GATHER_BYTES, preparing, schemaId, type WorkerEnvironment, type WorkerTable } from '../worker-environment.ts';
import { CANDLES_STAGE, candlesStage, type StockVersion } from './candles-stage.ts';
import { candleDecoder } from './codec/candle.ts';
import { priceChangeDecoder, stockChangeDecoder } from './codec/cdc.ts';
import { CDC_PRICES, CDC_STOCKS } from './topics.ts';

/** The stocks: what never changes of them, so the first version is the only one. */
function stockTable(
  { client, registry }: WorkerEnvironment,
  failed: (error: unknown) => void,
): VersionedTable<StockVersion> {
  const decoder = stockChangeDecoder(registry);
  return new VersionedTable<StockVersion>(client, {
    topic: CDC_STOCKS,
    prepare: preparing(decoder),
    decode: ({ value }) => {
      if (value === null) return null;
      const { after, lsn } = decoder.decode(value);
      if (after === null) return null; // a deleted stock stays known to what refers to it
      return { key: String(after.id), lsn: lsn ?? 0n, value: after };
    },
    same: (a, b) => a.symbol === b.symbol && a.exchange === b.exchange,
    failed,
  });
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
  const stocks = stockTable(environment, (error) => worker.fail(error));
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

export const PRICES_WORKERS: WorkerTable = {
  [CANDLES_STAGE]: candles,
};
