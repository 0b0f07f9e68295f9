/** The newest indicators for applications. */
import { type RedisClientOptions, redisClient } from '../../connectors/redis/client.ts';
import { stampsOf } from '../../connectors/redis/reader.ts';
import type { Interval } from './intervals.ts';
import { type Fields, oldestStamp, type PivotLevels, pivotsFrom, stamped } from './redis-fields.ts';
import { DOUBLES, INDICATORS_STAMPS, indicatorsName, LATEST_INDICATORS } from './redis-indicators.ts';

/** Null without enough history. */
type Values = { readonly [Name in (typeof DOUBLES)[number]]: number | null };

/** Decimals are text, exact; times are ms since the epoch. */
export interface LatestIndicators extends Values {
  readonly symbol: string;
  readonly interval: Interval;
  readonly stockId: bigint;
  /** The candle that they are of. */
  readonly start: number;
  readonly end: number;
  readonly final: boolean;
  readonly close: string;
  readonly volume: bigint;
  readonly obv: bigint;
  /** What holds of the candle, sorted. */
  readonly signals: readonly string[];
  /** Levels in front of the candle, null without enough history; the last four only of days and weeks. */
  readonly levels: Readonly<Record<'previousClose' | 'high20d' | 'low20d' | 'high52w' | 'low52w', string | null>>;
  /** Floor pivots of the day or week before; null without one, and for other intervals. */
  readonly pivots: PivotLevels | null;
  /** Stream time when they became so. */
  readonly asOf: number;
}

export interface IndicatorsReading {
  /** In the order of the symbols; null for one without indicators within the last ten minutes, known or not. */
  readonly indicators: readonly (LatestIndicators | null)[];
  /**
   * Of the partition that is furthest behind: everything that Postgres committed before this LSN is counted. It stands still while corrections in the
   * past are computed. Null before the first stamp.
   */
  readonly asOf: { readonly streamTime: number; readonly sourceLsn: bigint } | null;
}

export interface IndicatorsReader {
  connect(): Promise<void>;
  /** Throws REDIS_… as of connectors/redis/errors.ts. */
  latest(interval: Interval, symbols: readonly string[]): Promise<IndicatorsReading>;
  close(): Promise<void>;
}

/** Makes a reader; nothing is opened before `connect`. */
export function indicatorsReader(options: RedisClientOptions): IndicatorsReader {
  const client = redisClient(options);
  return {
    connect: () => client.connect(),
    async latest(interval, symbols) {
      const keys = symbols.map((symbol) => LATEST_INDICATORS.prefix + indicatorsName(interval, symbol));
      // The stamps first: what is read behind them is at least as new.
      const [stamps = {}, ...found] = await client.hashes([INDICATORS_STAMPS, ...keys]);
      return {
        indicators: found.map((fields, index) => toIndicators(interval, symbols[index]!, fields)),
        asOf: oldestStamp(stamped(stampsOf(stamps).stamps)),
      };
    },
    close: () => client.close(),
  };
}

function toIndicators(interval: Interval, symbol: string, fields: Fields): LatestIndicators | null {
  const { close, signals = '' } = fields;
  if (close === undefined) return null;
  const values = Object.fromEntries(
    DOUBLES.map((name) => [name, fields[name] === undefined ? null : Number(fields[name])]),
  ) as Values;
  return {
    ...values,
    ...{ symbol, interval, stockId: BigInt(fields.stock_id ?? 0) },
    ...{ start: Number(fields.start), end: Number(fields.end), final: fields.final === '1' },
    ...{ close, volume: BigInt(fields.volume ?? 0), obv: BigInt(fields.obv ?? 0) },
    signals: signals === '' ? [] : signals.split(','),
    levels: {
      previousClose: fields.previous_close ?? null,
      ...{ high20d: fields.high_20d ?? null, low20d: fields.low_20d ?? null },
      ...{ high52w: fields.high_52w ?? null, low52w: fields.low_52w ?? null },
    },
    pivots: pivotsFrom(fields),
    asOf: Number(fields.as_of),
  };
}
