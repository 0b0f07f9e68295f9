/**
 * The bars and candles of one partition: the stage's store (topic `prices.candles`) read and written as values, with the public topic beside
 * it. What was lately used is kept decoded, absence too: a candle asks for every child that could be there. Of each series it is known behind which start
 * there is nothing: nobody looks in the store for what comes next.
 *
 * Invariant: the memory says what the store says. It is only ever changed together with it, and goes with the task.
 */
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import type { Emit } from '../../../engine/stage.ts';
import type { ViewStore } from '../../../engine/view-store.ts';
import type { CandleRecord, CandlesAsOf } from '../../../schemas/prices/candle.ts';
import { candleV1Of, encodeCandle, encodeCandleKey } from '../codec/candle.ts';
import { bigintOf, bytesOf } from '../codec/decimal.ts';
import { AS_OF, BAR, INTERVALS, type Interval, MINUTE_MS } from '../intervals.ts';
import { CANDLES_V1 } from '../topics.ts';
import type { Zone } from '../zone.ts';
import { type Figures, vwapOf } from './figures.ts';
import { seriesRange, startOfOrdered } from './order.ts';
import { RecentSlots } from './slots.ts';

export interface Stock {
  readonly id: bigint;
  readonly symbol: string;
  readonly zone: Zone;
  /** Its own small number. */
  readonly index: number;
}

/** The change that made a candle what it is. */
export interface Origin {
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

export interface CandleIds {
  readonly key: number;
  readonly candle: number;
  readonly candleV1: number;
}

export type Kind = typeof BAR | Interval;

const KINDS: readonly Kind[] = [BAR, ...INTERVALS];
const KIND_INDEX: Readonly<Record<Kind, number>> = Object.fromEntries(
  KINDS.map((kind, index) => [kind, index]),
) as Record<Kind, number>;
/** Bars and candles kept decoded: about 30 MB of a partition at most. */
const RECENT = 2 ** 17;

/** Numbers the series of a stock and kind: from 8 on, so that no slot is what a place that was never used looks like. */
export function seriesOf({ index }: Stock, kind: Kind): number {
  return index * 8 + 8 + KIND_INDEX[kind];
}

export class CandleTable {
  readonly #store: ViewStore;
  readonly #emit: Emit;
  readonly #ids: CandleIds;
  readonly #stored: Pick<FramedDecoder<CandleRecord>, 'decode'>;
  readonly #asOfKey: Buffer;
  readonly #partition: number;
  readonly #writer = new ByteWriter({ chunkBytes: 1 << 16 });
  readonly #keys = new ByteWriter({ chunkBytes: 1 << 10 });
  readonly #recent = new RecentSlots<Figures | null>(RECENT);
  /** By series: nothing is behind this start; undefined for one that was not touched yet. */
  readonly #newest: (number | undefined)[] = [];
  /** The key that was encoded last: what was looked for is often put next. */
  readonly #key: { series: number; minute: number; bytes: Buffer } = { series: 0, minute: 0, bytes: Buffer.alloc(0) };

