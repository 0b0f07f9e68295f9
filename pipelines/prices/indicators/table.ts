/**
 * The rows of one partition: the stage's store (topic `prices.indicators`) read and written as values in the order of time, with the public
 * topic beside it.
 *
 * Invariant: what is read holds what the running batch has put, though the store's scans do not.
 */
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { Emit } from '../../../engine/stage.ts';
import type { ViewEntry, ViewStore } from '../../../engine/view-store.ts';
import type { Indicators, IndicatorsRecord } from '../../../schemas/prices/indicators.ts';
import { encodeCandleKey } from '../codec/candle.ts';
import { encodeIndicators, encodeIndicatorsRow, signalsV1Of } from '../codec/indicators.ts';
import {
  asOfKey,
  BEHIND_PREFIX,
  behindKey,
  decodeIndicatorsKey,
  keyOf,
  seriesPrefix,
} from '../codec/indicators-key.ts';
import { INTERVALS, type Interval } from '../intervals.ts';
import { SIGNALS_V1 } from '../topics.ts';
import type { SeriesId } from './series.ts';

/** Schema ids of what is written. */
export interface IndicatorIds {
  readonly indicators: number;
  readonly signalsKey: number;
  readonly signals: number;
}

export interface IndicatorTableOptions {
  readonly store: ViewStore;
  readonly emit: Emit;
  /** Knows all versions of the schema that the store may hold. */
  readonly decoder: Pick<FramedDecoder<IndicatorsRecord>, 'decode'>;
  readonly ids: IndicatorIds;
}

/** A series of the partition, one object for each: told apart by identity. */
export interface NamedSeries extends SeriesId {
  /** What the keys of its rows begin with. */
  readonly prefix: Buffer;
}

interface Put {
  readonly start: number;
  /** null: taken off. */
  readonly row: Indicators | null;
  /** The row as the store holds it. */
  readonly value: Buffer | null;
}

export class IndicatorTable {
  readonly #options: IndicatorTableOptions;
  readonly #writer = new ByteWriter();
  /** What the running batch has put, by series and start. */
  readonly #puts = new Map<NamedSeries, Map<number, Put>>();
  readonly #series = new Map<bigint, NamedSeries[]>();

  constructor(options: IndicatorTableOptions) {
    this.#options = options;
  }

  /** The one object for a series. */
  series(stockId: bigint, interval: Interval): NamedSeries {
    let ofStock = this.#series.get(stockId);
    if (ofStock === undefined) {
      ofStock = INTERVALS.map((one) => ({ stock_id: stockId, interval: one, prefix: seriesPrefix(stockId, one) }));
      this.#series.set(stockId, ofStock);
    }
    return ofStock[INTERVALS.indexOf(interval)]!;
  }

  get(id: NamedSeries, start: number): Indicators | null {
    const put = this.#putsOf(id)?.get(start);
    if (put !== undefined) return put.row;
    const value = this.#options.store.get(keyOf(id.prefix, start));
    return value === undefined ? null : this.#row(value);
  }

  /** Up to `limit` rows in front of `start`, the newest of them, in the order of time. */
  before(id: NamedSeries, start: number, limit: number): Indicators[] {
    const puts = this.#putsOf(id);
    const { prefix } = id;
    const key = keyOf(prefix, start);
    // What was put can take off as many rows as it is.
    const entries = this.#options.store.scanBack(prefix, key, limit + (puts?.size ?? 0));
    return this.#merged(entries, puts, (at) => at < start).slice(-limit);
  }

  /** Up to `limit` rows from `start` on, in the order of time. */
  from(id: NamedSeries, start: number, limit: number): Indicators[] {
    const puts = this.#putsOf(id);
    const { prefix } = id;
    const key = keyOf(prefix, start - 1);
    const entries = this.#options.store.scan(prefix, key, limit + (puts?.size ?? 0));
    return this.#merged(entries, puts, (at) => at >= start).slice(0, limit);
  }

  /** Puts a row unless it is there already; null takes it off. */
  put(id: NamedSeries, start: number, row: Indicators | null, timestampMs: number): void {
    const { store } = this.#options;
    const key = keyOf(id.prefix, start);
    const before = store.get(key);
    if (row !== null) {
      const value = this.#encodeRow(row);
      if (before?.equals(value) !== true) this.#write(id, key, { start, row, value }, timestampMs);
    } else if (before !== undefined) {
      this.#write(id, key, { start, row, value: null }, timestampMs);
    }
  }

  /** Takes a row off that the store does not have, but who reads its topics may. */
  takeOff(id: NamedSeries, start: number, timestampMs: number): void {
    this.#write(id, keyOf(id.prefix, start), { start, row: null, value: null }, timestampMs);
  }

