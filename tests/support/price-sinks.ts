/** What the sinks of indicators and newest prices show, against each other and against definitions that share no code with the stages. */
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { selectRows } from '../../connectors/clickhouse/client.ts';
import { indicatorsReader } from '../../pipelines/prices/indicators-reader.ts';
import { INTERVALS, type Interval } from '../../pipelines/prices/intervals.ts';
import { latestPriceReader } from '../../pipelines/prices/latest-reader.ts';
import { naiveIndicators } from '../unit/prices/naive-indicators.ts';

export interface PriceSinks {
  /** Of ClickHouse: what its indicators are other than the definitions say of its candles. None when nothing is left to come. */
  indicatorsAstray(): Promise<readonly string[]>;
  /** Of Redis: what its newest prices and indicators are other than ClickHouse's newest. */
  newestAstray(symbols: readonly string[]): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Opens readers of a stack's sinks. */
export async function priceSinks(env: NodeJS.ProcessEnv): Promise<PriceSinks> {
  const url = { url: env.SLUICE_REDIS_URL! };
  const readers = { indicators: indicatorsReader(url), latest: latestPriceReader(url) };
  await Promise.all(Object.values(readers).map((reader) => reader.connect()));
  const client = createClient({
    url: env.SLUICE_CLICKHOUSE_URL!,
    database: env.SLUICE_CLICKHOUSE_DATABASE ?? 'sluice',
  });
  return {
    indicatorsAstray: () => indicatorsAstray(client),
    newestAstray: async (symbols) => [
      ...(await pricesAstray(client, symbols, await readers.latest.latest(symbols))),
      ...(
        await Promise.all(INTERVALS.map((interval) => newestAstray(client, readers.indicators, interval, symbols)))
      ).flat(),
    ],
    close: async () => {
      await Promise.all([...Object.values(readers).map((reader) => reader.close()), client.close()]);
    },
  };
}

interface CandleRow {
  readonly series: string;
  readonly interval: Interval;
  readonly start: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
}

type IndicatorRow = Readonly<Record<string, unknown>> & { readonly series: string; readonly start: string };

const PLACE = `concat(symbol, ' ', interval) AS series, interval, toUnixTimestamp64Milli(start) AS start`;
const E6 = (name: string) => `CAST(${name} * 1000000 AS Int64) AS ${name}`;

async function indicatorsAstray(client: ClickHouseClient): Promise<readonly string[]> {
  const candles = await selectRows<CandleRow>(
    client,
    `SELECT ${PLACE}, volume, ${['high', 'low', 'close'].map(E6).join(', ')} FROM prices_candles AS c ORDER BY series, c.start`,
  );
  const shown = await selectRows<IndicatorRow>(
    client,
    `SELECT * EXCEPT (interval, start), ${PLACE} FROM prices_indicators`,
  );
  const behind = await selectRows<{ at: string }>(
    client,
    "SELECT concat(symbol, ' ', interval, ' is behind') AS at FROM prices_indicators_behind",
  );
  const rows = new Map(shown.map((row) => [`${row.series} ${row.start}`, row]));
  const astray = behind.map(({ at }) => at);
  for (const [series, all] of Map.groupBy(candles, (candle) => candle.series)) {
    for (const [index, { start, interval }] of all.entries()) {
      const row = rows.get(`${series} ${start}`);
      rows.delete(`${series} ${start}`);
      const wanted = naiveIndicators(all.slice(0, index + 1).map(naiveCandle), interval);
      astray.push(...differences(`${series} ${start}`, row, wanted));
    }
  }
  return [...astray, ...[...rows.keys()].map((at) => `${at} has no candle`)];
}

function naiveCandle({ start, high, low, close, volume }: CandleRow) {
  const prices = { open_e6: BigInt(close), high_e6: BigInt(high), low_e6: BigInt(low), close_e6: BigInt(close) };
  return { symbol: '', start: Number(start), end: 0, ...prices, volume: BigInt(volume), final: false };
}

/** Numbers to 1e-6 of their size, prices and sums exactly. */
function differences(
  at: string,
  row: IndicatorRow | undefined,
  wanted: Readonly<Record<string, number | bigint | null>>,
): string[] {
  if (row === undefined) return [`${at} is not there`];
  return Object.entries(wanted).flatMap(([name, value]) => {
    const found = row[name.replace(/_e6$/, '')] as number | string | null;
    const same =
      value === null || found === null
        ? value === found
        : Math.abs(Number(found) * (name.endsWith('_e6') ? 1e6 : 1) - Number(value)) <=
          1e-6 * Math.max(1, Math.abs(Number(value)));
    return same ? [] : [`${at} ${name}: ${found}, not ${value}`];
  });
}

async function pricesAstray(
  client: ClickHouseClient,
  symbols: readonly string[],
  latest: Awaited<ReturnType<ReturnType<typeof latestPriceReader>['latest']>>,
): Promise<readonly string[]> {
  const rows = await selectRows<{ symbol: string; close: string }>(
    client,
    "SELECT symbol, toString(argMax(close, start)) AS close FROM prices_candles WHERE interval = '1d' GROUP BY symbol",
  );
  const closes = new Map(rows.map(({ symbol, close }) => [symbol, close]));
  return symbols.flatMap((symbol, index) => {
    const found = latest[index]?.price;
    return found === closes.get(symbol) ? [] : [`${symbol} price: ${found}, not ${closes.get(symbol)}`];
  });
}

async function newestAstray(
  client: ClickHouseClient,
  reader: ReturnType<typeof indicatorsReader>,
  interval: Interval,
  symbols: readonly string[],
): Promise<readonly string[]> {
  const rows = await selectRows<Readonly<Record<string, number | string | null>>>(
    client,
    `SELECT *, toUnixTimestamp64Milli(start) AS start_ms FROM prices_indicators WHERE interval = {interval:String}
     ORDER BY symbol, start DESC LIMIT 1 BY symbol`,
    { interval },
  );
  const newest = new Map(rows.map((row) => [String(row.symbol), row]));
  const { indicators } = await reader.latest(interval, symbols);
  return symbols.flatMap((symbol, index) => {
    const [found, wanted] = [indicators[index], newest.get(symbol)];
    const text = (start: unknown, rsi: unknown, sma: unknown, obv: unknown) => `${start} ${rsi} ${sma} ${obv}`;
    const inRedis = text(found?.start, found?.rsi_14, found?.sma_20, found?.obv);
    const inClickHouse = text(wanted?.start_ms, wanted?.rsi_14, wanted?.sma_20, wanted?.obv);
    return inRedis === inClickHouse ? [] : [`${symbol} ${interval}: ${inRedis}, not ${inClickHouse}`];
  });
}
