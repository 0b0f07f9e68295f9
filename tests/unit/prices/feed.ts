/** A client and its transport in memory: what was sent, what is buffered, and room made when a test says so. */
import type { Peer } from '../../../connectors/websocket/server.ts';
import type { CandleRecord, CurrentCandles } from '../../../pipelines/prices/gateway/current.ts';
import type { FeedInterval, FeedStatus } from '../../../pipelines/prices/gateway/protocol.ts';
import { Session, type SessionLimits } from '../../../pipelines/prices/gateway/session.ts';

export const LIMITS: SessionLimits = {
  heartbeatMs: 15_000,
  maxSubscriptions: 100,
  maxFrameBytes: 16_384,
  conflateBytes: 1_000,
  burst: 1_000,
  framesPerSecond: 20,
};

/** A parsed server frame. */
export type Told = Readonly<Record<string, unknown>>;

export class Client implements Peer {
  readonly session: Session;
  readonly told: Told[] = [];
  closedWith: { readonly code: number; readonly reason: string } | null = null;
  nowMs = 0;
  status: FeedStatus = { state: 'live', asOf: 1 };
  conflated = 0;
  maxBuffered = 0;
  #buffered: number[] = [];
  readonly #reads: boolean;

  /** One that does not read gets room only by `drain`. */
  constructor(
    candles: CurrentCandles,
    options: { readonly reads?: boolean; readonly limits?: Partial<SessionLimits> } = {},
  ) {
    this.#reads = options.reads ?? true;
    this.session = new Session({
      peer: this,
      candles,
      status: () => this.status,
      limits: { ...LIMITS, ...options.limits },
      counters: { sent: () => {}, error: () => {}, conflated: () => this.conflated++ },
      now: () => this.nowMs,
      ended: () => {},
    });
  }

  get bufferedBytes(): number {
    return this.#buffered.reduce((sum, bytes) => sum + bytes, 0);
  }

  send(frame: string | Buffer): void {
    this.told.push(JSON.parse(String(frame)));
    if (!this.#reads) this.#buffered.push(Buffer.byteLength(frame));
    this.maxBuffered = Math.max(this.maxBuffered, this.bufferedBytes);
  }

  close(code: number, reason: string): void {
    this.closedWith = { code, reason };
  }

  /** The oldest buffered frame leaves. False when there was none. */
  drain(): boolean {
    const left = this.#buffered.shift() !== undefined;
    if (left) this.session.writable();
    return left;
  }

  ask(frame: object): void {
    this.session.message(JSON.stringify(frame));
  }

  subscribe(...names: readonly (readonly [string, FeedInterval])[]): void {
    this.ask({ type: 'subscribe', series: names.map(([symbol, interval]) => ({ symbol, interval })) });
  }

  unsubscribe(...names: readonly (readonly [string, FeedInterval])[]): void {
    this.ask({ type: 'unsubscribe', series: names.map(([symbol, interval]) => ({ symbol, interval })) });
  }

  ofType(type: string): Told[] {
    return this.told.filter((frame) => frame.type === type);
  }

  /** Starts and closes of the candles told of a series; null for none. */
  values(symbol: string, interval: string): ([number, string] | null)[] {
    const ours = this.ofType('value').filter((frame) => frame.symbol === symbol && frame.interval === interval);
    return ours.map(({ candle }) => {
      const told = candle as { start: number; close: string } | null;
      return told === null ? null : [told.start, told.close];
    });
  }
}

export const stockId = (symbol: string): bigint => BigInt(symbol.charCodeAt(0));

/** A record of a candle with everything at one price; null is a tombstone. */
export function recordOf(symbol: string, interval: FeedInterval, start: number, closeE6: bigint | null): CandleRecord {
  const at = { stockId: stockId(symbol), interval, start };
  if (closeE6 === null) return { ...at, candle: null };
  const prices = { openE6: closeE6, highE6: closeE6, lowE6: closeE6, closeE6, vwapE6: closeE6 };
  return {
    ...at,
    candle: { symbol, start, end: start + 1, ...prices, volume: 1n, bars: 1, final: false, commitTime: 5 },
  };
}
