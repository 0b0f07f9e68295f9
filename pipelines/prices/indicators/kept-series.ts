/**
 * The series of one partition: live candles at once, corrections in the past in bounded pieces.
 *
 *   appended or last candle ──► computed in the same transaction
 *   candle in the past, or one that is gone ──► the candle is put at once, its series is *behind* from there: in each
 *     transaction a piece of the rows is computed again, until the end of the series
 *   candle that says what is known of it, or one that is gone and was not there ──► a command had it told again: so is its row
 *
 * Invariant: in front of where a series is behind, its rows are right; where it is not behind, all of them. What is behind is written
 * with the transaction that makes it so, so a crash forgets none.
 */
import type { Indicators } from '../../../schemas/prices/indicators.ts';
import { Series, type SeriesCandle, type SeriesId, windowOf } from './series.ts';
import type { IndicatorTable, NamedSeries } from './table.ts';

interface Change {
  readonly start: number;
  /** null: gone. */
  candle: SeriesCandle | null;
}

export interface SeriesLimits {
  /** Rows read for corrections per transaction. */
  readonly repairRows: number;
  /** Series kept in memory between transactions. */
  readonly series: number;
}

/** Rows of one series computed again before the next one has its turn. */
const PIECE_ROWS = 500;

export class KeptSeries {
  readonly #table: IndicatorTable;
  readonly #limits: SeriesLimits;
  /** What the running batch says. */
  readonly #changed = new Map<NamedSeries, Change[]>();
  /** Lately used ones last; each stands at the last row of its series. */
  readonly #kept = new Map<NamedSeries, Series>();
  /** From where on a series is behind; the next one first. */
  readonly #behind = new Map<NamedSeries, number>();
  /** What the store says is behind. */
  readonly #written = new Map<NamedSeries, number>();
  #timeMs = 0;

  constructor(table: IndicatorTable, limits: SeriesLimits) {
    this.#table = table;
    this.#limits = limits;
    for (const { id, from } of table.behind()) {
      this.#behind.set(id, from);
      this.#written.set(id, from);
    }
  }

  /** Whether a series is behind. */
  get behind(): boolean {
    return this.#behind.size > 0;
  }

  /** Takes note of a candle, or with null of none: the last word of a batch counts. */
  change({ stock_id, interval }: SeriesId, start: number, candle: SeriesCandle | null): void {
    const id = this.#table.series(stock_id, interval);
    const changes = this.#changed.get(id);
    if (changes === undefined) {
      this.#changed.set(id, [{ start, candle }]);
      return;
    }
    const last = changes.at(-1)!;
    if (last.start === start) last.candle = candle;
    else changes.push({ start, candle });
  }

  /** Puts all rows that follow from the batch, and a piece of those that are behind. `timeMs` is theirs. */
  apply(timeMs: number): void {
    this.#timeMs = timeMs;
    for (const [id, changes] of this.#changed) {
      for (const { start, candle } of inOrder(changes)) {
        if (candle === null) this.#remove(id, start);
        else this.#change(id, candle);
      }
    }
    this.#changed.clear();
    this.#repair();
    this.#note();
    for (const id of this.#kept.keys()) {
      if (this.#kept.size <= this.#limits.series) break;
      this.#kept.delete(id);
    }
  }

  #change(id: NamedSeries, candle: SeriesCandle): void {
    const { start } = candle;
    const series = this.#seriesOf(id);
    const last = series.last?.start;
    if (last === undefined || start > last) {
      this.#table.write(id, series.add(candle), this.#timeMs);
      return;
    }
    if (start === last) {
      const row = sameFigures(series.last!, candle) ? series.last! : series.replace(candle);
      this.#table.write(id, row, this.#timeMs);
      return;
    }
    const known = this.#table.get(id, start);
    const { stock_id, interval } = id;
    if (known !== null && sameFigures(known, candle)) {
      this.#table.write(id, known, this.#timeMs);
      return;
    }
    this.#put(id, start, { ...(known ?? NOTHING_YET), stock_id, interval, ...figuresOf(candle) });
    this.#fallBehind(id, start);
  }

