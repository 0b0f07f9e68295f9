/** What the monitor (pipelines/operations/monitor/monitored.ts) is told of the prices pipeline. */
import type { MonitoredPipeline } from '../operations/monitor/monitored.ts';
import { CANDLES_STAGE } from './candles-stage.ts';
import { INDICATORS_STAGE } from './indicators-stage.ts';
import { INDICATORS_STAMPS } from './redis-indicators.ts';
import { LATEST_STAMPS } from './redis-latest.ts';
import { MOVERS_SINK, MOVERS_STAMPS } from './redis-movers.ts';
import { SCANNER_STAGE } from './scanner-stage.ts';
import {
  CANDLES,
  CANDLES_SINK,
  CANDLES_V1,
  CDC_PRICES,
  CDC_STOCKS,
  DLQ,
  INDICATORS,
  INDICATORS_CLICKHOUSE_SINK,
  INDICATORS_REDIS_SINK,
  LATEST_SINK,
  MOVERS,
  SIGNALS_V1,
  STOCKS_SINK,
} from './topics.ts';

/** A bar makes six records of `prices.candles`, more at the end of an interval: as many bars behind as elsewhere. */
const READING_CANDLES = { lagRecords: 700_000 };

export const PRICES_MONITORED: MonitoredPipeline = {
  name: 'prices',
  workers: [
    { name: CANDLES_STAGE, input: CDC_PRICES },
    { name: INDICATORS_STAGE, input: CANDLES },
    { name: SCANNER_STAGE, input: INDICATORS },
    { name: CANDLES_SINK, input: CANDLES },
    { name: INDICATORS_CLICKHOUSE_SINK, input: INDICATORS },
    { name: INDICATORS_REDIS_SINK, input: INDICATORS },
    { name: STOCKS_SINK, input: CDC_STOCKS },
    { name: LATEST_SINK, input: CANDLES },
    { name: MOVERS_SINK, input: MOVERS },
  ],
  transactional: [CDC_PRICES, CDC_STOCKS, CANDLES, CANDLES_V1, INDICATORS, SIGNALS_V1, MOVERS, DLQ],
  dlq: DLQ,
  // Nothing in the topic of stocks says how far the source has come: that sink has no as-of time.
  clickHouseSinks: [CANDLES_SINK, INDICATORS_CLICKHOUSE_SINK],
  redisSinks: [
    { name: LATEST_SINK, stamps: [LATEST_STAMPS] },
    { name: INDICATORS_REDIS_SINK, stamps: [INDICATORS_STAMPS] },
    { name: MOVERS_SINK, stamps: MOVERS_STAMPS },
  ],
  limits: {
    [INDICATORS_STAGE]: READING_CANDLES,
    [SCANNER_STAGE]: READING_CANDLES,
    [CANDLES_SINK]: READING_CANDLES,
    [LATEST_SINK]: READING_CANDLES,
    [INDICATORS_CLICKHOUSE_SINK]: READING_CANDLES,
    [INDICATORS_REDIS_SINK]: READING_CANDLES,
  },
};
