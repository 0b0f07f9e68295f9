/**
 * How records of `prices.indicators` become rows of ClickHouse's `prices_indicators_log`: one for each version, notes of what is behind and
 * stamps included. That topic and not the public one, because only it has these two: without them nobody could tell how fresh a row is.
 */
import type { EmitRow } from '../../connectors/clickhouse/sink.ts';
import { millisCell, NULL_CELL, textArrayCell, textCell } from '../../connectors/clickhouse/tab-separated.ts';
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

const NUMBERS = [
  ...['open_e6', 'high_e6', 'low_e6', 'close_e6', 'volume', 'sma_20', 'sma_50', 'sma_200', 'ema_12', 'ema_26'],
  ...['rsi_14', 'macd', 'macd_signal', 'macd_histogram', 'bollinger_upper', 'bollinger_lower', 'atr_14', 'obv'],
  ...['volume_ratio', 'previous_close_e6', 'previous_high_e6', 'previous_low_e6'],
  ...['high_20d_e6', 'low_20d_e6', 'high_52w_e6', 'low_52w_e6'],
] as readonly {
  [Name in keyof Indicators]: Indicators[Name] extends number | bigint | null ? Name : never;
}[keyof Indicators][];

/** In the order of `cellsOf`. */
const COLUMNS = [
  ...['kind', 'stock_id', 'interval', 'start', 'lsn', 'as_of'],
  ...['symbol', 'end', 'final', 'signals'],
  ...NUMBERS,
];

/** Of a row of which nothing but its subject is known. */
const BARE = NUMBERS.map((name) => (/^(open|high|low|close)_e6$|^volume$|^obv$/.test(name) ? '0' : NULL_CELL));

function cellsOf(subject: Subject, at: { readonly lsn: bigint; readonly timeMs: number }, row: Indicators | null) {
  const { kind, stock_id, interval, start } = subject;
  const place = `${kind}\t${stock_id}\t${interval}\t${millisCell(start)}\t${at.lsn}\t${millisCell(at.timeMs)}`;
  if (row === null) return `${place}\t\t${millisCell(start)}\t0\t[]\t${BARE.join('\t')}`;
  const numbers = NUMBERS.map((name) => row[name] ?? NULL_CELL).join('\t');
  const about = `${textCell(row.symbol)}\t${millisCell(row.end)}\t${row.final ? 1 : 0}\t${textArrayCell(row.signals)}`;
  return `${place}\t${about}\t${numbers}`;
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
    emit(1, cellsOf(goneOf(record.key), { lsn: 0n, timeMs: 0 }, null));
    return;
  }
  const { body, timeMs } = record.value;
  const at = { lsn: 0n, timeMs };
  switch (body.kind) {
    case 'Indicators':
      emit(0, cellsOf({ ...body, kind: 'candle' }, at, body));
      return;
    case 'IndicatorsBehind':
      emit(0, cellsOf({ ...body, kind: 'behind', start: body.from }, at, null));
      return;
    case 'IndicatorsAsOf':
      emit(0, cellsOf(stampOf(body.partition), { lsn: body.source_lsn, timeMs: body.stream_time }, null));
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
