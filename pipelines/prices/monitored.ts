/** What the monitor (pipelines/operations/monitor/monitored.ts) is told of the prices pipeline. */
import type { MonitoredPipeline } from '../operations/monitor/monitored.ts';
import { CANDLES_STAGE } from './candles-stage.ts';
import { CANDLES, CANDLES_V1, CDC_PRICES, DLQ } from './topics.ts';

export const PRICES_MONITORED: MonitoredPipeline = {
  name: 'prices',
  workers: [{ name: CANDLES_STAGE, input: CDC_PRICES }],
  transactional: [CDC_PRICES, CANDLES, CANDLES_V1, DLQ],
  dlq: DLQ,
  clickHouseSinks: [],
  redisSinks: [],
};
