/**
 * Bars of prices, the same for the same seed and start: a pure core that knows neither clock nor database. The sequence of changes does not depend
 * on how it is cut into batches. What it leaves out: holidays, and corrections of earlier bars by a split, which is a jump of the price.
 */
import { Random } from '../../random.ts';
import { zoneOf } from '../exchanges.ts';
import { MINUTE_MS } from '../intervals.ts';
import { isOpen, isTradingDay } from '../sessions.ts';
import { Zone } from '../zone.ts';
import { type Listing, makeListings } from './listings.ts';
import { corrected, DAY_GRAIN, MINUTE_GRAIN, nextFigures, type PriceRow, spoiled } from './walk.ts';

export interface PriceTrafficOptions {
  readonly seed: number;
  readonly symbols: number;
  /** Percent of the bars: as many corrections again, repetitions without a change, deletions. */
  readonly corrections: number;
  readonly duplicates: number;
  readonly deletes: number;
  /** Percent of the bars that come minutes to hours later, are never there, or have a fault. */
  readonly late: number;
  readonly gaps: number;
  readonly bad: number;
  /** Percent of the stocks that split on a day. */
  readonly splits: number;
  /** Trades at night and at weekends too. */
  readonly alwaysOpen: boolean;
}

export interface PriceBatch {
  /** No two of one key. To be applied before the deletes, in one transaction. */
  readonly upserts: readonly PriceRow[];
  readonly deletes: readonly Pick<PriceRow, 'stock' | 'startMs'>[];
  /** New bars among the upserts, and what else was done; a row may have been changed more than once. */
  readonly counts: PriceCounts;
}

export interface PriceCounts {
  readonly bars: number;
  readonly late: number;
  readonly bad: number;
  readonly corrections: number;
  readonly duplicates: number;
  readonly deletes: number;
}

export const NO_COUNTS: PriceCounts = { bars: 0, late: 0, bad: 0, corrections: 0, duplicates: 0, deletes: 0 };

type Counts = { -readonly [Name in keyof PriceCounts]: number };

/** Bars that may still be corrected, repeated or deleted; and those that are held back. */
const MAX_RECENT = 50_000;
const MAX_HELD = 50_000;
const LATE_MINUTES = { from: 2, to: 300 } as const;
const DAYS_OF_YEAR = 365;
const SPLIT_RATIOS = [2, 3, 5, 0.1];

const keyOf = ({ stock, startMs }: Pick<PriceRow, 'stock' | 'startMs'>): string => `${stock} ${startMs}`;

export class PriceTraffic {
  readonly listings: readonly Listing[];
  readonly #options: PriceTrafficOptions;
  readonly #startMs: number;
  readonly #bars: Random;
  readonly #changes: Random;
  readonly #faults: Random;
  readonly #last: Float64Array;
  /** Local day of the newest bar, by stock. */
  readonly #days: Int32Array;
  readonly #zones: readonly Zone[];
  readonly #exchanges: readonly string[];
  /** A ring once it is full. */
  readonly #recent: PriceRow[] = [];
  #recentAt = 0;
  /** Bars by the minute in which they come. */
  readonly #held = new Map<number, PriceRow[]>();
  #heldCount = 0;
  #minuteMs: number;
  #open: ReadonlySet<string> = new Set();
  /** The next stock of the minute; −1 before it begins. */
  #stock = -1;
  #correctionsDue = 0;
  #duplicatesDue = 0;
  #deletesDue = 0;

  /** @param startMs the first minute of the bars of minutes; daily bars are of the days before */
  constructor(options: PriceTrafficOptions, startMs: number) {
    const { seed } = options;
    this.#options = options;
    this.#startMs = Math.floor(startMs / MINUTE_MS) * MINUTE_MS;
    this.#minuteMs = this.#startMs;
    this.listings = makeListings(options.symbols, seed);
    this.#zones = this.listings.map(({ exchange }) => Zone.of(zoneOf(exchange)));
    this.#exchanges = [...new Set(this.listings.map(({ exchange }) => exchange))];
    this.#last = Float64Array.from(this.listings, ({ firstPrice }) => firstPrice);
    this.#days = new Int32Array(this.listings.length).fill(-1);
    this.#bars = new Random(seed, 'bars');
    this.#changes = new Random(seed, 'changes');
    this.#faults = new Random(seed, 'faults');
  }

  /** How many rows `history` may give: some are missing. */
  historySize(years: number): number {
    return Math.round(((years * DAYS_OF_YEAR * 5) / 7) * this.listings.length);
  }

