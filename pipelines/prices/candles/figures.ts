/** The arithmetic of candles: pure, exact, always from all children and never by increments. */
import type { Bucket } from '../intervals.ts';

/** A bar or candle. Prices are millionths of the unit, times milliseconds since the epoch. */
export interface Figures extends Bucket {
  readonly open: bigint;
  readonly high: bigint;
  readonly low: bigint;
  readonly close: bigint;
  readonly volume: bigint;
  /** Σ (high + low + close) · volume of the bars. */
  readonly priceVolume: bigint;
  /** Number of base bars. */
  readonly bars: number;
  readonly final: boolean;
  /** Of a bar, and of a day made of a daily bar: where that is from. */
  readonly source: string | null;
}

/** The candle of these children, which are in the order of time and not none of them. */
export function combined({ start, end }: Bucket, children: readonly Figures[]): Omit<Figures, 'final'> {
  const first = children[0]!;
  let { high, low } = first;
  let volume = 0n;
  let priceVolume = 0n;
  let bars = 0;
  for (const child of children) {
    if (child.high > high) high = child.high;
    if (child.low < low) low = child.low;
    volume += child.volume;
    priceVolume += child.priceVolume;
    bars += child.bars;
  }
  const { close } = children.at(-1)!;
  return { start, end, open: first.open, high, low, close, volume, priceVolume, bars, source: null };
}

/** round half up(priceVolume / (3 · volume)); null without volume. */
export function vwapOf({ priceVolume, volume }: Pick<Figures, 'priceVolume' | 'volume'>): bigint | null {
  return volume === 0n ? null : (2n * priceVolume + 3n * volume) / (6n * volume);
}

export function sameFigures(a: Figures | null, b: Figures | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.close === b.close &&
    a.volume === b.volume &&
    a.priceVolume === b.priceVolume &&
    a.high === b.high &&
    a.low === b.low &&
    a.open === b.open &&
    a.bars === b.bars &&
    a.final === b.final &&
    a.source === b.source &&
    a.start === b.start &&
    a.end === b.end
  );
}
