/** Bars of a price that walks at random. */
import type { Random } from '../../random.ts';

/** A row of stock_prices. Prices are millionths, NaN where the row says so; `stock` is an index of the listings. */
export interface PriceRow {
  /** −1 is a stock that is not there. */
  readonly stock: number;
  readonly startMs: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly source: string;
}

export type Figures = Pick<PriceRow, 'open' | 'high' | 'low' | 'close' | 'volume'>;

/** How much a price moves, and how much is traded, in one bar. */
export interface Grain {
  readonly volatility: number;
  readonly maxVolume: number;
}

export const MINUTE_GRAIN: Grain = { volatility: 0.0015, maxVolume: 50_000 };
export const DAY_GRAIN: Grain = { volatility: 0.02, maxVolume: 20_000_000 };

/** A cent, and a million: far from both ends of numeric(18, 6). */
const MIN_PRICE = 10_000;
const MAX_PRICE = 1e12;
const SHARE_WITHOUT_TRADE = 0.02;

/** About normal, in (−1.5, 1.5). */
const bell = (random: Random): number => random.unit() + random.unit() + random.unit() - 1.5;

const priced = (value: number): number => Math.min(MAX_PRICE, Math.max(MIN_PRICE, Math.round(value)));

/** The bar behind one that closed at `last`. */
export function nextFigures(last: number, grain: Grain, random: Random): Figures {
  const { volatility, maxVolume } = grain;
  const open = priced(last * (1 + bell(random) * volatility * 0.2));
  const close = priced(open * (1 + bell(random) * volatility));
  const high = priced(Math.max(open, close) * (1 + random.unit() * volatility * 0.5));
  const low = priced(Math.min(open, close) * (1 - random.unit() * volatility * 0.5));
  const volume = random.chance(SHARE_WITHOUT_TRADE) ? 0 : Math.floor(random.logUniform(1, maxVolume));
  return { open, high, low, close, volume };
}

/** What a vendor would correct: a trade that was taken back or came in late moves all but the open. Mends what `spoiled` broke. */
export function corrected({ open, volume }: Figures, grain: Grain, random: Random): Figures {
  const { high, low, close } = nextFigures(open, grain, random);
  return {
    open,
    high: Math.max(high, open),
    low: Math.min(low, open),
    close,
    volume: Math.max(0, volume) + random.below(1_000),
  };
}

/** Twenty years: ahead of any clock. */
const FAR_AHEAD_MS = 20 * 365 * 86_400_000;

type Spoiler = (row: PriceRow) => PriceRow;

/** Faults in figures: a correction mends them. One for each reason of a dead letter. */
const BAD_FIGURES: readonly Spoiler[] = [
  (row) => ({ ...row, close: Number.NaN }),
  (row) => ({ ...row, low: 0 }),
  (row) => ({ ...row, high: row.low - 1 }),
  (row) => ({ ...row, open: row.high + 1 }),
  (row) => ({ ...row, close: row.high + 1 }),
  (row) => ({ ...row, volume: -1 - row.volume }),
];

/** Faults in the key: the row stays as it is, beside the others. */
const BAD_KEYS: readonly Spoiler[] = [
  (row) => ({ ...row, stock: -1 }),
  (row) => ({ ...row, startMs: row.startMs + 30_000 }),
  (row) => ({ ...row, startMs: row.startMs + FAR_AHEAD_MS }),
];

/** The row with one fault. */
export function spoiled(row: PriceRow, random: Random): { readonly row: PriceRow; readonly mendable: boolean } {
  const fault = random.below(BAD_FIGURES.length + BAD_KEYS.length);
  const mendable = fault < BAD_FIGURES.length;
  const spoil = mendable ? BAD_FIGURES[fault]! : BAD_KEYS[fault - BAD_FIGURES.length]!;
  return { row: spoil(row), mendable };
}

/** The price as Postgres reads it. */
export function priceText(millionths: number): string {
  if (Number.isNaN(millionths)) return 'NaN';
  const digits = String(Math.abs(millionths)).padStart(7, '0');
  return `${millionths < 0 ? '-' : ''}${digits.slice(0, -6)}.${digits.slice(-6)}`;
}
