/**
 * Indicators against worksheets that StockCharts' ChartSchool publishes (cs-atr, cs-bbands, cs-macd, cs-obv; cs-rsi is in series.test.ts), which
 * share nothing with the library, and against figures worked out by hand. To 1e-6 of their size wherever so many digits were published.
 * https://school.stockcharts.com/doku.php?id=technical_indicators
 */
import { describe, expect, it } from 'vitest';
import { Series } from '../../../pipelines/prices/indicators/series.ts';
import type { Indicators } from '../../../schemas/prices/indicators.ts';

const DAY_MS = 86_400_000;

interface Day {
  readonly high?: number;
  readonly low?: number;
  readonly close: number;
  readonly volume?: number;
}

function rowsOf(days: readonly Day[]): readonly Indicators[] {
  const series = new Series({ stock_id: 1n, interval: '1d' });
  const e6 = (price: number) => BigInt(Math.round(price * 1e6));
  return days.map(({ high, low, close, volume = 1 }, index) =>
    series.add({
      ...{ symbol: 'ACME', start: index * DAY_MS, end: (index + 1) * DAY_MS, final: true, volume: BigInt(volume) },
      ...{ open_e6: e6(close), high_e6: e6(high ?? close), low_e6: e6(low ?? close), close_e6: e6(close) },
    }),
  );
}

type Doubles = {
  readonly [Name in keyof Indicators as Indicators[Name] extends number | null ? Name : never]?: number | null;
};

/** Each to 1e-6 of its size. */
function expectClose(row: Indicators, published: Doubles): void {
  for (const [name, wanted] of Object.entries(published)) {
    const found = row[name as keyof Doubles];
    const where = `${name} of candle ${row.start / DAY_MS + 1}: ${found}, not ${wanted}`;
    expect(typeof found, where).toBe('number');
    expect(Math.abs((found as number) - wanted!), where).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(wanted!)));
  }
}

/** High, low and close of April and May 2010. */
const ATR_DAYS: readonly (readonly [number, number, number])[] = [
  ...([
    [48.7, 47.79, 48.16],
    [48.72, 48.14, 48.61],
    [48.9, 48.39, 48.75],
    [48.87, 48.37, 48.63],
  ] as const),
  ...([
    [48.82, 48.24, 48.74],
    [49.05, 48.635, 49.03],
    [49.2, 48.94, 49.07],
    [49.35, 48.86, 49.32],
  ] as const),
  ...([
    [49.92, 49.5, 49.91],
    [50.19, 49.87, 50.13],
    [50.12, 49.2, 49.53],
    [49.66, 48.9, 49.5],
  ] as const),
  ...([
    [49.88, 49.43, 49.75],
    [50.19, 49.725, 50.03],
    [50.36, 49.26, 50.31],
    [50.57, 50.09, 50.52],
  ] as const),
  ...([
    [50.65, 50.3, 50.41],
    [50.43, 49.21, 49.34],
    [49.63, 48.98, 49.37],
    [50.33, 49.61, 50.23],
  ] as const),
  ...([
    [50.29, 49.2, 49.2375],
    [50.17, 49.43, 49.93],
    [49.32, 48.08, 48.43],
    [48.5, 47.64, 48.18],
  ] as const),
  ...([
    [48.3201, 41.55, 46.57],
    [46.8, 44.2833, 45.41],
    [47.8, 47.31, 47.77],
    [48.39, 47.2, 47.72],
  ] as const),
  ...([
    [48.66, 47.9, 48.62],
    [48.79, 47.7301, 47.85],
  ] as const),
];
const ATR = [
  ...[0.555, 0.5939285714, 0.5857908163, 0.5689486152, 0.6154522855, 0.6179199794, 0.6423542666, 0.6743289618],
  ...[0.6927697503, 0.7754290538, 0.7814698357, 1.209229133, 1.302619909, 1.380289916, 1.366697779, 1.336219366],
  1.316482269,
];

