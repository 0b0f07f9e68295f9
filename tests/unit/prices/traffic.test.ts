import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { zoneOf } from '../../../pipelines/prices/exchanges.ts';
import { isOpen } from '../../../pipelines/prices/sessions.ts';
import { makeListings } from '../../../pipelines/prices/traffic/listings.ts';
import { PriceTraffic, type PriceTrafficOptions } from '../../../pipelines/prices/traffic/traffic.ts';
import { type PriceRow, priceText } from '../../../pipelines/prices/traffic/walk.ts';

/** A Wednesday, before exchanges of America open. */
const START = Date.UTC(2026, 0, 7, 14);
const HOUR_MS = 3_600_000;
const OPTIONS: PriceTrafficOptions = {
  ...{ seed: 42, symbols: 60, corrections: 8, duplicates: 3, deletes: 2, late: 3, gaps: 1, bad: 0, splits: 0 },
  alwaysOpen: false,
};

type Rows = Map<string, PriceRow>;

/** The rows as Postgres would hold them after batches of the given sizes, up to 6 hours behind the start. */
function rowsAfter(cuts: readonly number[], options: PriceTrafficOptions = OPTIONS): Rows {
  const traffic = new PriceTraffic(options, START);
  const rows: Rows = new Map();
  for (const count of cuts) {
    const { upserts, deletes } = traffic.next(count, START + 6 * HOUR_MS);
    for (const row of upserts) rows.set(`${row.stock} ${row.startMs}`, row);
    for (const row of deletes) rows.delete(`${row.stock} ${row.startMs}`);
  }
  return rows;
}

const isValid = ({ open, high, low, close, volume }: PriceRow): boolean =>
  low > 0 && low <= open && low <= close && open <= high && close <= high && volume >= 0;

describe('listings', () => {
  it('have symbols of their own and are on several exchanges, the same for the same seed', () => {
    const listings = makeListings(4_000, 42);
    expect(new Set(listings.map(({ symbol }) => symbol)).size).toBe(4_000);
    expect(new Set(listings.map(({ exchange }) => exchange)).size).toBe(7);
    expect(makeListings(10, 42)).toEqual(listings.slice(0, 10));
    expect(makeListings(10, 43)).not.toEqual(listings.slice(0, 10));
  });
});

describe('trading hours', () => {
  it.each([
    // New York is at UTC-5 in January and at UTC-4 in July.
    ['NYSE', '2026-01-07T14:29:00Z', false],
    ['NYSE', '2026-01-07T14:30:00Z', true],
    ['NYSE', '2026-01-07T20:59:00Z', true],
    ['NYSE', '2026-01-07T21:00:00Z', false],
    ['NYSE', '2026-07-08T13:30:00Z', true],
    ['NYSE', '2026-01-10T15:00:00Z', false],
    ['NYSE', '2026-01-11T15:00:00Z', false],
    ['NYSE', '2026-01-12T15:00:00Z', true],
    ['TSE', '2026-01-07T02:29:00Z', true],
    ['TSE', '2026-01-07T02:30:00Z', false],
    ['TSE', '2026-01-07T03:30:00Z', true],
    // Monday in Tokyo while it is Sunday in UTC.
    ['TSE', '2026-01-11T23:59:00Z', false],
    ['TSE', '2026-01-12T00:00:00Z', true],
    ['NSE', '2026-01-07T03:44:00Z', false],
    ['NSE', '2026-01-07T03:45:00Z', true],
    ['nowhere', '2026-01-07T15:00:00Z', false],
  ])('of %s at %s: open %s', (exchange, time, open) => {
    expect(isOpen(exchange, Date.parse(time))).toBe(open);
  });
});

