/** The queries of sql/clickhouse/examples/prices, run on a small data set that came through the real sinks; answers worked out by hand. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink, SinkRecord } from '../../../engine/sink.ts';
import { candlesClickHouseSink } from '../../../pipelines/prices/clickhouse-candles.ts';
import { indicatorsClickHouseSink } from '../../../pipelines/prices/clickhouse-indicators.ts';
import { type StockChange, stocksClickHouseSink } from '../../../pipelines/prices/clickhouse-stocks.ts';
import { bytesOf } from '../../../pipelines/prices/codec/decimal.ts';
import type { StockRow } from '../../../pipelines/prices/codec/stock.ts';
import type { Candle } from '../../../schemas/prices/candle.ts';
import { readListed, stalenessReport } from '../../../scripts/history/staleness.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { CLICKHOUSE_SQL, type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import { indicatorsSinkRecord } from '../../support/indicator-records.ts';
import { type CandleOutput, candle, candleGone, candleSinkRecord, keyOf } from '../../support/price-records.ts';
import { type Answer, INDICATOR_ANSWERS, INDICATOR_OUTPUTS } from './prices-examples-indicators.ts';

const EXAMPLES = join(CLICKHOUSE_SQL, 'examples', 'prices');

const row = (id: bigint, symbol: string, more: Partial<StockRow> = {}): StockRow => ({
  ...{ id, symbol, name: `${symbol} Inc`, exchange: 'NYSE', sector: 'Tech', industry: null, marketCap: null },
  active: true,
  ...more,
});
const AAA = row(1n, 'AAA');
const BBB = row(2n, 'BBB', { exchange: 'LSE', sector: null });
const put = (after: StockRow): StockChange => ({
  op: 'u',
  before: null,
  after,
  lsn: 1n,
  commitTsMs: 1_770_000_000_000,
});

/** CCC is renamed, DDD retires, EEE is deleted. */
const STOCKS: readonly StockChange[] = [
  ...[AAA, BBB, row(3n, 'CCC'), row(4n, 'DDD'), row(5n, 'EEE')].map(put),
  put(row(3n, 'CCC', { name: 'C & Sons', exchange: 'TSE', sector: 'Energy', marketCap: 2n ** 60n })),
  put(row(4n, 'DDD', { active: false })),
  { ...put(AAA), op: 'd', before: row(5n, 'EEE'), after: null },
];

type Ohlc = readonly [open: number, high: number, low: number, close: number, volume: number];

const e6 = (value: number) => BigInt(Math.round(value * 1e6));

function made(stock: StockRow, interval: string, at: string, ohlc: Ohlc, more: Partial<Candle> = {}): CandleOutput {
  const [open, high, low, close, volume] = ohlc;
  const product = (e6(high) + e6(low) + e6(close)) * BigInt(volume);
  const key = { stock_id: stock.id, interval, start: Date.parse(at) };
  return candle(key, e6(close), {
    symbol: stock.symbol,
    ...{
      open_e6: e6(open),
      high_e6: e6(high),
      low_e6: e6(low),
      volume: BigInt(volume),
      price_volume: bytesOf(product),
    },
    vwap_e6: volume === 0 ? null : product / (3n * BigInt(volume)),
    final: true,
    ...more,
  });
}

