/**
 * prices.candles: rows of stock_prices become bars, and bars become candles of five intervals.
 *
 * Invariants:
 *  - Before each commit every candle is what its children are (candles/dirty.ts): the store is a function of the set of good rows, whatever their
 *    order, number and batches, apart from `final`.
 *  - Every candle that ends at or before the stamp's `final_to` is final. The stamp moves only when that is true of all of them.
 *  - A stamp ends its transaction: everything committed in Postgres before its position is in front of it.
 *  - What a command wrote (operations/operator-record.ts) never undoes a later change of its row.
 */
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { ClockReading } from '../../engine/source-clock.ts';
import type { Emit, StageProcessor, ViewStage } from '../../engine/stage.ts';
import type { TableRow, VersionedRows } from '../../engine/versioned-table.ts';
import type { ViewStore } from '../../engine/view-store.ts';
import type { CandleRecord, CandlesAsOf } from '../../schemas/prices/candle.ts';
import type { RowChange } from '../capture/envelope.ts';
import { isSuperseded, type OperatorGuard } from '../operations/operator-guard.ts';
import { operatorRecord } from '../operations/operator-record.ts';
import { type Bar, barOf } from './bar.ts';
import { DirtyCandles } from './candles/dirty.ts';
import { type Figures, sameFigures } from './candles/figures.ts';
import { FinalityPass } from './candles/finality.ts';
import { CANDLE_ORDER } from './candles/order.ts';
import { type CandleIds, CandleTable, type Origin, type Stock } from './candles/table.ts';
import type { RawPrice, RawStock } from './codec/cdc.ts';
import { zoneOf } from './exchanges.ts';
import { BAR, MINUTE_MS } from './intervals.ts';
import { CANDLES, CANDLES_V1, CDC_PRICES, DLQ } from './topics.ts';
import { Zone } from './zone.ts';

/** Symbol and exchange never change. */
export interface StockVersion {
  readonly symbol: string;
  readonly exchange: string;
  /** A deleted stock takes no bars any more, but stays known to what it had. */
  readonly listed: boolean;
}

/** What a change of `stocks` says here; null for one without a row. */
export function listingOf({ before, after, lsn }: RowChange<RawStock>): TableRow<StockVersion> | null {
  const row = after ?? before;
  if (row === null) return null;
  const { symbol, exchange } = row;
  return { key: String(row.id), lsn: lsn ?? 0n, value: { symbol, exchange, listed: after !== null } };
}

/** Whether a version says what the one before it said. */
export function sameListing(a: StockVersion, b: StockVersion): boolean {
  return a.symbol === b.symbol && a.exchange === b.exchange && a.listed === b.listed;
}

export interface CandlesOptions {
  readonly stocks: Pick<VersionedRows<StockVersion>, 'versionsOf' | 'asOf' | 'changesEnd' | 'keys'>;
  readonly decoder: Pick<FramedDecoder<RowChange<RawPrice>>, 'decode'>;
  /** Reads the store, whatever version of the schema wrote it. */
  readonly stored: Pick<FramedDecoder<CandleRecord>, 'decode'>;
  readonly ids: CandleIds;
  /** Prepared with every batch. */
  readonly operators: Pick<OperatorGuard, 'verdict'>;
  /** How long after its end a candle waits for late bars before it is final. */
  readonly latenessMs: number;
  /** Candles looked at in one piece, between batches of live bars. */
  readonly pieceCandles?: number;
}

const PIECE_CANDLES = 5_000;

/** Its consumer group. */
export const CANDLES_STAGE = 'prices.candles';

export function candlesStage(options: CandlesOptions): ViewStage {
  return {
    kind: 'view',
    name: CANDLES_STAGE,
    input: CDC_PRICES,
    outputs: [CANDLES, CANDLES_V1],
    view: CANDLES,
    order: CANDLE_ORDER,
    dlq: DLQ,
    open: (task) => new Candles(options, task),
  };
}

