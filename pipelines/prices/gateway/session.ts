/**
 * One client of the market feed: frames in, frames out, no clock and no socket of its own.
 *
 * Back-pressure by conflation: while much is buffered for the client, a changed series is only noted, and its newest value sent when there is room. So
 * what is kept for a client is at most its subscriptions, however slow it is, and once it has read everything it knows the newest value of each.
 */
import type { Peer, PeerHandler } from '../../../connectors/websocket/server.ts';
import type { CurrentCandles, Series, Watcher } from './current.ts';
import {
  type ClientFrame,
  doneFrame,
  errorFrame,
  type FeedStatus,
  type FrameError,
  type Hello,
  helloFrame,
  parseFrame,
  seriesKey,
  statusFrame,
} from './protocol.ts';

export interface SessionLimits extends Hello {
  /** With more than this buffered, values are conflated. */
  readonly conflateBytes: number;
  /** Frames that may come at once … */
  readonly burst: number;
  /** … and how many a second in the long run. */
  readonly framesPerSecond: number;
}

export interface SessionCounters {
  sent(): void;
  /** A value that the client will not see, since a newer one took its place. */
  conflated(): void;
  error(code: FrameError): void;
}

export interface SessionOptions {
  readonly peer: Peer;
  readonly candles: CurrentCandles;
  readonly status: () => FeedStatus;
  readonly limits: SessionLimits;
  readonly counters: SessionCounters;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Nothing more is sent. May be called more than once. */
  readonly ended: () => void;
}

const POLICY_VIOLATION = 1008;
const UNSUPPORTED_DATA = 1003;

export class Session implements PeerHandler, Watcher {
  readonly #options: SessionOptions;
  readonly #subscriptions = new Map<string, Series>();
  /** To be sent when there is room, in the order in which they changed. */
  readonly #pending = new Set<Series>();
  #statusPending = false;
  #flushing = false;
  #closed = false;
  /** Frames that may still come now. */
  #allowance: number;
  #allowedAt: number;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#allowance = options.limits.burst;
    this.#allowedAt = options.now();
    const { heartbeatMs, maxSubscriptions, maxFrameBytes } = options.limits;
    options.peer.send(helloFrame({ heartbeatMs, maxSubscriptions, maxFrameBytes }));
    this.statusChanged();
  }

  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  message(text: string): void {
    if (!this.#admit()) return;
    const frame = parseFrame(text);
    switch (frame.type) {
      case 'bad':
        this.#error(frame.code, frame.message, frame.id);
        return;
      case 'subscribe':
        this.#subscribe(frame);
        return;
      case 'unsubscribe':
        this.#unsubscribe(frame);
        return;
      default:
        frame satisfies never;
    }
  }

  binary(): void {
    if (!this.#admit()) return;
    this.#error('BINARY_FRAME', 'frames are JSON text');
    this.#end(UNSUPPORTED_DATA, 'frames are JSON text');
  }

  pinged(): void {
    this.#admit();
  }

  changed(series: Series): void {
    if (this.#pending.has(series)) this.#options.counters.conflated();
    this.#pending.add(series);
    this.#flush();
  }

  statusChanged(): void {
    this.#statusPending = true;
    this.#flush();
  }

  writable(): void {
    this.#flush();
  }

  closed(): void {
    this.#closed = true;
    for (const series of this.#subscriptions.values()) this.#options.candles.unwatch(series, this);
    this.#subscriptions.clear();
    this.#pending.clear();
    this.#options.ended();
  }

  /** All or nothing: a client need not find out which part of a frame was obeyed. */
  #subscribe(frame: ClientFrame): void {
    const { limits, candles, peer } = this.#options;
    const wanted = new Map(frame.series.map((name) => [seriesKey(name), name]));
    const added = [...wanted].filter(([key]) => !this.#subscriptions.has(key));
    if (this.#subscriptions.size + added.length > limits.maxSubscriptions) {
      const message = `at most ${limits.maxSubscriptions} subscriptions; there are ${this.#subscriptions.size}`;
      this.#error('TOO_MANY_SUBSCRIPTIONS', message, frame.id);
      return;
    }
    for (const [key, name] of added) this.#subscriptions.set(key, candles.watch(name, this));
    peer.send(doneFrame(frame, this.#subscriptions.size));
    // Also of those it had: who asks again wants to be told again.
    for (const key of wanted.keys()) this.#pending.add(this.#subscriptions.get(key)!);
    this.#flush();
  }

  #unsubscribe(frame: ClientFrame): void {
    for (const name of frame.series) {
      const series = this.#subscriptions.get(seriesKey(name));
      if (series === undefined) continue;
      this.#subscriptions.delete(seriesKey(name));
      this.#pending.delete(series);
      this.#options.candles.unwatch(series, this);
    }
    this.#options.peer.send(doneFrame(frame, this.#subscriptions.size));
  }

  /** Sends what waits while there is room. Sending may call back `writable` at once. */
  #flush(): void {
    if (this.#flushing || this.#closed) return;
    this.#flushing = true;
    const { peer, limits, status, counters } = this.#options;
    const hasRoom = () => !this.#closed && peer.bufferedBytes < limits.conflateBytes;
    if (this.#statusPending && hasRoom()) {
      this.#statusPending = false;
      peer.send(statusFrame(status()));
    }
    for (const series of this.#pending) {
      if (!hasRoom()) break;
      this.#pending.delete(series);
      peer.send(series.frame);
      counters.sent();
    }
    this.#flushing = false;
  }

  /** Whether a frame may come; who sends too many is sent away. */
  #admit(): boolean {
    if (this.#closed) return false;
    const { limits, now } = this.#options;
    const at = now();
    const earned = ((at - this.#allowedAt) * limits.framesPerSecond) / 1_000;
    this.#allowance = Math.min(limits.burst, this.#allowance + earned);
    this.#allowedAt = at;
    if (this.#allowance >= 1) {
      this.#allowance--;
      return true;
    }
    const message = `at most ${limits.framesPerSecond} frames a second`;
    this.#error('RATE_LIMITED', message);
    this.#end(POLICY_VIOLATION, message);
    return false;
  }

  #error(code: FrameError, message: string, id?: ClientFrame['id']): void {
    this.#options.counters.error(code);
    this.#options.peer.send(errorFrame({ code, message, id }));
  }

  /** From now on nothing is sent, and nothing that comes is heard. */
  #end(code: number, reason: string): void {
    this.closed();
    this.#options.peer.close(code, reason);
  }
}
