/** The topics of the prices pipeline and how each is kept. */
import { topicOf } from '../../connectors/debezium/config.ts';
import { capturedTopic, DAY_MS, deadLetterTopic, type TopicSpec } from '../operations/topics.ts';
import { PRICES_TABLE, STOCKS_TABLE } from './capture.ts';

export const CDC_PRICES = topicOf(PRICES_TABLE);
export const CDC_STOCKS = topicOf(STOCKS_TABLE);
/** Bars, candles and as-of stamps, absolute values: the store of `prices.candles`, and what everything else reads. */
export const CANDLES = 'prices.candles';
/** The public contract of candles. */
export const CANDLES_V1 = 'prices.candles.v1';
/** Indicators of each candle: the store of `prices.indicators`. */
export const INDICATORS = 'prices.indicators';
/** The public contract of indicators and signals. */
export const SIGNALS_V1 = 'prices.signals.v1';
/** What the scanner ranks. */
export const MOVERS = 'prices.movers';
export const DLQ = 'prices.dlq';

export const CANDLES_SINK = 'prices.sink.clickhouse';
export const INDICATORS_CLICKHOUSE_SINK = 'prices.sink.clickhouse-indicators';
export const INDICATORS_REDIS_SINK = 'prices.sink.indicators';
export const STOCKS_SINK = 'prices.sink.clickhouse-stocks';
export const LATEST_SINK = 'prices.sink.latest';

/** How long a tombstone stays: a sink that was away for longer may have missed it (replay/warehouses.ts). */
export const TOMBSTONES_MS = 7 * DAY_MS;

export function pricesTopics(partitions: number): readonly TopicSpec[] {
  const compacted = [CANDLES, CANDLES_V1, INDICATORS, SIGNALS_V1, MOVERS];
  // ClickHouse reads on from where it was, and does not notice a deletion that it missed.
  const tombstonesMs = TOMBSTONES_MS;
  return [
    capturedTopic(CDC_PRICES, partitions, 7 * DAY_MS),
    capturedTopic(CDC_STOCKS, 1, -1),
    ...compacted.map((name): TopicSpec => ({ name, partitions, cleanup: 'compact', retentionMs: -1, tombstonesMs })),
    deadLetterTopic(DLQ),
  ];
}
