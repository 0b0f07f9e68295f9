/** What the candles in front of the last one say: usual volume, and the highs and lows that it may break. */
import { SMA } from 'trading-signals';
import type { Interval } from '../intervals.ts';
import { SlidingExtreme } from './extremes.ts';

export interface Range {
  readonly high: bigint;
  readonly low: bigint;
}

interface PrecedingCandle {
  readonly start: number;
  readonly high_e6: bigint;
  readonly low_e6: bigint;
  readonly volume: bigint;
}

const HOUR_MS = 3_600_000;
const YEAR_MS = 364 * 24 * HOUR_MS;
/** Days begin an hour earlier or later where the clock was changed in between. */
const TOLERANCE_MS = 12 * HOUR_MS;
/** Candles that make 20 trading days. */
const DAYS: Readonly<Partial<Record<Interval, number>>> = { '1d': 20, '1w': 4 };

export class Preceding {
  readonly #days: number | null;
  readonly #volumes = new SMA(20);
  readonly #ofDays = { high: new SlidingExtreme('highest'), low: new SlidingExtreme('lowest') };
  readonly #ofYear = { high: new SlidingExtreme('highest'), low: new SlidingExtreme('lowest') };
  #count = 0;
  #first: number | null = null;

  constructor(interval: Interval) {
    this.#days = DAYS[interval] ?? null;
  }

  push({ start, high_e6, low_e6, volume }: PrecedingCandle): void {
    this.#volumes.add(Number(volume));
    if (this.#days === null) return;
    this.#first ??= start;
    this.#ofDays.high.push(this.#count, high_e6);
    this.#ofDays.low.push(this.#count, low_e6);
    this.#ofYear.high.push(start, high_e6);
    this.#ofYear.low.push(start, low_e6);
    this.#count++;
  }

  /** Against the mean of the 20 candles before; null without them, or where that is 0. */
  volumeRatio(volume: bigint): number | null {
    // Asked first: the library answers with an exception that it makes and catches.
    const usual = this.#volumes.isStable ? this.#volumes.getResultOrThrow() : 0;
    return usual === 0 ? null : Number(volume) / usual;
  }

  /** Of 20 trading days; null without so many. */
  days(): Range | null {
    if (this.#days === null || this.#count < this.#days) return null;
    return range(this.#ofDays, this.#count - this.#days);
  }

  /** Of the 52 weeks before `start`; null where the series does not reach back so far. */
  year(start: number): Range | null {
    if (this.#first === null || this.#first > start - YEAR_MS + TOLERANCE_MS) return null;
    return range(this.#ofYear, start - YEAR_MS - TOLERANCE_MS);
  }
}

function range(of: { readonly high: SlidingExtreme; readonly low: SlidingExtreme }, from: number): Range | null {
  const high = of.high.from(from);
  const low = of.low.from(from);
  return high === null || low === null ? null : { high, low };
}