describe('traffic of prices', () => {
  it('is the same for the same seed and another for another', () => {
    expect(rowsAfter([3_000])).toEqual(rowsAfter([3_000]));
    expect(rowsAfter([3_000], { ...OPTIONS, seed: 43 })).not.toEqual(rowsAfter([3_000]));
  });

  it('leaves the same rows however it is cut into batches', () => {
    const whole = rowsAfter([1e6], { ...OPTIONS, bad: 2 });
    expect(whole.size).toBeGreaterThan(5_000);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 5 }), (cuts) => {
        expect(rowsAfter([...cuts, 1e6], { ...OPTIONS, bad: 2 })).toEqual(whole);
      }),
      { seed: 20_260_107, numRuns: 15 },
    );
  });

  it('has bars of whole minutes while the exchange is open, and nothing that is wrong', () => {
    const { listings } = new PriceTraffic(OPTIONS, START);
    for (const row of rowsAfter([1e6]).values()) {
      expect(isOpen(listings[row.stock]!.exchange, row.startMs)).toBe(true);
      expect(row.startMs % 60_000).toBe(0);
      expect(isValid(row)).toBe(true);
    }
  });

  it('does not run ahead of the clock, and goes on from there', () => {
    const traffic = new PriceTraffic({ ...OPTIONS, alwaysOpen: true, late: 0, gaps: 0 }, START);
    expect(traffic.next(1_000, START + 59_999).counts.bars).toBe(0);
    expect(traffic.next(1_000, START + 60_000).upserts.map(({ startMs }) => startMs)).toEqual(
      Array.from({ length: OPTIONS.symbols }, () => START),
    );
    expect(traffic.next(1_000, START + 60_000).counts.bars).toBe(0);
    expect(traffic.next(1_000, START + 120_000).counts.bars).toBe(OPTIONS.symbols);
  });

  it('corrects, repeats, delays and deletes as many as it was asked for', () => {
    const traffic = new PriceTraffic({ ...OPTIONS, late: 20, alwaysOpen: true }, START);
    const { counts } = traffic.next(10_000, START + 6 * HOUR_MS);
    expect(counts.bars).toBeGreaterThanOrEqual(10_000);
    expect(counts.late).toBeGreaterThan(800);
    // In percent of the bars that were made, those included that are still held back.
    expect(counts.corrections).toBeGreaterThan(790);
    expect(counts.duplicates / counts.corrections).toBeCloseTo(3 / 8, 1);
    expect(counts.deletes / counts.corrections).toBeCloseTo(2 / 8, 1);
  });

  it('repeats what it wrote last, to the digit', () => {
    const only = { ...OPTIONS, corrections: 0, deletes: 0, late: 0, duplicates: 50, alwaysOpen: true };
    const traffic = new PriceTraffic(only, START);
    const rows: Rows = new Map();
    let repeated = 0;
    for (let minute = 1; minute <= 20; minute += 1) {
      for (const row of traffic.next(1_000, START + minute * 60_000).upserts) {
        const key = `${row.stock} ${row.startMs}`;
        if (rows.has(key)) {
          expect(row).toEqual(rows.get(key));
          repeated += 1;
        }
        rows.set(key, row);
      }
    }
    expect(repeated).toBeGreaterThan(300);
  });

  it('spoils bars in every way that the pipeline looks for', () => {
    const bad = { ...OPTIONS, bad: 100, corrections: 0, deletes: 0, late: 0, alwaysOpen: true };
    const rows = [...new PriceTraffic(bad, START).next(600, START + HOUR_MS).upserts];
    const of = (test: (row: PriceRow) => boolean) => rows.filter(test).length;
    expect(of(({ close }) => Number.isNaN(close))).toBeGreaterThan(20);
    expect(of(({ low }) => low === 0)).toBeGreaterThan(20);
    expect(of(({ high, low }) => high < low)).toBeGreaterThan(20);
    expect(of(({ open, high, low }) => high >= low && open > high)).toBeGreaterThan(20);
    expect(of(({ close, high, low }) => high >= low && close > high)).toBeGreaterThan(20);
    expect(of(({ volume }) => volume < 0)).toBeGreaterThan(20);
    expect(of(({ stock }) => stock === -1)).toBeGreaterThan(5);
    expect(of(({ startMs }) => startMs % 60_000 !== 0)).toBeGreaterThan(20);
    expect(of(({ startMs }) => startMs > START + 365 * 24 * HOUR_MS)).toBeGreaterThan(20);
  });

  it('mends figures that were wrong by a correction', () => {
    const traffic = new PriceTraffic({ ...OPTIONS, bad: 50, late: 0, corrections: 0, alwaysOpen: true }, START);
    const broken = [...traffic.next(2_000, START + HOUR_MS).upserts].filter((row) => !isValid(row));
    expect(broken.length).toBeGreaterThan(300);
    const rows = rowsAfter([2_000], { ...OPTIONS, bad: 50, late: 0, corrections: 2_000, duplicates: 0, deletes: 0 });
    const mendable = [...rows.values()].filter(({ stock }) => stock >= 0);
    expect(mendable.filter((row) => !isValid(row)).length).toBeLessThan(mendable.length / 20);
  });
});

describe('history', () => {
  it('has a bar of each trading day before the start, at midnight of the exchange, and the minutes go on from it', () => {
    const traffic = new PriceTraffic({ ...OPTIONS, gaps: 0, late: 0, alwaysOpen: true, corrections: 0 }, START);
    const rows = [...traffic.history(1)].flat();
    expect(rows.length).toBe(261 * OPTIONS.symbols);
    expect(Math.abs(traffic.historySize(1) - rows.length)).toBeLessThan(rows.length / 100);
    expect(new Set(rows.map(({ stock, startMs }) => `${stock} ${startMs}`)).size).toBe(rows.length);
    const last = new Map<number, PriceRow>();
    for (const row of rows) {
      const timeZone = zoneOf(traffic.listings[row.stock]!.exchange);
      const local = new Date(row.startMs).toLocaleString('en-GB', { timeZone, weekday: 'short', timeStyle: undefined });
      expect(['Sat', 'Sun']).not.toContain(local.slice(0, 3));
      expect(isValid(row)).toBe(true);
      expect(row.startMs).toBeGreaterThan(last.get(row.stock)?.startMs ?? 0);
      last.set(row.stock, row);
    }
    for (const { stock, open, startMs } of traffic.next(OPTIONS.symbols, START + 60_000).upserts) {
      expect(startMs).toBe(START);
      expect(Math.abs(open / last.get(stock)!.close - 1)).toBeLessThan(0.001);
    }
  });

  it('shows a split as a jump', () => {
    const traffic = new PriceTraffic({ ...OPTIONS, symbols: 1, splits: 100, gaps: 0 }, START);
    const rows = [...traffic.history(1)].flat();
    const jumps = rows.slice(1).filter(({ open }, index) => Math.abs(open / rows[index]!.close - 1) > 0.4);
    // The price may be at the end of what is allowed.
    expect(jumps.length).toBeGreaterThan(100);
  });
});

describe('the text of a price', () => {
  it.each([
    [1_000_000, '1.000000'],
    [10_000, '0.010000'],
    [1, '0.000001'],
    [0, '0.000000'],
    [-1, '-0.000001'],
    [123_456_789_012, '123456.789012'],
    [Number.NaN, 'NaN'],
  ])('%d is %s', (millionths, text) => {
    expect(priceText(millionths)).toBe(text);
  });
});