  /** Daily bars of the years before the start, day by day, a row for each stock. To be asked before `next`, which goes on from there. */
  *history(years: number): Generator<readonly PriceRow[]> {
    const random = new Random(this.#options.seed, 'history');
    for (let back = Math.round(years * DAYS_OF_YEAR); back > 0; back -= 1) {
      const rows: PriceRow[] = [];
      for (let stock = 0; stock < this.listings.length; stock += 1) {
        const zone = this.#zones[stock]!;
        // The day on which the minutes begin is left to them.
        const day = zone.dayOf(this.#startMs) - back;
        if (!isTradingDay(day)) continue;
        const figures = nextFigures(this.#priceOn(stock, day, random), DAY_GRAIN, random);
        this.#last[stock] = figures.close;
        if (random.chance(this.#options.gaps / 100)) continue;
        rows.push({ stock, startMs: zone.midnight(day), ...figures, source: 'daily' });
      }
      if (rows.length > 0) yield rows;
    }
  }

  /** The next bars, about `count` that are new, of minutes that have ended at `nowMs`; fewer when there are no more. */
  next(count: number, nowMs: number): PriceBatch {
    const batch = new Batch();
    while (batch.counts.bars < count && this.#minuteMs + MINUTE_MS <= nowMs) {
      if (this.#stock === -1) this.#beginMinute(batch);
      while (this.#stock < this.listings.length && batch.counts.bars < count) {
        this.#bar(this.#stock, batch);
        this.#stock += 1;
      }
      if (this.#stock < this.listings.length) break;
      this.#minuteMs += MINUTE_MS;
      this.#stock = -1;
    }
    return batch;
  }

  #beginMinute(batch: Batch): void {
    const { alwaysOpen } = this.#options;
    this.#open = new Set(this.#exchanges.filter((exchange) => alwaysOpen || isOpen(exchange, this.#minuteMs)));
    // Nothing to ask the stocks for while all exchanges are closed.
    this.#stock = this.#open.size === 0 ? this.listings.length : 0;
    for (const row of this.#held.get(this.#minuteMs) ?? []) {
      this.#heldCount -= 1;
      batch.counts.late += 1;
      this.#arrives(row, batch);
    }
    this.#held.delete(this.#minuteMs);
  }

  #bar(stock: number, batch: Batch): void {
    if (!this.#open.has(this.listings[stock]!.exchange)) return;
    const random = this.#bars;
    const startMs = this.#minuteMs;
    const figures = nextFigures(this.#priceOn(stock, this.#zones[stock]!.dayOf(startMs), random), MINUTE_GRAIN, random);
    this.#last[stock] = figures.close;
    const row = { stock, startMs, ...figures, source: 'minute' };
    const late = random.chance(this.#options.late / 100);
    if (random.chance(this.#options.gaps / 100)) return;
    if (late && this.#heldCount < MAX_HELD) this.#hold(row);
    else this.#arrives(row, batch);
    this.#change(batch);
  }

  /** The price from which a bar goes on: the last close, split when a day begins on which it is. */
  #priceOn(stock: number, day: number, random: Random): number {
    const last = this.#last[stock]!;
    if (this.#days[stock] === day) return last;
    this.#days[stock] = day;
    if (!random.chance(this.#options.splits / 100)) return last;
    return last / SPLIT_RATIOS[random.below(SPLIT_RATIOS.length)]!;
  }

  #hold(row: PriceRow): void {
    const minutes = Math.floor(this.#bars.logUniform(LATE_MINUTES.from, LATE_MINUTES.to));
    const due = this.#minuteMs + minutes * MINUTE_MS;
    const there = this.#held.get(due);
    if (there === undefined) this.#held.set(due, [row]);
    else there.push(row);
    this.#heldCount += 1;
  }

  #arrives(row: PriceRow, batch: Batch): void {
    batch.counts.bars += 1;
    if (!this.#faults.chance(this.#options.bad / 100)) {
      this.#remember(row);
      batch.upsert(row);
      return;
    }
    const fault = spoiled(row, this.#faults);
    batch.counts.bad += 1;
    if (fault.mendable) this.#remember(fault.row);
    batch.upsert(fault.row);
  }

  #remember(row: PriceRow): void {
    if (this.#recent.length < MAX_RECENT) {
      this.#recent.push(row);
      return;
    }
    this.#recent[this.#recentAt] = row;
    this.#recentAt = (this.#recentAt + 1) % MAX_RECENT;
  }

  /** What is due of corrections, repetitions and deletions, in this order. */
  #change(batch: Batch): void {
    const { corrections, duplicates, deletes } = this.#options;
    const random = this.#changes;
    this.#correctionsDue += corrections / 100;
    for (; this.#correctionsDue >= 1 && this.#recent.length > 0; this.#correctionsDue -= 1) {
      const index = random.below(this.#recent.length);
      const old = this.#recent[index]!;
      const row = { ...old, ...corrected(old, MINUTE_GRAIN, random) };
      this.#recent[index] = row;
      batch.upsert(row);
      batch.counts.corrections += 1;
    }
    this.#duplicatesDue += duplicates / 100;
    for (; this.#duplicatesDue >= 1 && this.#recent.length > 0; this.#duplicatesDue -= 1) {
      batch.upsert(this.#recent[random.below(this.#recent.length)]!);
      batch.counts.duplicates += 1;
    }
    this.#deletesDue += deletes / 100;
    for (; this.#deletesDue >= 1 && this.#recent.length > 0; this.#deletesDue -= 1) {
      const index = random.below(this.#recent.length);
      batch.remove(this.#recent[index]!);
      this.#recent[index] = this.#recent.at(-1)!;
      this.#recent.pop();
      batch.counts.deletes += 1;
    }
  }
}

/** Changes of one transaction: a key is written once, as it is in the end. */
class Batch implements PriceBatch {
  readonly counts: Counts = { ...NO_COUNTS };
  readonly #rows = new Map<string, PriceRow>();
  readonly deletes: PriceRow[] = [];

  get upserts(): readonly PriceRow[] {
    return [...this.#rows.values()];
  }

  upsert(row: PriceRow): void {
    this.#rows.set(keyOf(row), row);
  }

  remove(row: PriceRow): void {
    this.deletes.push(row);
  }
}