/** Closes of May and June 2009, and from the 20th on the mean of 20 and the two bands. */
const BAND_CLOSES = [
  ...[86.1557, 89.0867, 88.7829, 90.3228, 89.0671, 91.1453, 89.4397, 89.175, 86.9302, 87.6752, 86.9596, 89.4299],
  ...[89.3221, 88.7241, 87.4497, 87.2634, 89.4985, 87.9006, 89.126, 90.7043, 92.9001, 92.9784, 91.8021, 92.6647],
  ...[92.6843, 92.3021, 92.7725, 92.5373, 92.949, 93.2039, 91.0669, 89.8318, 89.7435, 90.3994, 90.7387, 88.0177],
  ...[88.0867, 86.8439, 90.7781, 90.5416, 91.3894, 90.65],
];
const BANDS: readonly (readonly [mean: number, upper: number, lower: number])[] = [
  ...([
    [88.70794, 91.291862, 86.124018],
    [89.04516, 91.949268, 86.141052],
    [89.239745, 92.612595, 85.866895],
  ] as const),
  ...([
    [89.390705, 92.9342, 85.84721],
    [89.5078, 93.31195, 85.70365],
    [89.68866, 93.72845, 85.64887],
  ] as const),
  ...([
    [89.7465, 93.899592, 85.593408],
    [89.91314, 94.266255, 85.560025],
    [90.081255, 94.565096, 85.597414],
  ] as const),
];
const LAST_BAND = [90.95018, 94.432224, 87.468136] as const;

/** Closes from February to August 2009. */
const MACD_CLOSES = [
  30.2, 30.28, 30.45, 29.35, 29.35, 29.29, 28.83, 28.73, 28.67, 28.85, 28.64, 27.68, 27.21, 26.87, 27.41, 26.94, 26.52,
  26.52, 27.09, 27.69, 28.45, 28.53, 28.67, 29.01, 29.87, 29.8, 29.75, 30.65, 30.6, 30.76, 31.17, 30.89, 30.04, 30.66,
  30.6, 31.97, 32.1, 32.03, 31.63, 31.85, 32.71, 32.76, 32.58, 32.13, 33.12, 33.19, 32.52, 32.44, 33.22, 32.83, 33.62,
  33.75, 33.6, 34.08, 34.58, 34.22, 34.77, 34.74, 35.01, 34.94, 34.42, 34.4, 34.16, 33.34, 33.39, 33.51, 33.96, 34.42,
  34.72, 33.94, 33.66, 34.51, 34.87, 34.75, 35.17, 36.16, 36.45, 36.03, 36.45, 36.74, 36.61, 36.83, 36.84, 36.89, 36.38,
  35.99, 35.86, 35.88, 35.73, 36.07, 35.6, 34.98, 35.58, 36.07, 36.21, 36.46, 36.44, 36.54, 35.81, 35.26, 35.21, 34.59,
  34.73, 34.86, 35.31, 35.5, 36.63, 37.14, 37.27, 37.7, 37.87, 38.38, 39.17, 39.05, 39.09, 39.27, 39.11, 39.86, 39.53,
  39.74, 39.87, 39.82, 39.61, 39.75,
];
/** Counted from 1. The worksheet begins its signal line elsewhere: 60 candles later that is less than 1e-6. */
const MACD: Readonly<Record<number, Doubles>> = {
  26: { ema_12: 28.60800563, ema_26: 28.64291676, macd: -0.03491112915 },
  27: { ema_12: 28.78369707, ema_26: 28.72492293, macd: 0.05877414612 },
  60: { ema_12: 34.16173927, ema_26: 33.14463603, macd: 1.017103241 },
  100: {
    ...{ ema_12: 35.94752971, ema_26: 35.74121867, macd: 0.206311047 },
    ...{ macd_signal: 0.3291274098, macd_histogram: -0.1228163628 },
  },
  124: {
    ...{ ema_12: 39.24092881, ema_26: 38.24527833, macd: 0.9956504772 },
    ...{ macd_signal: 0.9603537089, macd_histogram: 0.03529676833 },
  },
};