  constructor(options: {
    readonly partition: number;
    readonly store: ViewStore;
    readonly emit: Emit;
    readonly ids: CandleIds;
    /** Knows all versions of the schema that may be in the store. */
    readonly stored: Pick<FramedDecoder<CandleRecord>, 'decode'>;
  }) {
    this.#partition = options.partition;
    this.#store = options.store;
    this.#emit = options.emit;
    this.#ids = options.ids;
    this.#stored = options.stored;
    // In every partition its own: a reader of all of them keeps them apart.
    const key = { stock_id: -1n - BigInt(this.#partition), interval: AS_OF, start: 0 };
    this.#asOfKey = Buffer.from(encodeCandleKey(this.#writer, this.#ids.key, key));
  }

  get(stock: Stock, kind: Kind, start: number): Figures | null {
    const series = seriesOf(stock, kind);
    if (start > (this.#newest[series] ?? this.#findNewest(stock, kind))) return null;
    const minute = start / MINUTE_MS;
    const known = this.#recent.get(series, minute);
    if (known !== undefined) return known;
    const figures = this.#read(this.#keyOf(stock, kind, start));
    this.#recent.set(series, minute, figures);
    return figures;
  }

  /** null takes it off. */
  put(stock: Stock, kind: Kind, start: number, figures: Figures | null, origin: Origin): void {
    const series = seriesOf(stock, kind);
    if (start > (this.#newest[series] ?? this.#findNewest(stock, kind))) this.#newest[series] = start;
    this.#recent.set(series, start / MINUTE_MS, figures);
    const key = this.#keyOf(stock, kind, start);
    const { commitTsMs } = origin;
    if (figures === null) {
      this.#store.put(key, null, commitTsMs);
      if (kind !== BAR) this.#emit(CANDLES_V1, key, null, commitTsMs);
      return;
    }
    this.#writer.reset();
    const value = encodeCandle(this.#writer, this.#ids.candle, { body: candleOf(stock, kind, figures, origin) });
    this.#store.put(key, value, commitTsMs);
    if (kind !== BAR) this.#emit(CANDLES_V1, key, candleV1Of(this.#writer, this.#ids.candleV1, value), commitTsMs);
  }

  /** How far the partition has come; null for one that has not begun. */
  asOf(): CandlesAsOf | null {
    const value = this.#store.get(this.#asOfKey);
    if (value === undefined) return null;
    const { body } = this.#stored.decode(value);
    return body.kind === 'CandlesAsOf' ? body : null;
  }

  /** Ends what the transaction says: nothing may be put behind it. */
  stamp(asOf: Omit<CandlesAsOf, 'partition'>): void {
    this.#writer.reset();
    const body = { kind: 'CandlesAsOf', partition: this.#partition, ...asOf } as const;
    this.#store.put(this.#asOfKey, encodeCandle(this.#writer, this.#ids.candle, { body }), asOf.stream_time);
  }

  /** Whatever is put of a series, it was touched before: what the store has committed is all there is. */
  #findNewest(stock: Stock, kind: Kind): number {
    const { prefix, end } = seriesRange(this.#keyOf(stock, kind, 0));
    const [last] = this.#store.scanBack(prefix, end, 1);
    const newest = last === undefined ? Number.NEGATIVE_INFINITY : startOfOrdered(last.key);
    this.#newest[seriesOf(stock, kind)] = newest;
    return newest;
  }

  #keyOf(stock: Stock, interval: Kind, start: number): Buffer {
    const key = this.#key;
    const series = seriesOf(stock, interval);
    const minute = start / MINUTE_MS;
    if (key.series === series && key.minute === minute) return key.bytes;
    this.#keys.reset();
    key.bytes = encodeCandleKey(this.#keys, this.#ids.key, { stock_id: stock.id, interval, start });
    key.series = series;
    key.minute = minute;
    return key.bytes;
  }

  #read(key: Buffer): Figures | null {
    const value = this.#store.get(key);
    if (value === undefined) return null;
    const { body } = this.#stored.decode(value);
    if (body.kind !== 'Candle') return null;
    const { start, end, open_e6, high_e6, low_e6, close_e6, volume, price_volume, bars, final, source } = body;
    return {
      start,
      end,
      open: open_e6,
      high: high_e6,
      low: low_e6,
      close: close_e6,
      volume,
      priceVolume: bigintOf(price_volume),
      bars,
      final,
      source,
    };
  }
}

function candleOf(stock: Stock, interval: Kind, figures: Figures, { lsn, xid, commitTsMs }: Origin) {
  return {
    kind: 'Candle',
    stock_id: stock.id,
    symbol: stock.symbol,
    interval,
    start: figures.start,
    end: figures.end,
    open_e6: figures.open,
    high_e6: figures.high,
    low_e6: figures.low,
    close_e6: figures.close,
    volume: figures.volume,
    price_volume: bytesOf(figures.priceVolume),
    vwap_e6: vwapOf(figures),
    bars: figures.bars,
    final: figures.final,
    source: figures.source,
    source_lsn: lsn,
    source_xid: xid,
    source_commit_ts: commitTsMs,
  } as const;
}
