/**
 * How records of `prices.indicators` become rows of ClickHouse's `prices_indicators_log`: one for each version, notes of what is behind and
 * stamps included. That topic and not the public one, because only it has these two: without them nobody could tell how fresh a row is.
 */
import type { Column, Value } from '../../connectors/clickhouse/native-block.ts';
import type { EmitRow } from '../../connectors/clickhouse/sink.ts';
import type { Sink, SinkRecord } from '../../engine/sink.ts';
import type { Indicators } from '../../schemas/prices/indicators.ts';
import { type PricesClickHouseOptions, type PricesTarget, pricesClickHouseSink } from './clickhouse-sink.ts';
import type { TimedIndicators } from './codec/indicators.ts';
import { decodeIndicatorsKey } from './codec/indicators-key.ts';

/** What a row is about. */
interface Subject {
  readonly kind: 'candle' | 'behind' | 'asof';
  readonly stock_id: bigint;
  /** Empty for a stamp. */
  readonly interval: string;
  readonly start: number;
}

type Numbers = {
  [Name in keyof Indicators]: Indicators[Name] extends number | bigint | null ? Name : never;
}[keyof Indicators];

/** Known of every candle. */
const FIGURES = ['open_e6', 'high_e6', 'low_e6', 'close_e6', 'volume', 'obv'] as const satisfies readonly Numbers[];
const AVERAGES = [
  ...['sma_20', 'sma_50', 'sma_200', 'ema_12', 'ema_26', 'rsi_14', 'macd', 'macd_signal', 'macd_histogram'],
  ...['bollinger_upper', 'bollinger_lower', 'atr_14', 'volume_ratio'],
] as readonly Numbers[];
const PRICES_BEFORE = [
  ...['previous_close_e6', 'previous_high_e6', 'previous_low_e6'],
  ...['high_20d_e6', 'low_20d_e6', 'high_52w_e6', 'low_52w_e6'],
] as readonly Numbers[];
const NUMBERS: readonly Numbers[] = [...FIGURES, ...AVERAGES, ...PRICES_BEFORE];

/** In the order of `valuesOf`. */
const COLUMNS: readonly Column[] = [
  { name: 'kind', type: 'String' },
  { name: 'stock_id', type: 'Int64' },
  { name: 'interval', type: 'String' },
  { name: 'start', type: 'DateTime64(3)' },
  { name: 'lsn', type: 'UInt64' },
  { name: 'as_of', type: 'DateTime64(3)' },
  { name: 'symbol', type: 'String' },
  { name: 'end', type: 'DateTime64(3)' },
  { name: 'final', type: 'Int8' },
  { name: 'signals', type: 'Array(String)' },
  ...FIGURES.map((name) => ({ name, type: 'Int64' }) as const),
  ...AVERAGES.map((name) => ({ name, type: 'Nullable(Float64)' }) as const),
  ...PRICES_BEFORE.map((name) => ({ name, type: 'Nullable(Int64)' }) as const),
];

/** Of a row of which nothing but its subject is known. */
const BARE: readonly Value[] = [...FIGURES.map(() => 0), ...AVERAGES.map(() => null), ...PRICES_BEFORE.map(() => null)];

function valuesOf(
  { kind, stock_id, interval, start }: Subject,
  at: { readonly lsn: bigint; readonly timeMs: number },
  row: Indicators | null,
): readonly Value[] {
  const values: Value[] = [kind, stock_id, interval, start, at.lsn, at.timeMs];
  if (row === null) {
    values.push('', start, 0, [], ...BARE);
    return values;
  }
  values.push(row.symbol, row.end, row.final ? 1 : 0, row.signals);
  for (const name of NUMBERS) values.push(row[name]);
  return values;
}

/** The subject of a stamp, as of the candles' log. */
function stampOf(partition: number): Subject {
  return { kind: 'asof', stock_id: BigInt(-1 - partition), interval: '', start: 0 };
}

function goneOf(key: Uint8Array): Subject {
  const at = decodeIndicatorsKey(key);
  if (at.kind === 'asof') return stampOf(at.partition);
  const start = at.kind === 'candle' ? at.start : 0;
  return { kind: at.kind, stock_id: at.stockId, interval: at.interval, start };
}

/** The row of a record. */
function indicatorRows(record: SinkRecord<TimedIndicators>, emit: EmitRow): void {
  if (record.kind === 'tombstone') {
    emit(1, valuesOf(goneOf(record.key), { lsn: 0n, timeMs: 0 }, null));
    return;
  }
  const { body, timeMs } = record.value;
  const at = { lsn: 0n, timeMs };
  switch (body.kind) {
    case 'Indicators': {
      const { stock_id, interval, start } = body;
      emit(0, valuesOf({ kind: 'candle', stock_id, interval, start }, at, body));
      return;
    }
    case 'IndicatorsBehind': {
      const { stock_id, interval, from } = body;
      emit(0, valuesOf({ kind: 'behind', stock_id, interval, start: from }, at, null));
      return;
    }
    case 'IndicatorsAsOf':
      emit(0, valuesOf(stampOf(body.partition), { lsn: body.source_lsn, timeMs: body.stream_time }, null));
      return;
    default:
      throw body satisfies never;
  }
}

/** Where records of `prices.indicators` go. */
export const indicatorsTarget: PricesTarget<TimedIndicators> = {
  table: 'prices_indicators_log',
  columns: COLUMNS,
  toRows: indicatorRows,
  stampOf: ({ body }) => (body.kind === 'IndicatorsAsOf' ? body : null),
};

/** The sink of `prices.indicators`. Errors as `clickHouseSink`. */
export function indicatorsClickHouseSink(options: PricesClickHouseOptions<TimedIndicators>): Sink<TimedIndicators> {
  return pricesClickHouseSink(options, indicatorsTarget);
}