/** Close, volume and on-balance volume; the first has none. */
const OBV: readonly (readonly [number, number, number])[] = [
  ...([
    [53.26, 0, 0],
    [53.3, 8200, 8200],
    [53.32, 8100, 16300],
    [53.72, 8300, 24600],
    [54.19, 8900, 33500],
  ] as const),
  ...([
    [53.92, 9200, 24300],
    [54.65, 13300, 37600],
    [54.6, 10300, 27300],
    [54.21, 9900, 17400],
  ] as const),
  ...([
    [54.53, 10100, 27500],
    [53.79, 11300, 16200],
    [53.66, 12600, 3600],
    [53.56, 10700, -7100],
  ] as const),
  ...([
    [53.57, 11500, 4400],
    [53.94, 23800, 28200],
    [53.27, 14600, 13600],
    [53.6, 11700, 25300],
  ] as const),
  ...([
    [53.65, 10400, 35700],
    [53.62, 9500, 26200],
    [53.27, 13900, 12300],
    [53.44, 10400, 22700],
  ] as const),
  ...([
    [53.28, 4200, 18500],
    [53.14, 10900, 7600],
    [53.31, 17600, 25200],
    [54.09, 17900, 43100],
  ] as const),
];

describe('published series', () => {
  it('give the average true range of the worksheet', () => {
    const rows = rowsOf(ATR_DAYS.map(([high, low, close]) => ({ high, low, close })));
    expect(rows.slice(0, 13).every(({ atr_14 }) => atr_14 === null)).toBe(true);
    for (const [index, atr_14] of ATR.entries()) expectClose(rows[index + 13]!, { atr_14 });
  });

  it('give the mean of 20 and the bands of the worksheet', () => {
    const rows = rowsOf(BAND_CLOSES.map((close) => ({ close })));
    for (const [index, [sma_20, bollinger_upper, bollinger_lower]] of [...BANDS.entries(), [22, LAST_BAND] as const]) {
      expectClose(rows[index + 19]!, { sma_20, bollinger_upper, bollinger_lower });
    }
  });

  it('give the exponential means, and the line, signal and histogram of their difference of the worksheet', () => {
    const rows = rowsOf(MACD_CLOSES.map((close) => ({ close })));
    for (const [candle, wanted] of Object.entries(MACD)) expectClose(rows[Number(candle) - 1]!, wanted);
  });

  it('give the on-balance volume of the worksheet', () => {
    const rows = rowsOf(OBV.map(([close, volume]) => ({ close, volume })));
    expect(rows.map(({ obv }) => Number(obv))).toEqual(OBV.map(([, , obv]) => obv));
  });
});

describe('by hand', () => {
  it('the relative strength: as many gains as losses are 50, and each new change counts a fourteenth', () => {
    const changes = [...Array.from({ length: 14 }, (_, index) => (index % 2 === 0 ? 1 : -1)), 1, -2];
    const sumTo = (index: number) => changes.slice(0, index).reduce((sum, change) => sum + change, 100);
    const rows = rowsOf([0, ...changes].map((_, index) => ({ close: sumTo(index) })));
    // Of 7 and 7; of 7.5 and 6.5; of 7.5 · 13 and 6.5 · 13 + 2 · 14.
    expect(rows[13]!.rsi_14).toBeNull();
    expectClose(rows[14]!, { rsi_14: 50 });
    expectClose(rows[15]!, { rsi_14: 750 / 14 });
    expectClose(rows[16]!, { rsi_14: 9_750 / 210 });
  });

  it('the means of 50 and 200 closes, and the volume against that of the 20 candles before', () => {
    const rows = rowsOf(Array.from({ length: 201 }, (_, index) => ({ close: (index + 1) ** 2, volume: index + 1 })));
    // The sum of the first n squares is n (n + 1) (2 n + 1) / 6.
    expectClose(rows[49]!, { sma_50: (51 * 101) / 6 });
    expectClose(rows[199]!, { sma_200: (201 * 401) / 6 });
    expectClose(rows[200]!, { sma_200: (201 * 401) / 6 + (201 ** 2 - 1) / 200 });
    expect(rows[19]!.volume_ratio).toBeNull();
    expectClose(rows[20]!, { volume_ratio: 21 / 10.5 });
    expectClose(rows[200]!, { volume_ratio: 201 / 190.5 });
  });
});