/** Days of AAA begin at five in winter, those of BBB at midnight. Monday 2 February 2026 and after. */
const CANDLES: readonly CandleOutput[] = [
  made(AAA, '1d', '2026-02-02T05:00Z', [10, 12, 9, 11, 100]),
  made(AAA, '1d', '2026-02-03T05:00Z', [11, 14, 11, 13, 200]),
  made(AAA, '1d', '2026-02-04T05:00Z', [13, 13.5, 13, 14.5, 50], { high_e6: e6(14.5) }),
  made(BBB, '1d', '2026-02-02T00:00Z', [5, 5, 4, 4, 1_000]),
  made(BBB, '1d', '2026-02-03T00:00Z', [4, 6, 4, 6, 10]),
  made(BBB, '1d', '2026-02-04T00:00Z', [6, 6, 3, 3, 30]),
  made(AAA, '1w', '2026-02-02T05:00Z', [10, 14, 9, 13, 300]),
  made(BBB, '1w', '2026-02-02T00:00Z', [5, 6, 4, 6, 1_010]),
  made(AAA, '1h', '2026-02-02T14:00Z', [10, 12, 9, 11, 60], { bars: 30 }),
  made(AAA, '1h', '2026-02-02T15:00Z', [11, 11, 11, 11, 40], { bars: 60 }),
  made(AAA, '1h', '2026-02-03T14:00Z', [11, 14, 11, 13, 100], { bars: 58 }),
  made(AAA, '1h', '2026-02-04T14:00Z', [11, 14, 11, 13, 0], { bars: 3, final: false }),
  made(AAA, 'bar', '2026-02-04T14:00Z', [13, 13, 13, 13, 50]),
  made(BBB, 'bar', '2026-02-04T14:02Z', [3, 3, 3, 3, 30]),
  // One candle, three times corrected, twice of these after it was final; and one that was taken off.
  made(AAA, '5m', '2026-02-02T14:30Z', [10, 10, 10, 10, 1], { final: false, bars: 1 }),
  made(AAA, '5m', '2026-02-02T14:30Z', [10, 11, 10, 11, 2], { bars: 2 }),
  made(AAA, '5m', '2026-02-02T14:30Z', [10, 11, 10, 10.5, 3], { bars: 3 }),
  candleGone({ stock_id: 1n, interval: '5m', start: Date.parse('2026-02-02T14:30Z') }),
  made(AAA, '15m', '2026-02-02T14:30Z', [10, 10, 10, 10, 1]),
];

const PERIOD = { from: '2026-02-02', to: '2026-02-05' };
const COMMITTED = '2026-02-02 02:40:00.000';

const ANSWERS: Readonly<Record<string, Answer>> = {
  '01_candles_of_a_symbol.sql': {
    params: { symbol: 'AAA', interval: '1d', from: '2026-02-02', to: '2026-02-04' },
    rows: [
      ['2026-02-02 05:00:00.000', 10, 12, 9, 11, 100, 10.666666, true],
      ['2026-02-03 05:00:00.000', 11, 14, 11, 13, 200, 12.666666, true],
    ],
  },
  '02_movers_of_a_day.sql': {
    params: { day: '2026-02-04' },
    rows: [
      ['AAA', 14.5, 13, 11.54],
      ['BBB', 3, 6, -50],
    ],
  },
  '03_turnover.sql': {
    params: PERIOD,
    // AAA: (32 * 100 + 38 * 200 + 41 * 50) / 3; BBB: (13 * 1000 + 16 * 10 + 12 * 30) / 3
    rows: [
      ['BBB', 1_040, 4_506.67],
      ['AAA', 350, 4_283.33],
    ],
  },
  '04_vwap_of_a_span.sql': {
    params: { symbol: 'AAA', from: '2026-02-02 00:00:00', to: '2026-02-03 00:00:00' },
    // (32 * 60 + 33 * 40) / 100 / 3
    rows: [[2, 100, 10.8]],
  },
  '05_sectors_by_week.sql': {
    rows: [
      ['2026-02-02', '?', 1, 1_010, 5_386.67],
      ['2026-02-02', 'Tech', 1, 300, 3_600],
    ],
  },
  '06_volatility.sql': {
    params: PERIOD,
    // ln(13/11) and ln(14.5/13); ln(6/4) and ln(3/6)
    rows: [
      ['BBB', 2, 77.684],
      ['AAA', 2, 4.091],
    ],
  },
  '07_hours_of_the_day.sql': {
    params: { symbol: 'AAA', zone: 'America/New_York' },
    rows: [
      [9, 160, 80],
      [10, 40, 20],
    ],
  },
  '08_gaps.sql': {
    params: { symbol: 'AAA' },
    rows: [
      ['AAA', '2026-02-02 14:00:00.000', 30, 30],
      ['AAA', '2026-02-03 14:00:00.000', 58, 2],
    ],
  },
  '09_history_of_a_candle.sql': {
    params: { stock: 1, interval: '5m', start: '2026-02-02 14:30:00' },
    rows: [
      [false, 10, 1, 1, false, 100, COMMITTED],
      [false, 11, 2, 2, true, 100, COMMITTED],
      [false, 10.5, 3, 3, true, 100, COMMITTED],
      [true, 0, 0, 0, false, 0, '1970-01-01 00:00:00.000'],
    ],
  },
  '10_corrections.sql': { rows: [[1, '5m', '2026-02-02 14:30:00.000', 2]] },
  '11_new_highs.sql': { params: { as_of: '2026-02-04' }, rows: [['AAA', 14.5, 14]] },
  '12_silent_symbols.sql': {
    params: { now: '2026-02-04 15:00:00' },
    rows: [
      ['CCC', 'TSE', null, null],
      ['AAA', 'NYSE', '2026-02-04 14:00:00.000', 60],
      ['BBB', 'LSE', '2026-02-04 14:02:00.000', 58],
    ],
  },
  ...INDICATOR_ANSWERS,
};

