/** What rebuilds of the prices tables of ClickHouse read: the topic that the sink reads, which holds absolute values. */
import { randomUUID } from 'node:crypto';
import type { EmitRow } from '../../../connectors/clickhouse/sink.ts';
import { textCells } from '../../../connectors/clickhouse/tab-separated.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogRecord } from '../../../engine/log.ts';
import type { TopicPartition } from '../../../engine/sink.ts';
import { clickHouseConfig } from '../../config.ts';
import { rebuildAfterAbsence } from '../../operations/replay/absence.ts';
import type { WarehouseReplay } from '../../operations/replay/warehouse.ts';
import { preparing, type WorkerEnvironment } from '../../worker-environment.ts';
import { candlesTarget } from '../clickhouse-candles.ts';
import { indicatorsTarget } from '../clickhouse-indicators.ts';
import { DELETED_COLUMN, type PricesTarget } from '../clickhouse-sink.ts';
import { stocksTarget } from '../clickhouse-stocks.ts';
import { candleDecoder, candleKeyDecoder } from '../codec/candle.ts';
import { indicatorsDecoder } from '../codec/indicators.ts';
import { stockRowDecoder } from '../codec/stock.ts';
import { preparingBoth, reading } from '../preparing.ts';
import {
  CANDLES,
  CANDLES_SINK,
  CDC_STOCKS,
  INDICATORS,
  INDICATORS_CLICKHOUSE_SINK,
  STOCKS_SINK,
  TOMBSTONES_MS,
} from '../topics.ts';

/** By the name of the sink. */
export const PRICES_WAREHOUSES = {
  [CANDLES_SINK]: candles,
  [INDICATORS_CLICKHOUSE_SINK]: indicators,
  [STOCKS_SINK]: stocks,
} as const satisfies Readonly<Record<string, (schemas: SchemaSource) => WarehouseReplay>>;

/** What a sink does before it opens a partition: its tables are rebuilt when it may have missed tombstones. */
export function afterAbsence(
  sink: keyof typeof PRICES_WAREHOUSES,
  { config, client, logger, registry }: WorkerEnvironment,
): (at: TopicPartition) => Promise<void> {
  return rebuildAfterAbsence({
    spec: PRICES_WAREHOUSES[sink](registry),
    kafka: client,
    clickHouse: clickHouseConfig(config),
    logger,
    tombstonesMs: TOMBSTONES_MS,
    run: () => randomUUID().replaceAll('-', '').slice(0, 12),
  });
}

function candles(schemas: SchemaSource): WarehouseReplay {
  const values = candleDecoder(schemas);
  const keys = candleKeyDecoder(schemas);
  return warehouse({
    sink: CANDLES_SINK,
    topic: CANDLES,
    target: candlesTarget(reading(keys)),
    prepare: preparingBoth(values, keys),
    decode: (value) => values.decode(value),
  });
}

function indicators(schemas: SchemaSource): WarehouseReplay {
  const decoder = indicatorsDecoder(schemas);
  return warehouse({
    sink: INDICATORS_CLICKHOUSE_SINK,
    topic: INDICATORS,
    target: indicatorsTarget,
    prepare: preparing(decoder),
    decode: (value, timeMs) => ({ body: decoder.decode(value).body, timeMs }),
  });
}

function stocks(schemas: SchemaSource): WarehouseReplay {
  const decoder = stockRowDecoder(schemas);
  return warehouse({
    sink: STOCKS_SINK,
    topic: CDC_STOCKS,
    target: stocksTarget,
    prepare: preparing(decoder),
    decode: (value) => decoder.decode(value),
  });
}

function warehouse<T>(options: {
  readonly sink: string;
  readonly topic: string;
  readonly target: PricesTarget<T>;
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  readonly decode: (value: Buffer, timestampMs: number) => T;
}): WarehouseReplay {
  const { sink, topic, target, prepare, decode } = options;
  return {
    changes: topic,
    states: topic,
    tables: { log: target.table, kind: 'versions', key: [], time: '', pipeline: sink, topic },
    columns: [
      ...target.columns.map(({ name }) => name),
      DELETED_COLUMN,
      'source_partition',
      'source_offset',
      'generation',
    ],
    prepare,
    row: ({ key, value, offset, timestampMs }, partition) => {
      let rows = '';
      const emit: EmitRow = (part, values) => {
        rows += `${textCells(target.columns, values)}\t${part}\t${partition}\t${offset}\t0\n`;
      };
      if (value !== null) target.toRows({ kind: 'upsert', offset, key, value: decode(value, timestampMs) }, emit);
      else if (key !== null) target.toRows({ kind: 'tombstone', offset, key }, emit);
      return rows === '' ? null : rows;
    },
  };
}
