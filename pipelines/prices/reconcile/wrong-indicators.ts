/** Whether what is shown of a candle's indicators is what the definitions say. */
import type { Difference } from '../../operations/reconcile/report.ts';
import { type ExpectedRow, INDICATOR_NAMES, type IndicatorName, TOLERANCE } from './indicators.ts';
import type { LEVEL_NAMES } from './levels.ts';

/** Named as in the topics; prices are millionths. */
export type ExactName =
  | 'symbol'
  | 'start'
  | 'end'
  | 'volume'
  | 'obv'
  | `${'open' | 'high' | 'low' | 'close'}_e6`
  | (typeof LEVEL_NAMES)[number];

type Exact = string | number | bigint | null;

/** What a sink shows of one candle. */
export interface ShownIndicators {
  /** Of what it has. */
  readonly exact: Readonly<Partial<Record<ExactName, Exact>>>;
  readonly values: Readonly<Record<IndicatorName, number | null>>;
  readonly signals: readonly string[];
  readonly end: number;
  readonly final: boolean;
}

/** What is not shown as expected; null when all of it is. */
export function wrongOf(row: ExpectedRow, shown: ShownIndicators | null): Pick<Difference, 'postgres' | 'sink'> | null {
  if (shown === null) return { postgres: 'a row', sink: null };
  const { values, signals, strengthIsNoise } = row;
  const wrong: (readonly [name: string, expected: unknown, found: unknown])[] = [];
  for (const [name, expected] of Object.entries(exactOf(row))) {
    const found = shown.exact[name as ExactName];
    if (found !== undefined && found !== expected) wrong.push([name, expected, found]);
  }
  for (const name of INDICATOR_NAMES) {
    if (name === 'rsi_14' && strengthIsNoise) continue;
    if (!isNear(values[name], shown.values[name])) wrong.push([name, values[name], shown.values[name]]);
  }
  const missing = signals.certain.filter((name) => !shown.signals.includes(name));
  const many = shown.signals.filter((name) => !signals.possible.includes(name));
  if (missing.length + many.length > 0) wrong.push(['signals', signals.certain.join(), shown.signals.join()]);
  if (wrong.length === 0) return null;
  const shownBy = (at: 1 | 2) => wrong.map((one) => `${one[0]}=${one[at]}`).join(' ');
  return { postgres: shownBy(1), sink: shownBy(2) };
}

function exactOf({ candle, obv, levels }: ExpectedRow): Readonly<Record<ExactName, Exact>> {
  const { symbol, start, end, volume } = candle;
  const prices = { open_e6: candle.open, high_e6: candle.high, low_e6: candle.low, close_e6: candle.close };
  return { symbol, start, end, ...prices, volume, obv, ...levels };
}

/** Within a millionth of the larger one, and of 1. */
function isNear(a: number | null, b: number | null): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(a), Math.abs(b));
}