  /**
   * Puts a row without looking whether the store has it: it has none like it, being behind all others of its series or of a candle that has
   * changed, or it is to be told again.
   */
  write(id: NamedSeries, row: Indicators, timestampMs: number): void {
    const { start } = row;
    const value = this.#encodeRow(row);
    this.#write(id, keyOf(id.prefix, start), { start, row, value }, timestampMs);
  }

  #write(id: NamedSeries, key: Buffer, { start, row, value }: Put, timestampMs: number): void {
    this.#forgetCommitted();
    const held = this.#options.store.put(key, value, timestampMs);
    let puts = this.#puts.get(id);
    if (puts === undefined) {
      puts = new Map();
      this.#puts.set(id, puts);
    }
    puts.set(start, { start, row, value: held });
  }

  /** Says from where on a series is behind; null: it is not. */
  putBehind(id: SeriesId, from: number | null, timestampMs: number): void {
    this.#forgetCommitted();
    const key = behindKey(id.stock_id, id.interval);
    const { stock_id, interval } = id;
    const body = from === null ? null : ({ kind: 'IndicatorsBehind', stock_id, interval, from } as const);
    const value = body === null ? null : this.#encode({ body });
    this.#options.store.put(key, value, timestampMs);
  }

  /** The series that are behind, as they were committed. Call it before anything is put. */
  behind(): { readonly id: NamedSeries; readonly from: number }[] {
    const found: { id: NamedSeries; from: number }[] = [];
    for (let after: Buffer | null = null; ; ) {
      const page: ViewEntry[] = this.#options.store.scan(BEHIND_PREFIX, after, PAGE);
      for (const { key, value } of page) {
        const at = decodeIndicatorsKey(key);
        const { body } = this.#options.decoder.decode(value);
        if (at.kind !== 'behind' || body.kind !== 'IndicatorsBehind') throw corrupt(key);
        found.push({ id: this.series(at.stockId, at.interval), from: body.from });
      }
      if (page.length < PAGE) return found;
      after = page.at(-1)!.key;
    }
  }

  /** Stream time of the newest stamp; 0 before the first. */
  streamTime(partition: number): number {
    const value = this.#options.store.get(asOfKey(partition));
    if (value === undefined) return 0;
    const { body } = this.#options.decoder.decode(value);
    return body.kind === 'IndicatorsAsOf' ? body.stream_time : 0;
  }

  putAsOf(partition: number, at: { readonly stream_time: number; readonly source_lsn: bigint }): void {
    this.#forgetCommitted();
    const { stream_time, source_lsn } = at;
    const value = this.#encode({ body: { kind: 'IndicatorsAsOf', partition, stream_time, source_lsn } });
    this.#options.store.put(asOfKey(partition), value, stream_time);
  }

  /** Emits the public records of all that the batch has put: once, at its end. */
  publish(timestampMs: number): void {
    const { emit, ids } = this.#options;
    this.#forgetCommitted();
    for (const [{ stock_id, interval }, puts] of this.#puts) {
      for (const { start, value } of puts.values()) {
        this.#writer.reset();
        const key = encodeCandleKey(this.#writer, ids.signalsKey, { stock_id, interval, start });
        emit(SIGNALS_V1, key, value === null ? null : signalsV1Of(this.#writer, ids.signals, value), timestampMs);
      }
    }
  }

  #putsOf(id: NamedSeries): ReadonlyMap<number, Put> | undefined {
    this.#forgetCommitted();
    return this.#puts.get(id);
  }

  /** A store without puts has had them committed: now its scans see them. */
  #forgetCommitted(): void {
    if (!this.#options.store.dirty) this.#puts.clear();
  }

  #merged(
    entries: readonly ViewEntry[],
    puts: ReadonlyMap<number, Put> | undefined,
    within: (start: number) => boolean,
  ): Indicators[] {
    const rows = new Map<number, Indicators>();
    for (const { value } of entries) {
      const row = this.#row(value);
      rows.set(row.start, row);
    }
    for (const { start, row } of puts?.values() ?? []) {
      if (row === null || !within(start)) rows.delete(start);
      else rows.set(start, row);
    }
    return [...rows.values()].sort((a, b) => a.start - b.start);
  }

  #row(value: Buffer): Indicators {
    const { body } = this.#options.decoder.decode(value);
    if (body.kind !== 'Indicators') throw corrupt(value);
    const { kind: _, ...row } = body;
    return row;
  }

  #encodeRow(row: Indicators): Buffer {
    this.#writer.reset();
    return encodeIndicatorsRow(this.#writer, this.#options.ids.indicators, row);
  }

  #encode(value: IndicatorsRecord): Buffer {
    this.#writer.reset();
    return encodeIndicators(this.#writer, this.#options.ids.indicators, value);
  }
}

const PAGE = 1_000;

function corrupt(bytes: Buffer): SluiceError {
  return new SluiceError(
    `The store of indicators holds ${bytes.toString('hex')} where it does not belong; wipe the store`,
    {
      code: 'STORE_CORRUPT',
      action: 'fatal',
    },
  );
}
