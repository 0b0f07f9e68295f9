/** What the dead-letter commands (pipelines/operations/dlq) are told of the prices pipeline. */
import type { SchemaSource } from '../../engine/avro/framed-decoder.ts';
import { type Config, clickHouseConfig } from '../config.ts';
import type { DlqPipeline, SinkRedrive } from '../operations/dlq/pipeline.ts';
import { COMMON_REASONS, type Reasons } from '../operations/dlq/reasons.ts';
import { sinkRedrive } from '../operations/dlq/sink-redrive.ts';
import { preparing } from '../worker-environment.ts';
import { candlesClickHouseSink } from './clickhouse-candles.ts';
import { indicatorsClickHouseSink } from './clickhouse-indicators.ts';
import { stocksClickHouseSink } from './clickhouse-stocks.ts';
import { candleDecoder, candleKeyDecoder } from './codec/candle.ts';
import { stockRowDecoder } from './codec/stock.ts';
import { preparingBoth, reading } from './preparing.ts';
import { timedIndicators } from './sink-workers.ts';
import {
  CANDLES,
  CANDLES_SINK,
  CDC_PRICES,
  CDC_STOCKS,
  DLQ,
  INDICATORS,
  INDICATORS_CLICKHOUSE_SINK,
  STOCKS_SINK,
} from './topics.ts';

export const PRICES_REASONS = {
  ...COMMON_REASONS,
  BAD_NUMBER: { meaning: 'a price is NaN, or has more decimals than are kept' },
  PRICE_NOT_POSITIVE: { meaning: 'a price of the bar is zero or less' },
  HIGH_BELOW_LOW: {
    meaning: 'the highest price of the bar is below its lowest',
    fault: { column: 'high', expected: 'the low or more' },
  },
  OPEN_OUTSIDE_RANGE: {
    meaning: 'the first price of the bar is none that it can have had',
    fault: { column: 'open', expected: 'from low to high' },
  },
  CLOSE_OUTSIDE_RANGE: {
    meaning: 'the last price of the bar is none that it can have had',
    fault: { column: 'close', expected: 'from low to high' },
  },
  NEGATIVE_VOLUME: {
    meaning: 'fewer than no shares were traded',
    fault: { column: 'volume', expected: '0 or more' },
  },
  UNKNOWN_STOCK: {
    meaning: 'no version of the stock was ever captured',
    fault: { column: 'stock_id', expected: 'the id of a captured stock' },
  },
  MISALIGNED_TIME: {
    meaning: 'no bar begins at the time of the row',
    fault: {
      column: 'ts',
      expected: 'a whole minute, of a daily bar midnight at the exchange, of the years 1970 to 2199',
    },
  },
  FUTURE_BAR: {
    meaning: 'the bar begins more than a day behind the commit of its row',
    fault: { column: 'ts', expected: 'at most 24 hours after source.ts_ms, the time of the commit' },
  },
} as const satisfies Reasons;

export const PRICES_DLQ: DlqPipeline = {
  name: 'prices',
  topic: DLQ,
  reasons: PRICES_REASONS,
  captured: [CDC_PRICES],
  // Redis and the stages behind the candles hold the newest state of a key: they are rebuilt, not mended record by record.
  sinks: {
    [CANDLES_SINK]: candlesRedrive,
    [INDICATORS_CLICKHOUSE_SINK]: indicatorsRedrive,
    [STOCKS_SINK]: stocksRedrive,
  },
};

/** A version written late is no newer than it was: its offset orders it. */
function candlesRedrive(config: Config, schemas: SchemaSource): SinkRedrive {
  const values = candleDecoder(schemas);
  const keys = candleKeyDecoder(schemas);
  return sinkRedrive({
    sink: candlesClickHouseSink({ name: CANDLES_SINK, config: clickHouseConfig(config), keyOf: reading(keys) }),
    topic: CANDLES,
    generation: config.SLUICE_GENERATION,
    prepare: preparingBoth(values, keys),
    decode: (value) => values.decode(value),
  });
}

function indicatorsRedrive(config: Config, schemas: SchemaSource): SinkRedrive {
  const { prepare, decode } = timedIndicators(schemas);
  return sinkRedrive({
    sink: indicatorsClickHouseSink({ name: INDICATORS_CLICKHOUSE_SINK, config: clickHouseConfig(config) }),
    topic: INDICATORS,
    generation: config.SLUICE_GENERATION,
    ...{ prepare, decode },
  });
}

function stocksRedrive(config: Config, schemas: SchemaSource): SinkRedrive {
  const decoder = stockRowDecoder(schemas);
  return sinkRedrive({
    sink: stocksClickHouseSink({ name: STOCKS_SINK, config: clickHouseConfig(config) }),
    topic: CDC_STOCKS,
    generation: config.SLUICE_GENERATION,
    prepare: preparing(decoder),
    decode: (value) => decoder.decode(value),
  });
}