let server: TestClickHouse;
let database: EngagementDatabase;

async function written<T>(sink: Sink<T>, topic: string, records: readonly SinkRecord<T>[]): Promise<void> {
  const range = { from: 0n, to: BigInt(records.length), generation: 1 };
  await sink.write({ topic, partition: 0, ...range, records }, { retry: false });
  await sink.close();
}

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'examples');
  const { config } = database;
  const stocks = STOCKS.map(
    (value, index): SinkRecord<StockChange> => ({ kind: 'upsert', offset: BigInt(index), key: null, value }),
  );
  await written(stocksClickHouseSink({ name: 'examples.stocks', config }), 'cdc.public.stocks', stocks);
  const candles = CANDLES.map((output, index) => candleSinkRecord(output, BigInt(index)));
  await written(candlesClickHouseSink({ name: 'examples.sink', config, keyOf }), 'prices.candles', candles);
  const indicators = INDICATOR_OUTPUTS.map((output, index) => indicatorsSinkRecord(output, BigInt(index)));
  await written(indicatorsClickHouseSink({ name: 'examples.indicators', config }), 'prices.indicators', indicators);
}, 60_000);
afterAll(async () => {
  await database?.close();
  await server?.stop();
}, 60_000);

async function rowsOf(query: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  const result = await database.client.query({
    query,
    query_params: params,
    format: 'JSONCompactEachRow',
    clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
  });
  return await result.json();
}

describe('examples of prices', { timeout: 30_000 }, () => {
  it('have an answer each', () => {
    expect(readdirSync(EXAMPLES).sort()).toEqual(Object.keys(ANSWERS));
  });

  it.each(Object.entries(ANSWERS))('%s', async (file, { params, rows }) => {
    const query = readFileSync(join(EXAMPLES, file), 'utf8').replace(/;\s*$/, '');
    expect(await rowsOf(query, params)).toEqual(rows);
  });

  it('see stocks as they are now', async () => {
    expect(
      await rowsOf('SELECT * EXCEPT market_cap, toString(market_cap) FROM prices_stocks ORDER BY stock_id'),
    ).toEqual([
      [1, 'AAA', 'AAA Inc', 'NYSE', 'Tech', null, true, null],
      [2, 'BBB', 'BBB Inc', 'LSE', null, null, true, null],
      [3, 'CCC', 'C & Sons', 'TSE', 'Energy', null, true, String(2n ** 60n)],
      [4, 'DDD', 'DDD Inc', 'NYSE', 'Tech', null, false, null],
    ]);
  });

  it('tell how old the newest bar of each active stock is', async () => {
    const listed = await readListed(database.config);
    const at = (time: string) => Date.parse(`2026-02-04T${time}Z`);
    expect(listed).toEqual([
      { symbol: 'AAA', exchange: 'NYSE', newestMs: at('14:00:00') },
      { symbol: 'BBB', exchange: 'LSE', newestMs: at('14:02:00') },
      { symbol: 'CCC', exchange: 'TSE', newestMs: null },
    ]);
    const { report, lines } = stalenessReport(listed, Date.parse('2026-02-06T12:00:00Z'), 2);
    expect(report.oldest.map(({ symbol, sessionsBehind }) => [symbol, sessionsBehind])).toEqual([
      ['CCC', null],
      ['AAA', 1],
    ]);
    expect(lines).toContain('NYSE: session of 2026-02-05 expected; of 1 stocks 0 have it, 1 are behind, 0 have no bar');
  });
});