class Candles implements StageProcessor {
  readonly #options: CandlesOptions;
  readonly #partition: number;
  readonly #table: CandleTable;
  readonly #dirty: DirtyCandles;
  readonly #stocks = new Map<bigint, Stock>();
  /** Readings that wait for what is to become final: the oldest and the newest. */
  readonly #held: ClockReading[] = [];
  #pass: FinalityPass | null = null;
  #asOf: CandlesAsOf | null;
  #streamTimeMs: number;
  #touched = false;

  constructor(
    options: CandlesOptions,
    task: { readonly partition: number; readonly store: ViewStore; readonly emit: Emit },
  ) {
    const { ids, stored, latenessMs } = options;
    this.#options = options;
    this.#partition = task.partition;
    this.#table = new CandleTable({ ...task, ids, stored });
    this.#asOf = this.#table.asOf();
    this.#streamTimeMs = this.#asOf?.stream_time ?? 0;
    this.#dirty = new DirtyCandles(this.#table, (end) => end + latenessMs <= this.#streamTimeMs);
  }

  streamTimeMs(): number {
    return this.#streamTimeMs;
  }

  process(record: LogRecord): void {
    if (record.value === null) return;
    const operator = operatorRecord(record);
    if (operator !== null && isSuperseded(this.#options.operators, this.#partition, record, operator)) return;
    const change = this.#options.decoder.decode(record.value);
    if (change.commitTsMs > this.#streamTimeMs) this.#streamTimeMs = change.commitTsMs;
    const force = operator?.force === true;
    if (change.op === 'd') this.#takeOff(change, rowOf(change, change.before), force);
    else this.#upsert(change, rowOf(change, change.after), force);
  }

  clock(reading: ClockReading): void {
    // A clock that has just been started tells readings that a predecessor has told already.
    const newest = this.#held.at(-1)?.position ?? this.#asOf?.source_lsn ?? 0n;
    if (reading.position <= newest) return;
    if (this.#held.length > 1) this.#held.pop();
    this.#held.push(reading);
    if (reading.timeMs > this.#streamTimeMs) this.#streamTimeMs = reading.timeMs;
  }

  beforeCommit(): void {
    this.#dirty.compute();
    while (this.#held.length > 0 && this.#passOf(this.#held[0]!).done) {
      const { position, timeMs } = this.#held.shift()!;
      this.#pass = null;
      this.#stamp(position, timeMs);
    }
    // All that is there was written with this stream time: the first pass has somewhere to begin.
    if (this.#touched && this.#asOf === null) this.#stamp(0n, this.#streamTimeMs);
    this.#touched = false;
  }

  /** Makes final the next of what has ended. */
  background(): boolean {
    const reading = this.#held[0];
    if (reading === undefined) return false;
    const pass = this.#passOf(reading);
    if (!pass.done) pass.run(this.#options.pieceCandles ?? PIECE_CANDLES);
    return true;
  }

  #upsert(change: RowChange<RawPrice>, row: RawPrice, force: boolean): void {
    const stock = this.#stock(row.stockId);
    let bar: Bar;
    try {
      const zone = stock !== null && this.#isListed(stock, change) ? stock.zone : null;
      bar = barOf(row, change.bytes, zone, change.commitTsMs);
    } catch (error) {
      // A row that has gone bad: what it was when it was good is in Postgres no more, so it may not count on.
      this.#takeOff(change, row, force);
      throw error;
    }
    const { high, low, close, volume } = bar;
    const figures: Figures = { ...bar, priceVolume: (high + low + close) * volume, bars: 1, final: true };
    const before = this.#isNewDay(stock!, bar) ? null : this.#table.get(stock!, BAR, bar.start);
    if (!force && sameFigures(before, figures)) return;
    const origin = originOf(change);
    this.#table.put(stock!, BAR, bar.start, figures, origin);
    // A bar of a minute that is one of a day now, or the other way about, is in other candles.
    if (before !== null && before.end !== bar.end) this.#dirty.bar(stock!, before, origin, force);
    this.#dirty.bar(stock!, bar, origin, force);
    this.#touched = true;
  }

  /**
   * Whether a bar is of a day of which there is nothing yet. As there is no candle without children and no bar without a candle, nobody needs to look
   * for the bar itself: history is made of such days.
   */
  #isNewDay(stock: Stock, { start, end }: Bar): boolean {
    if (end - start === MINUTE_MS || this.#dirty.touches(stock, start)) return false;
    return this.#table.get(stock, '1d', start) === null;
  }

  /**
   * The row counts no more. Nothing if it never did: unless its candles are to be told again, which takes off those that are shown without a bar.
   */
  #takeOff(change: RowChange<RawPrice>, row: RawPrice, force: boolean): void {
    const stock = this.#stock(row.stockId);
    const start = (row.tsMicros ?? Number.NaN) / 1000;
    if (stock === null || start % MINUTE_MS !== 0) return;
    const before = this.#table.get(stock, BAR, start);
    const origin = originOf(change);
    if (before !== null) {
      this.#table.put(stock, BAR, start, null, origin);
      this.#dirty.bar(stock, before, origin, force);
    } else if (force) this.#dirty.bar(stock, { start, end: start + MINUTE_MS }, origin, true);
  }

  /** As of the change: one that was deleted since has had its bars deleted before, which is still to come. */
  #isListed({ id }: Stock, { lsn }: RowChange<RawPrice>): boolean {
    const { stocks } = this.#options;
    // Hardly a stock is ever deleted: without a second version of any nobody looks.
    if (stocks.changesEnd === 0n) return true;
    const key = String(id);
    const version = lsn === null ? stocks.versionsOf(key).at(-1) : stocks.asOf(key, lsn);
    return version?.value.listed === true;
  }

  #stock(id: bigint): Stock | null {
    const known = this.#stocks.get(id);
    if (known !== undefined) return known;
    const version = this.#options.stocks.versionsOf(String(id)).at(-1);
    if (version === undefined) return null;
    const { symbol, exchange } = version.value;
    const stock = { id, symbol, zone: Zone.of(zoneOf(exchange)), index: this.#stocks.size };
    this.#stocks.set(id, stock);
    return stock;
  }

  /** All stocks, of which only some have candles here. */
  *#everyStock(): Generator<Stock> {
    for (const id of [...this.#options.stocks.keys()]) yield this.#stock(BigInt(id))!;
  }

  #passOf({ position, timeMs }: ClockReading): FinalityPass {
    const to = timeMs - this.#options.latenessMs;
    this.#pass ??= new FinalityPass({
      table: this.#table,
      stocks: this.#everyStock(),
      // Nothing was written before the first stamp but by this batch, with a stream time no older than the reading's.
      from: this.#asOf?.final_to ?? to,
      to,
      origin: { lsn: position, xid: 0n, commitTsMs: timeMs },
    });
    return this.#pass;
  }

  #stamp(sourceLsn: bigint, timeMs: number): void {
    // An allowed lateness that was raised makes nothing open again that is final.
    const finalTo = Math.max(this.#asOf?.final_to ?? 0, timeMs - this.#options.latenessMs);
    const streamTime = Math.max(this.#asOf?.stream_time ?? 0, timeMs);
    this.#table.stamp({ stream_time: streamTime, source_lsn: sourceLsn, final_to: finalTo });
    this.#asOf = this.#table.asOf();
  }
}

function rowOf(change: RowChange<RawPrice>, row: RawPrice | null): RawPrice {
  if (row !== null) return row;
  throw new SluiceError(`A change with operation ${change.op} and no row (is REPLICA IDENTITY FULL set?)`, {
    code: 'MISSING_FIELD',
    action: 'dead-letter',
  });
}

function originOf({ lsn, xid, commitTsMs }: RowChange<RawPrice>): Origin {
  return { lsn: lsn ?? 0n, xid, commitTsMs };
}
