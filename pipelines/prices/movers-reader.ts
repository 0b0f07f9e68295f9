/** The boards of movers for applications. */
import type { RedisClientOptions } from '../../connectors/redis/client.ts';
import { type BoardPlace, type BoardReading, boardReader } from '../../connectors/redis/reader.ts';
import { oldestStamp, type PivotLevels, pivotsFrom, stamped } from './redis-fields.ts';
import { moversLeaderboard } from './redis-movers.ts';
import type { BoardName, Period } from './scanner/figures.ts';

/** Decimals are text, exact. */
export interface MoverPlace {
  /** From 1. */
  readonly rank: number;
  readonly symbol: string;
  readonly stockId: bigint;
  readonly exchange: string;
  readonly sector: string | null;
  /** Of the board: basis points of a change or a break, a volume, or a ratio. */
  readonly score: number;
  /** First instant of the candle that it is ranked by, ms since the epoch. */
  readonly start: number;
  readonly close: string;
  readonly high: string;
  readonly low: string;
  readonly volume: bigint;
  readonly changeBp: number | null;
  readonly volumeRatio: number | null;
  /** Floor pivots of the period before; null without one. */
  readonly pivots: PivotLevels | null;
}

export interface Movers {
  readonly places: readonly MoverPlace[];
  /** Null when there are no boards at all. */
  readonly asOf: {
    /** Stream time that every partition has reached, ms since the epoch. */
    readonly streamTime: number;
    /** Everything that Postgres committed before this LSN is counted. */
    readonly sourceLsn: bigint;
    /** False while a partition is missing, or a stock has no details. */
    readonly complete: boolean;
  } | null;
}

export interface MoversReader {
  connect(): Promise<void>;
  /**
   * The first n places (at most 100), in one round trip. `universe` is all, exchange:NAME or sector:NAME. Throws REDIS_… as of
   * connectors/redis/errors.ts.
   */
  top(
    at: { readonly period: Period; readonly universe: string; readonly board: BoardName },
    n: number,
  ): Promise<Movers>;
  close(): Promise<void>;
}

/** What the stage publishes per partition, and so the most that is exact over all of them. */
const MAX_PLACES = 100;

/** Makes a reader; nothing is opened before `connect`. */
export function moversReader(options: RedisClientOptions): MoversReader {
  const reader = boardReader(options);
  return {
    connect: () => reader.connect(),
    async top({ period, universe, board }, n) {
      if (n > MAX_PLACES) throw new RangeError(`a board has ${MAX_PLACES} places, not ${n}`);
      const reading = await reader.top(moversLeaderboard(period, universe), board, n);
      return { places: reading.places.map(toPlace), asOf: toAsOf(reading) };
    },
    close: () => reader.close(),
  };
}

function toPlace({ member, score, fields }: BoardPlace, index: number): MoverPlace {
  return {
    rank: index + 1,
    symbol: member,
    stockId: BigInt(fields.stock_id ?? 0),
    exchange: fields.exchange ?? '',
    sector: fields.sector ?? null,
    score,
    start: Number(fields.start ?? 0),
    close: fields.close ?? '',
    high: fields.high ?? '',
    low: fields.low ?? '',
    volume: BigInt(fields.volume ?? 0),
    changeBp: fields.change_bp === undefined ? null : Number(fields.change_bp),
    volumeRatio: fields.volume_ratio === undefined ? null : Number(fields.volume_ratio),
    pivots: pivotsFrom(fields),
  };
}

function toAsOf({ places, stamps, partitions }: BoardReading): Movers['asOf'] {
  const known = stamped(stamps);
  const oldest = oldestStamp(known);
  if (oldest === null) return null;
  const complete = known.length === partitions && places.every(({ fields }) => Object.keys(fields).length > 0);
  return { ...oldest, complete };
}
