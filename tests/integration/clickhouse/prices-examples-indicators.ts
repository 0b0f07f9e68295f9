/** Indicators for the example queries of prices, and the answers of those that read them, worked out by hand. */
import type { Interval } from '../../../pipelines/prices/intervals.ts';
import type { Indicators } from '../../../schemas/prices/indicators.ts';
import {
  type IndicatorsOutput,
  indicatorsAsOf,
  indicatorsGone,
  indicatorsOf,
  indicatorsOutput,
  seriesBehind,
} from '../../support/indicator-records.ts';

export interface Answer {
  readonly params?: Readonly<Record<string, string | number>>;
  readonly rows: readonly (readonly unknown[])[];
}

const IDS: Readonly<Record<string, bigint>> = { AAA: 1n, BBB: 2n, CCC: 3n };
const AT_MS = Date.parse('2026-02-04T14:00Z');
const AT = '2026-02-04 14:00:00.000';

const e6 = (value: number) => BigInt(Math.round(value * 1e6));
const levels = (names: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(names).map(([name, value]) => [`${name}_e6`, e6(value)]));

type Hlc = readonly [high: number, low: number, close: number];

function made(
  symbol: string,
  interval: Interval,
  at: string,
  [high, low, close]: Hlc,
  more: Partial<Indicators> = {},
): IndicatorsOutput {
  const place = { stock_id: IDS[symbol]!, interval, start: Date.parse(at) };
  const prices = { high_e6: e6(high), low_e6: e6(low) };
  return indicatorsOutput(indicatorsOf(place, e6(close), { symbol, final: true, ...prices, ...more }), AT_MS);
}

const before = ([high, low, close]: Hlc) => levels({ previous_high: high, previous_low: low, previous_close: close });

const FIVE_MINUTES = '2026-02-02T14:30Z';

/** Days of AAA begin at five in winter, those of BBB at midnight, those of CCC at three in the afternoon of the day before. */
export const INDICATOR_OUTPUTS: readonly IndicatorsOutput[] = [
  made('AAA', '1d', '2026-02-03T05:00Z', [13, 11, 12.5], { rsi_14: 60, final: false }),
  made('AAA', '1d', '2026-02-03T05:00Z', [14, 11, 13], {
    ...{ volume: 200n, volume_ratio: 1.5, rsi_14: 65, macd_histogram: -0.5, signals: ['golden_cross'] },
    ...{ sma_20: 12, bollinger_lower: 10, bollinger_upper: 14 },
    ...before([12, 9, 11]),
    ...levels({ high_20d: 13.5, low_20d: 8 }),
  }),
  made('AAA', '1d', '2026-02-04T05:00Z', [14.5, 13, 14.5], {
    ...{ volume: 50n, volume_ratio: 0.25, rsi_14: 75, macd_histogram: 0.25 },
    signals: ['macd_cross_up', 'rsi_overbought'],
    ...before([14, 11, 13]),
    ...levels({ high_20d: 14, low_20d: 9, high_52w: 14.6, low_52w: 5 }),
  }),
  made('BBB', '1d', '2026-02-04T00:00Z', [6, 3, 3], {
    ...{ volume: 30n, volume_ratio: 2.5, rsi_14: 25, signals: ['rsi_oversold', 'unusual_volume'] },
    ...before([6, 4, 6]),
    ...levels({ high_20d: 7, low_20d: 3.5, high_52w: 8, low_52w: 3.2 }),
  }),
  made('CCC', '1d', '2026-02-03T15:00Z', [101, 99, 100], {
    ...{ volume: 5n, volume_ratio: 4, rsi_14: 50, signals: ['unusual_volume'] },
  }),
  made('AAA', '1w', '2026-02-02T05:00Z', [14, 9, 13], { ...before([10, 8, 9]), ...levels({ high_52w: 12 }) }),
  made('AAA', '5m', FIVE_MINUTES, [10, 10, 10], { final: false }),
  made('AAA', '5m', FIVE_MINUTES, [11, 10, 10.5], { rsi_14: 55, signals: ['bollinger_break_up'] }),
  indicatorsGone({ stock_id: 1n, interval: '5m', start: Date.parse(FIVE_MINUTES) }),
  indicatorsAsOf(0, Date.parse('2026-02-04T15:00Z'), 77n),
  seriesBehind({ stock_id: 1n, interval: '1h' }, Date.parse('2026-02-02T14:00Z'), AT_MS),
];

const DAY = { interval: '1d', day: '2026-02-04' };

export const INDICATOR_ANSWERS: Readonly<Record<string, Answer>> = {
  '13_indicators_of_a_symbol.sql': {
    params: { symbol: 'AAA', interval: '1d', from: '2026-02-03', to: '2026-02-05' },
    rows: [
      ['2026-02-03 05:00:00.000', 13, 12, 10, 14, 65, -0.5, ['golden_cross']],
      ['2026-02-04 05:00:00.000', 14.5, null, null, null, 75, 0.25, ['macd_cross_up', 'rsi_overbought']],
    ],
  },
  '14_signals_of_a_day.sql': {
    params: { day: '2026-02-04' },
    rows: [
      ['unusual_volume', 2, ['BBB', 'CCC']],
      ['macd_cross_up', 1, ['AAA']],
      ['rsi_overbought', 1, ['AAA']],
      ['rsi_oversold', 1, ['BBB']],
    ],
  },
  '15_movers_by_exchange.sql': {
    params: DAY,
    // 1.5 / 13 and -3 / 6
    rows: [
      ['LSE', 'BBB', 3, -50, 30],
      ['NYSE', 'AAA', 14.5, 11.54, 50],
    ],
  },
  '16_unusual_volume.sql': {
    params: DAY,
    rows: [
      ['Energy', 'CCC', 5, 4],
      ['?', 'BBB', 30, 2.5],
    ],
  },
  '17_breakouts.sql': {
    params: { interval: '1d', from: '2026-02-03' },
    rows: [
      ['2026-02-03', 'AAA', ['high_20d']],
      ['2026-02-04', 'AAA', ['high_20d']],
      ['2026-02-04', 'BBB', ['low_20d', 'low_52w']],
    ],
  },
  '18_support_and_resistance.sql': {
    params: DAY,
    // Of 14, 11, 13: 29/3, 34/3, 38/3, 43/3, 47/3. Of 6, 4, 6: 10/3, 14/3, 16/3, 20/3, 22/3.
    rows: [
      ['AAA', 14.5, 12.666667, 14.333333, 15.666667],
      ['BBB', 3, 5.333333, null, 3.333333],
    ],
  },
  '19_strength_and_vwap.sql': {
    params: { day: '2026-02-04' },
    rows: [
      ['AAA', 75, 14.5, 13.666666, 'above'],
      ['BBB', 25, 3, 4, 'below'],
    ],
  },
  '20_after_a_signal.sql': {
    params: { signal: 'golden_cross', days: 1 },
    rows: [['AAA', '2026-02-03 05:00:00.000', 13, 14.5, 11.54]],
  },
  '21_history_of_an_indicator.sql': {
    params: { stock: 1, interval: '5m', start: '2026-02-02 14:30:00' },
    rows: [
      [false, 10, null, [], false, AT],
      [false, 10.5, 55, ['bollinger_break_up'], true, AT],
      [true, 0, null, [], false, '1970-01-01 00:00:00.000'],
    ],
  },
  '22_what_is_behind.sql': { rows: [['AAA', '1h', '2026-02-02 14:00:00.000', '2026-02-04 15:00:00.000']] },
};
