/**
 * Keys of `prices.indicators`. They sort as bytes in time order within a series, so that a store of the topic can be read
 * forwards and backwards from a candle. An Avro key would not: its numbers have the low bits first.
 */
import { SluiceError } from '../../../engine/errors.ts';
import { INTERVALS, type Interval } from '../intervals.ts';

export type IndicatorsKey =
  | {
      readonly kind: 'candle';
      readonly stockId: bigint;
      readonly interval: Interval;
      /** First instant, ms since the epoch. */
      readonly start: number;
    }
  | { readonly kind: 'behind'; readonly stockId: bigint; readonly interval: Interval }
  | { readonly kind: 'asof'; readonly partition: number };

const CANDLE = 1;
const BEHIND = 2;
const AS_OF = 3;
const PREFIX_BYTES = 10;
const TWO_32 = 2 ** 32;

/** Prefix of the keys of all series that are behind. */
export const BEHIND_PREFIX = Buffer.from([BEHIND]);

/** Prefix of the keys of one series. */
export function seriesPrefix(stockId: bigint, interval: Interval): Buffer {
  return series(CANDLE, stockId, interval, Buffer.alloc(PREFIX_BYTES));
}

/** `start` may be any safe integer, also before 1970. */
export function candleKey(stockId: bigint, interval: Interval, start: number): Buffer {
  return keyOf(seriesPrefix(stockId, interval), start);
}

/** The key of a candle of the series with this prefix. */
export function keyOf(prefix: Buffer, start: number): Buffer {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + 8);
  prefix.copy(key);
  // With the sign turned over, bytes sort as numbers do.
  key.writeUInt32BE((Math.floor(start / TWO_32) ^ 0x80000000) >>> 0, PREFIX_BYTES);
  key.writeUInt32BE(start >>> 0, PREFIX_BYTES + 4);
  return key;
}

export function behindKey(stockId: bigint, interval: Interval): Buffer {
  return series(BEHIND, stockId, interval, Buffer.alloc(PREFIX_BYTES));
}

export function asOfKey(partition: number): Buffer {
  const key = Buffer.alloc(5);
  key[0] = AS_OF;
  key.writeInt32BE(partition, 1);
  return key;
}

/** Throws UNDECODABLE (dead-letter). */
export function decodeIndicatorsKey(bytes: Uint8Array): IndicatorsKey {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (key[0] === AS_OF && key.length === 5) return { kind: 'asof', partition: key.readInt32BE(1) };
  const interval = INTERVALS[key[9] ?? -1];
  if (interval !== undefined) {
    const stockId = key.readBigInt64BE(1);
    if (key[0] === BEHIND && key.length === 10) return { kind: 'behind', stockId, interval };
    if (key[0] === CANDLE && key.length === 18) {
      const start = Number(BigInt.asIntN(64, key.readBigUInt64BE(10) ^ (1n << 63n)));
      return { kind: 'candle', stockId, interval, start };
    }
  }
  throw new SluiceError(`${key.toString('hex')} is no key of prices.indicators`, {
    code: 'UNDECODABLE',
    action: 'dead-letter',
  });
}

function series(kind: number, stockId: bigint, interval: Interval, key: Buffer): Buffer {
  key[0] = kind;
  key.writeBigInt64BE(stockId, 1);
  key[9] = INTERVALS.indexOf(interval);
  return key;
}
