/** Signals: what of the indicators of a candle is worth a look. */
import type { Indicators } from '../../../schemas/prices/indicators.ts';

type Values = Pick<
  Indicators,
  'sma_50' | 'sma_200' | 'rsi_14' | 'macd_histogram' | 'bollinger_upper' | 'bollinger_lower' | 'volume_ratio'
>;

/** How a value stands to another; null while one of them is not known. */
function side(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.sign(a - b);
}

function crossed(before: number | null, now: number | null): 'up' | 'down' | null {
  if (before === null || now === null) return null;
  if (before <= 0 && now > 0) return 'up';
  return before >= 0 && now < 0 ? 'down' : null;
}

/** Sorted. `close` is the candle's, `before` the candle in front of it. */
export function signalsOf(values: Values & { readonly close: number }, before: Values | null): readonly string[] {
  const { close, sma_50, sma_200, rsi_14, bollinger_upper, bollinger_lower, volume_ratio } = values;
  const macd = crossed(side(before?.macd_histogram ?? null, 0), side(values.macd_histogram, 0));
  const averages = crossed(side(before?.sma_50 ?? null, before?.sma_200 ?? null), side(sma_50, sma_200));
  const found: string[] = [];
  if (bollinger_lower !== null && close < bollinger_lower) found.push('bollinger_break_down');
  if (bollinger_upper !== null && close > bollinger_upper) found.push('bollinger_break_up');
  if (averages === 'down') found.push('death_cross');
  if (averages === 'up') found.push('golden_cross');
  if (macd === 'down') found.push('macd_cross_down');
  if (macd === 'up') found.push('macd_cross_up');
  if (rsi_14 !== null && rsi_14 > 70) found.push('rsi_overbought');
  if (rsi_14 !== null && rsi_14 < 30) found.push('rsi_oversold');
  if (volume_ratio !== null && volume_ratio >= 2) found.push('unusual_volume');
  return found;
}
