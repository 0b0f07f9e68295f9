/**
 * The current value of every series (symbol and interval): its newest candle, and who wants to know of it. Invariant: a series shows the candle with
 * the greatest start among those that its partition's log holds. It keeps the newest few, so that a deletion shows the one before; when all of
 * them are deleted and there were older ones, it is exhausted: only reading the log again tells what it shows.
 */
import { type FeedCandle, type FeedInterval, type SeriesName, seriesKey, valueFrame } from './protocol.ts';

export interface Watcher {
  /** The series shows another value than before. */
  changed(series: Series): void;
}

/** Candles kept for each series: fewer may be deleted one after the other without reading the log again. */
const KEPT = 8;

export class Series implements SeriesName {
  readonly symbol: string;
  readonly interval: FeedInterval;
  readonly watchers = new Set<Watcher>();
  /** Newest first. */
  #held: FeedCandle[] = [];
  /** The greatest start that was let go: nothing is known from there on back. */
  #floor = Number.NEGATIVE_INFINITY;
  #readingBack = false;
  #frame: Buffer | null = null;

  constructor({ symbol, interval }: SeriesName) {
    this.symbol = symbol;
    this.interval = interval;
  }

  /** Whether nothing would be lost with it. */
  get isUnused(): boolean {
    return this.#held.length === 0 && this.watchers.size === 0 && !this.isExhausted;
  }

  get isExhausted(): boolean {
    return this.#readingBack || (this.#held.length === 0 && this.#floor > Number.NEGATIVE_INFINITY);
  }

  /** The value frame: encoded once for all who get it. */
  get frame(): Buffer {
    this.#frame ??= Buffer.from(valueFrame(this, this.#readingBack ? null : (this.#held[0] ?? null)));
    return this.#frame;
  }

  /** Puts a candle, or with null takes it off. True when the series shows something else now. */
  put(start: number, candle: FeedCandle | null): boolean {
    if (start < this.#floor) return false;
    const shown = this.#held[0];
    const older = this.#held.findIndex((held) => held.start <= start);
    const at = older < 0 ? this.#held.length : older;
    const replaced = this.#held[at]?.start === start ? 1 : 0;
    this.#held.splice(at, replaced, ...(candle === null ? [] : [candle]));
    this.#letGo();
    if (this.#readingBack || this.#held[0] === shown) return false;
    this.#frame = null;
    return true;
  }

  /** From here on `put` is told all that the log says of it, from the beginning; nothing is shown meanwhile. */
  readBack(): void {
    this.#readingBack = true;
    this.#held = [];
    this.#floor = Number.NEGATIVE_INFINITY;
  }

  endReadBack(): void {
    this.#readingBack = false;
    this.#letGo();
    this.#frame = null;
  }

  /** While reading back all must stay: what follows may delete any of them. */
  #letGo(): void {
    if (this.#readingBack || this.#held.length <= KEPT) return;
    this.#floor = this.#held[KEPT]!.start;
    this.#held.length = KEPT;
  }
}

/** One record of the topic, its key decoded. */
export interface CandleRecord {
  readonly stockId: bigint;
  readonly interval: FeedInterval;
  readonly start: number;
  /** Null is a tombstone. */
  readonly candle: (FeedCandle & { readonly symbol: string }) | null;
}

export class CurrentCandles {
  readonly #series = new Map<string, Series>();
  readonly #symbols = new Map<bigint, string>();
  readonly #changed = new Set<Series>();

  /** How many series there are, those that are only watched included. */
  get size(): number {
    return this.#series.size;
  }

  /** Takes a record in and returns its series, null when there is none. Watchers hear of it at the next `publish`. */
  apply({ stockId, interval, start, candle }: CandleRecord): Series | null {
    // A tombstone has no symbol, but a stock keeps its own.
    if (candle !== null) this.#symbols.set(stockId, candle.symbol);
    const symbol = this.#symbols.get(stockId);
    if (symbol === undefined) return null; // a tombstone of a stock never seen takes nothing away
    const series = this.#find({ symbol, interval });
    if (series.put(start, candle)) this.#changed.add(series);
    this.#forget(series);
    return series;
  }

  /** The series that a record is of, if there is one: so that others need not be decoded. */
  seriesOf(stockId: bigint, interval: FeedInterval): Series | undefined {
    const symbol = this.#symbols.get(stockId);
    return symbol === undefined ? undefined : this.#series.get(seriesKey({ symbol, interval }));
  }

  /** A series shows what the log says again. */
  endReadBack(series: Series): void {
    series.endReadBack();
    this.#changed.add(series);
    this.#forget(series);
  }

  /** Tells the watchers what changed since the last time: a series that changed twice once. */
  publish(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const series of changed) for (const watcher of series.watchers) watcher.changed(series);
  }

  /** The series, which exists from now on: it may be about to begin. */
  watch(name: SeriesName, watcher: Watcher): Series {
    const series = this.#find(name);
    series.watchers.add(watcher);
    return series;
  }

  unwatch(series: Series, watcher: Watcher): void {
    series.watchers.delete(watcher);
    this.#forget(series);
  }

  #find(name: SeriesName): Series {
    const key = seriesKey(name);
    const found = this.#series.get(key);
    if (found !== undefined) return found;
    const series = new Series(name);
    this.#series.set(key, series);
    return series;
  }

  /** Names that clients invent must not add up. */
  #forget(series: Series): void {
    if (series.isUnused) this.#series.delete(seriesKey(series));
  }
}
