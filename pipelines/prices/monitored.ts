/** What the monitor (pipelines/operations/monitor/monitored.ts) is told of the prices pipeline. */
import type { MonitoredPipeline } from '../operations/monitor/monitored.ts';
import { CANDLES_STAGE } from './candles-stage.ts';
import { INDICATORS_STAGE } from './indicators-stage.ts';
import { SCANNER_STAGE } from './scanner-stage.ts';
import { CANDLES, CANDLES_V1, CDC_PRICES, DLQ, INDICATORS, MOVERS, SIGNALS_V1 } from './topics.ts';

export const PRICES_MONITORED: MonitoredPipeline = {
  name: 'prices',
  workers: [
    { name: CANDLES_STAGE, input: CDC_PRICES },
    { name: INDICATORS_STAGE, input: CANDLES },
    { name: SCANNER_STAGE, input: INDICATORS },
  ],
  transactional: [CDC_PRICES, CANDLES, CANDLES_V1, INDICATORS, SIGNALS_V1, MOVERS, DLQ],
  dlq: DLQ,
  clickHouseSinks: [],
  redisSinks: [],
};
