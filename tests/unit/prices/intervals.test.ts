/** Buckets against the calendar of Intl itself, asked for every instant. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { zoneOf } from '../../../pipelines/prices/exchanges.ts';
import { BORDER_MS, bucketOf, childStarts, INTERVALS } from '../../../pipelines/prices/intervals.ts';
import { Zone } from '../../../pipelines/prices/zone.ts';

const SEED = 20_260_102;
const EXCHANGES = ['NYSE', 'NASDAQ', 'LSE', 'XETRA', 'TSE', 'NSE', 'HKEX', 'elsewhere', 'constructor'];

/** The local clock, by another way through Intl than the code's. */
function local(
  zone: string,
  at: number,
): { readonly day: string; readonly hour: number; readonly weekday: string; readonly rest: number } {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    ...{ year: 'numeric', month: '2-digit', day: '2-digit', weekday: 'short' },
    ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
  });
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  return {
    day: `${part.year}-${part.month}-${part.day}`,
    hour: Number(part.hour),
    weekday: part.weekday!,
    rest: Number(part.minute) * 60_000 + Number(part.second) * 1_000 + (at % 1_000),
  };
}

const at = fc.oneof(
  fc.integer({ min: Date.UTC(1970, 0, 12), max: Date.UTC(2199, 11, 1) }),
  // Around the changes of the clock in 2026.
  fc
    .constantFrom(Date.UTC(2026, 2, 8), Date.UTC(2026, 2, 29), Date.UTC(2026, 9, 25), Date.UTC(2026, 10, 1))
    .chain((day) => fc.integer({ min: day - 40 * 3_600_000, max: day + 40 * 3_600_000 })),
);

describe('buckets', () => {
  it('hold the instant, and begin with an hour, a midnight or a Monday at the exchange', () => {
    fc.assert(
      fc.property(fc.constantFrom(...EXCHANGES), at, (exchange, instant) => {
        const name = zoneOf(exchange);
        const zone = Zone.of(name);
        for (const interval of INTERVALS) {
          const { start, end } = bucketOf(interval, zone, instant);
          expect(start <= instant && instant < end).toBe(true);
          expect(start % BORDER_MS).toBe(0);
          // Whoever is in it says the same of it.
          for (const other of [start, end - 1]) expect(bucketOf(interval, zone, other)).toMatchObject({ start, end });
        }
        const hour = local(name, bucketOf('1h', zone, instant).start);
        expect(hour).toEqual({ ...local(name, instant), rest: 0 });
        const day = bucketOf('1d', zone, instant);
        expect(local(name, day.start)).toEqual({ ...local(name, instant), hour: 0, rest: 0 });
        expect(local(name, day.end - 1).day).toBe(local(name, instant).day);
        expect(local(name, day.end)).toMatchObject({ hour: 0, rest: 0 });
        expect(local(name, bucketOf('1w', zone, instant).start)).toMatchObject({ weekday: 'Mon', hour: 0, rest: 0 });
      }),
      { seed: SEED, numRuns: 150 },
    );
  });

  it('are covered by their children, without a gap and without one twice', () => {
    fc.assert(
      fc.property(fc.constantFrom(...EXCHANGES), at, (exchange, instant) => {
        const zone = Zone.of(zoneOf(exchange));
        for (const [index, interval] of INTERVALS.entries()) {
          const bucket = bucketOf(interval, zone, instant);
          let expected = bucket.start;
          for (const start of childStarts(interval, zone, bucket)) {
            expect(start).toBe(expected);
            expected = index === 0 ? start + 60_000 : bucketOf(INTERVALS[index - 1]!, zone, start).end;
          }
          expect(expected).toBe(bucket.end);
        }
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('have 23 or 25 hours on the days on which the clock changes, and a repeated hour is two', () => {
    const zone = Zone.of('America/New_York');
    const noon = (month: number, day: number) => bucketOf('1d', zone, Date.UTC(2026, month, day, 17));
    const hours = (month: number, day: number) => childStarts('1d', zone, noon(month, day)).length;
    expect([hours(2, 8), hours(10, 1), hours(6, 1)]).toEqual([23, 25, 24]);
    expect(noon(2, 8).start).toBe(Date.UTC(2026, 2, 8, 5));
    expect(noon(2, 8).end).toBe(Date.UTC(2026, 2, 9, 4));
    const [first, second] = [5, 6].map((hour) => bucketOf('1h', zone, Date.UTC(2026, 10, 1, hour, 30)).start);
    expect([first, second]).toEqual([Date.UTC(2026, 10, 1, 5), Date.UTC(2026, 10, 1, 6)]);
  });
});
