/** The frames of the market feed, version 1 (docs/market-feed.md): what a client may send, what it is sent. JSON text both ways. */
import { z } from 'zod';
import { BAR, INTERVALS } from '../intervals.ts';

export const PROTOCOL_VERSION = 1;
export const SUBPROTOCOL = 'sluice.market.v1';
export const MARKET_PATH = '/ws/market';

export const FEED_INTERVALS = [BAR, ...INTERVALS] as const;
export type FeedInterval = (typeof FEED_INTERVALS)[number];

export interface SeriesName {
  readonly symbol: string;
  readonly interval: FeedInterval;
}

/** What a series is known by in a Map. */
export const seriesKey = ({ symbol, interval }: SeriesName): string => `${interval}|${symbol}`;

/** Why a frame was not obeyed. */
export type FrameError =
  | 'BAD_JSON'
  | 'BAD_FRAME'
  | 'UNKNOWN_TYPE'
  | 'BAD_SYMBOL'
  | 'BAD_INTERVAL'
  | 'TOO_MANY_SUBSCRIPTIONS'
  | 'BINARY_FRAME'
  | 'RATE_LIMITED';

/** Chosen by the client and sent back with the answer. */
export type RequestId = string | number;

export interface ClientFrame {
  readonly type: 'subscribe' | 'unsubscribe';
  readonly id?: RequestId;
  readonly series: readonly SeriesName[];
}

export interface BadFrame {
  readonly type: 'bad';
  readonly code: FrameError;
  readonly message: string;
  readonly id?: RequestId;
}

/** Series that one frame may name. */
const MAX_NAMED = 100;

const id = z.union([z.string().max(64), z.int()]);
const clientFrame = z.strictObject({
  type: z.enum(['subscribe', 'unsubscribe']),
  id: id.optional(),
  series: z
    .array(
      z.strictObject({
        symbol: z.string().regex(/^[\w.^=:/-]{1,32}$/, 'a symbol is 1 to 32 letters, digits and . ^ = : / - _'),
        interval: z.enum(FEED_INTERVALS),
      }),
    )
    .min(1)
    .max(MAX_NAMED),
});

const CODES: Readonly<Record<string, FrameError>> = {
  type: 'UNKNOWN_TYPE',
  symbol: 'BAD_SYMBOL',
  interval: 'BAD_INTERVAL',
};

/** Parses one text frame; never throws. */
export function parseFrame(text: string): ClientFrame | BadFrame {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { type: 'bad', code: 'BAD_JSON', message: 'the frame is no JSON' };
  }
  const parsed = clientFrame.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const given = id.safeParse((json as { id?: unknown } | null)?.id);
  return {
    type: 'bad',
    code: CODES[String(path.at(-1))] ?? 'BAD_FRAME',
    message: path.length === 0 ? message : `${path.join('.')}: ${message}`,
    ...(given.success ? { id: given.data } : {}),
  };
}

/** A candle as it is read from `prices.candles`, as far as clients are told of it. */
export interface FeedCandle {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** Millionths, as the volume-weighted price. */
  readonly openE6: bigint;
  readonly highE6: bigint;
  readonly lowE6: bigint;
  readonly closeE6: bigint;
  readonly volume: bigint;
  readonly vwapE6: bigint | null;
  readonly bars: number;
  readonly final: boolean;
  /** Commit in Postgres of the change that it shows. */
  readonly commitTime: number;
}

export interface FeedStatus {
  /** `delayed`: the values are older than they should be, and nobody can say by how much they would differ. */
  readonly state: 'live' | 'delayed';
  /** Everything committed up to this time is shown; null when that is not known. */
  readonly asOf: number | null;
}

export interface Hello {
  readonly heartbeatMs: number;
  readonly maxSubscriptions: number;
  readonly maxFrameBytes: number;
}

export const helloFrame = (hello: Hello): string =>
  JSON.stringify({ type: 'hello', version: PROTOCOL_VERSION, ...hello });

export const statusFrame = (status: FeedStatus): string => JSON.stringify({ type: 'status', ...status });

/** The answer to a request that was obeyed. `subscriptions`: how many the client has now. */
export const doneFrame = ({ type, id }: ClientFrame, subscriptions: number): string =>
  JSON.stringify({ type: `${type}d`, id, subscriptions });

export const errorFrame = ({ code, message, id }: Omit<BadFrame, 'type'>): string =>
  JSON.stringify({ type: 'error', id, code, message });

/** The newest candle of a series; null when there is none. Decimals are strings, times milliseconds since the epoch. */
export const valueFrame = ({ symbol, interval }: SeriesName, candle: FeedCandle | null): string =>
  JSON.stringify({ type: 'value', symbol, interval, candle: candle === null ? null : viewOf(candle) });

function viewOf(candle: FeedCandle): object {
  return {
    start: candle.start,
    end: candle.end,
    open: decimal(candle.openE6),
    high: decimal(candle.highE6),
    low: decimal(candle.lowE6),
    close: decimal(candle.closeE6),
    volume: String(candle.volume),
    vwap: candle.vwapE6 === null ? null : decimal(candle.vwapE6),
    bars: candle.bars,
    final: candle.final,
    commitTime: candle.commitTime,
  };
}

/** Millionths as Postgres writes numeric(18,6): always six decimals. */
function decimal(e6: bigint): string {
  const digits = String(e6 < 0n ? -e6 : e6).padStart(7, '0');
  return `${e6 < 0n ? '-' : ''}${digits.slice(0, -6)}.${digits.slice(-6)}`;
}
