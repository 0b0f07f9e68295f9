/** The newest prices for applications. */
import { type RedisClientOptions, redisClient } from '../../connectors/redis/client.ts';
import { LATEST } from './redis-latest.ts';

/** Decimals are text, exact; times are ms since the epoch. */
export interface LatestPrice {
  readonly symbol: string;
  readonly stockId: bigint;
  readonly price: string;
  /** Figures of the day that the price is of. */
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly volume: bigint;
  /** Null without volume. */
  readonly vwap: string | null;
  readonly dayStart: number;
  readonly dayEnd: number;
  /** When the change was committed that made it what it is. */
  readonly asOf: number;
  readonly sourceLsn: bigint;
}

export interface LatestPriceReader {
  connect(): Promise<void>;
  /**
   * In the order of the symbols; null for one without a price within the last five minutes, known or not. Throws REDIS_… as of
   * connectors/redis/errors.ts.
   */
  latest(symbols: readonly string[]): Promise<readonly (LatestPrice | null)[]>;
  close(): Promise<void>;
}

/** Makes a reader; nothing is opened before `connect`. */
export function latestPriceReader(options: RedisClientOptions): LatestPriceReader {
  const client = redisClient(options);
  return {
    connect: () => client.connect(),
    async latest(symbols) {
      const found = await client.hashes(symbols.map((symbol) => LATEST.prefix + symbol));
      return found.map((fields, index) => toPrice(symbols[index]!, fields));
    },
    close: () => client.close(),
  };
}

function toPrice(symbol: string, fields: Readonly<Record<string, string>>): LatestPrice | null {
  const { price, open, high, low, vwap = null } = fields;
  if (price === undefined || open === undefined || high === undefined || low === undefined) return null;
  return {
    symbol,
    stockId: BigInt(fields.stock_id ?? 0),
    price,
    ...{ open, high, low, vwap },
    volume: BigInt(fields.volume ?? 0),
    dayStart: Number(fields.day_start),
    dayEnd: Number(fields.day_end),
    asOf: Number(fields.as_of),
    sourceLsn: BigInt(fields.source_lsn ?? 0),
  };
}