  #remove(id: NamedSeries, start: number): void {
    if (this.#table.get(id, start) === null) {
      this.#table.takeOff(id, start, this.#timeMs);
      return;
    }
    const last = this.#seriesOf(id).last?.start;
    this.#put(id, start, null);
    if (start === last) this.#kept.delete(id);
    else this.#fallBehind(id, start);
  }

  #fallBehind(id: NamedSeries, from: number): void {
    const known = this.#behind.get(id);
    if (known === undefined || from < known) this.#behind.set(id, from);
  }

  #repair(): void {
    let rows = this.#limits.repairRows;
    while (rows > 0) {
      const [next] = this.#behind;
      if (next === undefined) return;
      // At least one row, however small the limit: it must come to its end.
      rows -= this.#repairPiece(...next, Math.min(rows, PIECE_ROWS));
    }
  }

  /** Computes up to `limit` rows again. Returns how many were read. */
  #repairPiece(id: NamedSeries, from: number, limit: number): number {
    const window = this.#table.before(id, from, windowOf(id.interval));
    const rows = this.#table.from(id, from, limit);
    const series = Series.behind(id, window);
    for (const row of rows) this.#put(id, row.start, series.add(row));
    this.#behind.delete(id);
    const last = rows.at(-1);
    if (last === undefined) this.#kept.delete(id);
    else if (rows.length < limit) this.#kept.set(id, series);
    else this.#behind.set(id, last.start + 1);
    return window.length + rows.length;
  }

  /** Writes down what is behind now, where the store says otherwise. */
  #note(): void {
    for (const id of this.#written.keys()) {
      if (this.#behind.has(id)) continue;
      this.#table.putBehind(id, null, this.#timeMs);
      this.#written.delete(id);
    }
    for (const [id, from] of this.#behind) {
      if (this.#written.get(id) === from) continue;
      this.#table.putBehind(id, from, this.#timeMs);
      this.#written.set(id, from);
    }
  }

  /** The series at its last row, from memory or from the last rows of the store. */
  #seriesOf(id: NamedSeries): Series {
    const kept = this.#kept.get(id);
    const series = kept ?? this.#load(id);
    // To the end of the order: lately used.
    if (kept !== undefined) this.#kept.delete(id);
    this.#kept.set(id, series);
    return series;
  }

  #load(id: NamedSeries): Series {
    const rows = this.#table.before(id, Number.MAX_SAFE_INTEGER, windowOf(id.interval) + 1);
    const series = Series.behind(id, rows.slice(0, -1));
    const last = rows.at(-1);
    // Added, so that it can be replaced as it grows.
    if (last !== undefined) series.add(last);
    return series;
  }

  #put(id: NamedSeries, start: number, row: Indicators | null): void {
    this.#table.put(id, start, row, this.#timeMs);
  }
}

/** A batch's candles may come in any order; the series wants theirs, each as it was told last. */
function inOrder(changes: readonly Change[]): readonly Change[] {
  const ordered = changes.every(({ start }, at) => at === 0 || changes[at - 1]!.start < start);
  if (ordered) return changes;
  return [...new Map(changes.map((change) => [change.start, change])).values()].sort((a, b) => a.start - b.start);
}

function figuresOf({
  symbol,
  start,
  end,
  open_e6,
  high_e6,
  low_e6,
  close_e6,
  volume,
  final,
}: SeriesCandle): SeriesCandle {
  return { symbol, start, end, open_e6, high_e6, low_e6, close_e6, volume, final };
}

function sameFigures(a: SeriesCandle, b: SeriesCandle): boolean {
  return (
    a.close_e6 === b.close_e6 &&
    a.volume === b.volume &&
    a.high_e6 === b.high_e6 &&
    a.low_e6 === b.low_e6 &&
    a.open_e6 === b.open_e6 &&
    a.final === b.final &&
    a.start === b.start &&
    a.end === b.end &&
    a.symbol === b.symbol
  );
}

/** Of a candle that was inserted in the past, until the computation has come to it. */
const NOTHING_YET = {
  ...{ sma_20: null, sma_50: null, sma_200: null, ema_12: null, ema_26: null, rsi_14: null },
  ...{ macd: null, macd_signal: null, macd_histogram: null, bollinger_upper: null, bollinger_lower: null },
  ...{ atr_14: null, obv: 0n, volume_ratio: null, signals: [], avg_gain: null, avg_loss: null },
  ...{ previous_close_e6: null, previous_high_e6: null, previous_low_e6: null },
  ...{ high_20d_e6: null, low_20d_e6: null, high_52w_e6: null, low_52w_e6: null },
} as const satisfies Omit<Indicators, keyof SeriesCandle | keyof SeriesId>;
