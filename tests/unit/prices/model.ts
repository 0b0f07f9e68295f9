/** What candles must come to, from the rows alone: each by the local calendar of Intl and all of its bars, nothing in steps. */
import type { PriceColumns } from './price-rows.ts';

export interface ModelCandle {
  readonly open: bigint;
  readonly high: bigint;
  readonly low: bigint;
  readonly close: bigint;
  readonly volume: bigint;
  readonly vwap: bigint | null;
  readonly bars: number;
}

interface ModelBar {
  readonly at: number;
  readonly daily: boolean;
  readonly columns: PriceColumns;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Names the local hour, day and week of an instant. */
function local(zone: string, at: number): { readonly hour: string; readonly day: string; readonly week: string } {
  const format =
    formats.get(zone) ??
    new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short', timeStyle: 'long', hourCycle: 'h23' });
  formats.set(zone, format);
  const [day, time] = format.format(at).split(', ') as [string, string];
  // With the name of the offset: an hour that the clock repeats is two.
  const hour = `${day} ${time.slice(0, 2)} ${time.slice(8)}`;
  const noon = Date.parse(`${day}T12:00:00Z`);
  const monday = new Date(noon - ((new Date(noon).getUTCDay() + 6) % 7) * 86_400_000);
  return { hour, day, week: monday.toISOString().slice(0, 10) };
}

const MINUTE_MS = 60_000;

/** By `interval bucket`; a bucket is named in words of its own. */
export function modelCandles(rows: readonly PriceColumns[], zone: string): Map<string, ModelCandle> {
  const bars = rows
    .map((columns): ModelBar => {
      const daily = columns.source === 'daily' || columns.source.startsWith('daily:');
      return { at: Date.parse(columns.ts), daily, columns };
    })
    .sort((a, b) => a.at - b.at);
  const groups = new Map<string, ModelBar[]>();
  const minutes = bars.filter(({ daily }) => !daily);
  const days = new Set(minutes.map(({ at }) => local(zone, at).day));
  const counted = bars.filter(({ daily, at }) => !daily || !days.has(local(zone, at).day));
  for (const bar of counted) {
    for (const bucket of bucketsOf(bar, zone)) groups.set(bucket, [...(groups.get(bucket) ?? []), bar]);
  }
  return new Map([...groups].map(([bucket, group]) => [bucket, candleOf(group)]));
}

function bucketsOf({ at, daily }: ModelBar, zone: string): string[] {
  const { hour, day, week } = local(zone, at);
  const long = [`1d ${day}`, `1w ${week}`];
  if (daily) return long;
  const aligned = (minutes: number) => at - (at % (minutes * MINUTE_MS));
  return [`5m ${aligned(5)}`, `15m ${aligned(15)}`, `1h ${hour}`, ...long];
}

/** The name of the bucket that begins at an instant. */
export function bucketName(interval: string, start: number, zone: string): string {
  const { hour, day, week } = local(zone, start);
  return `${interval} ${{ '1h': hour, '1d': day, '1w': week }[interval] ?? start}`;
}

const e6 = (text: string): bigint => BigInt(text.replace('.', ''));

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : 1);

function candleOf(bars: readonly ModelBar[]): ModelCandle {
  const highs = bars.map(({ columns }) => e6(columns.high)).sort(ascending);
  const lows = bars.map(({ columns }) => e6(columns.low)).sort(ascending);
  const volume = bars.reduce((sum, { columns }) => sum + columns.volume, 0n);
  const traded = bars.reduce((sum, { columns: { high, low, close, volume } }) => {
    return sum + (e6(high) + e6(low) + e6(close)) * volume;
  }, 0n);
  return {
    open: e6(bars[0]!.columns.open),
    high: highs.at(-1)!,
    low: lows[0]!,
    close: e6(bars.at(-1)!.columns.close),
    volume,
    // Half up: half a unit more, then down.
    vwap: volume === 0n ? null : (traded * 2n + volume * 3n) / (volume * 6n),
    bars: bars.length,
  };
}
