/** Runs traffic of prices against a database: the history first, then minutes at a pace. */
import {
  NO_COUNTS,
  type PriceCounts,
  PriceTraffic,
  type PriceTrafficOptions,
} from '../../pipelines/prices/traffic/traffic.ts';
import { Pace, type PaceOptions } from './pace.ts';
import { PricesWriter } from './prices-writer.ts';

export interface PricesRunOptions extends PriceTrafficOptions, PaceOptions {
  readonly url: string;
  /** The first minute; daily bars are of the days before. */
  readonly startMs: number;
  /** Years of daily bars. */
  readonly dailyYears: number;
  readonly signal: AbortSignal;
  /** Called once a second. */
  readonly onProgress?: (progress: PricesProgress) => void;
}

export interface PricesProgress {
  /** Daily bars that were looked at, and about how many there are. */
  readonly history: { readonly done: number; readonly about: number };
  readonly counts: PriceCounts;
  readonly seconds: number;
}

export interface PricesSummary extends PriceCounts {
  /** As asked; 0 for as fast as possible. */
  readonly rate: number;
  /** That the bars of minutes took. */
  readonly seconds: number;
  /** Bars of minutes a second. */
  readonly achievedRate: number;
  /** Daily bars that were written; those that were there are not counted. */
  readonly history: number;
}

const MAX_BATCH = 5_000;
const REPORT_MS = 1_000;

/** Writes until the time is over or the signal is aborted; always ends after a whole batch. */
export async function runPrices(options: PricesRunOptions): Promise<PricesSummary> {
  const traffic = new PriceTraffic(options, options.startMs);
  const writer = new PricesWriter(options.url);
  try {
    await writer.prepare(traffic.listings);
    return await new Run(options, traffic, writer).toEnd();
  } finally {
    await writer.close();
  }
}

class Run {
  readonly #options: PricesRunOptions;
  readonly #traffic: PriceTraffic;
  readonly #writer: PricesWriter;
  readonly #startedMs = performance.now();
  readonly #history: { done: number; about: number };
  #counts: PriceCounts = NO_COUNTS;
  #reportedMs = 0;

  constructor(options: PricesRunOptions, traffic: PriceTraffic, writer: PricesWriter) {
    this.#options = options;
    this.#traffic = traffic;
    this.#writer = writer;
    this.#history = { done: 0, about: traffic.historySize(options.dailyYears) };
  }

  async toEnd(): Promise<PricesSummary> {
    const history = await this.#load();
    const { rate, signal } = this.#options;
    const pace = new Pace(this.#options);
    while (!signal.aborted) {
      const due = pace.due(MAX_BATCH);
      const batch = due === 0 ? null : this.#traffic.next(due, Date.now());
      if (batch === null || batch.counts.bars === 0) {
        // Either nothing is due, or the minutes have caught up with the clock.
        if (pace.timeIsOver) break;
        await pace.untilNextTick(signal);
        continue;
      }
      pace.made(batch.counts.bars);
      await this.#writer.write(batch);
      this.#counts = sumOf(this.#counts, batch.counts);
      this.#report();
    }
    const seconds = pace.elapsedMs / 1_000;
    return {
      rate,
      seconds: Math.round(seconds * 1_000) / 1_000,
      history,
      ...this.#counts,
      achievedRate: Math.round(this.#counts.bars / seconds),
    };
  }

  async #load(): Promise<number> {
    let written = 0;
    if (this.#options.dailyYears === 0) return 0;
    for (const rows of this.#traffic.history(this.#options.dailyYears)) {
      if (this.#options.signal.aborted) break;
      for (let at = 0; at < rows.length; at += MAX_BATCH)
        written += await this.#writer.load(rows.slice(at, at + MAX_BATCH));
      this.#history.done += rows.length;
      this.#report();
    }
    return written;
  }

  #report(): void {
    const elapsedMs = performance.now() - this.#startedMs;
    if (elapsedMs - this.#reportedMs < REPORT_MS) return;
    this.#reportedMs = elapsedMs;
    this.#options.onProgress?.({ history: this.#history, counts: this.#counts, seconds: elapsedMs / 1_000 });
  }
}

function sumOf(a: PriceCounts, b: PriceCounts): PriceCounts {
  return {
    bars: a.bars + b.bars,
    late: a.late + b.late,
    bad: a.bad + b.bad,
    corrections: a.corrections + b.corrections,
    duplicates: a.duplicates + b.duplicates,
    deletes: a.deletes + b.deletes,
  };
}
