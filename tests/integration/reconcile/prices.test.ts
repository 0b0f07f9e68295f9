/** The reconcile of prices: figures worked out by hand, in real servers; each planted fault named. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clickHouseConfig } from '../../../pipelines/config.ts';
import type { SinkReport, Watch } from '../../../pipelines/operations/reconcile/report.ts';
import { zoneOf } from '../../../pipelines/prices/exchanges.ts';
import { LATEST_KEYS } from '../../../pipelines/prices/reconcile/latest.ts';
import { universesOf } from '../../../pipelines/prices/reconcile/movers.ts';
import { BOARDS } from '../../../pipelines/prices/reconcile/movers-source.ts';
import { INDICATORS_KEYS } from '../../../pipelines/prices/reconcile/newest-indicators.ts';
import { reconcilePrices } from '../../../pipelines/prices/reconcile/reconcile.ts';
import type { Scope } from '../../../pipelines/prices/reconcile/scope.ts';
import { ZONE } from '../../../pipelines/prices/reconcile/source.ts';
import { LATEST_INDICATORS } from '../../../pipelines/prices/redis-indicators.ts';
import { LATEST } from '../../../pipelines/prices/redis-latest.ts';
import { moversBoards, moversLeaderboard } from '../../../pipelines/prices/redis-movers.ts';
import { type PriceColumns, priceEnvelope } from '../../unit/prices/price-rows.ts';
import { PriceSinks, priceSchemas, type ShownCandle } from './price-sinks.ts';
import { type Servers, startServers } from './servers.ts';

let servers: Servers;
let sinks: PriceSinks;

const LENGTH_MINUTES: Readonly<Record<string, number>> = { '5m': 5, '15m': 15, '1h': 60, '1d': 1_440, '1w': 10_080 };

type Candle = readonly [interval: string, start: string, ...figures: (number | null)[]];

/** Open, high, low, close, volume, price times volume, VWAP, bars, OBV. Midnight in New York is 05:00 in winter. */
const EXPECTED: readonly Candle[] = [
  ['bar', '2026-01-06 05:00', 9, 10, 8, 9.5, 1_000, 27_500, 9.166667, 1],
  ['bar', '2026-01-07 05:00', 1, 2, 1, 2, 1, 5, 1.666667, 1],
  ['bar', '2026-01-07 14:30', 10, 12, 9, 11, 100, 3_200, 10.666667, 1],
  ['bar', '2026-01-07 14:31', 11, 13, 10, 12, 50, 1_750, 11.666667, 1],
  ['bar', '2026-01-07 14:36', 12, 12, 12, 12, 0, 0, null, 1],
  ['5m', '2026-01-07 14:30', 10, 13, 9, 12, 150, 4_950, 11, 2, 0],
  ['5m', '2026-01-07 14:35', 12, 12, 12, 12, 0, 0, null, 1, 0],
  ['15m', '2026-01-07 14:30', 10, 13, 9, 12, 150, 4_950, 11, 3, 0],
  ['1h', '2026-01-07 14:00', 10, 13, 9, 12, 150, 4_950, 11, 3, 0],
  ['1d', '2026-01-06 05:00', 9, 10, 8, 9.5, 1_000, 27_500, 9.166667, 1, 0],
  // Its daily bar does not count beside bars of minutes.
  ['1d', '2026-01-07 05:00', 10, 13, 9, 12, 150, 4_950, 11, 3, 150],
  ['1w', '2026-01-05 05:00', 9, 13, 8, 12, 1_150, 32_450, 9.405797, 4, 0],
];
const SOURCES: Readonly<Record<string, string>> = {
  ...{ 'bar 2026-01-06 05:00': 'daily:vendor', 'bar 2026-01-07 05:00': 'daily', '1d 2026-01-06 05:00': 'daily:vendor' },
  ...{ 'bar 2026-01-07 14:30': 'minute', 'bar 2026-01-07 14:31': 'minute', 'bar 2026-01-07 14:36': 'minute' },
};
/** Close, high and low of the candle before. */
const PREVIOUS: Readonly<Record<string, readonly [bigint, bigint, bigint]>> = {
  '5m 2026-01-07 14:35': [12_000_000n, 13_000_000n, 9_000_000n],
  '1d 2026-01-07 05:00': [9_500_000n, 10_000_000n, 8_000_000n],
};
const NOW = Date.parse('2026-01-07T15:00Z');
/** Final is what has ended by then: all but the hour, the day and the week. */
const FINAL_TO = Date.parse('2026-01-07T14:45Z');

function shown([interval, at, open, high, low, close, volume, priceVolume, vwap, bars, obv]: Candle): ShownCandle {
  const e6 = (value: number | null | undefined) => BigInt(Math.round(value! * 1e6));
  const start = Date.parse(`${at.replace(' ', 'T')}Z`);
  const minutes = interval === 'bar' ? (at.endsWith('05:00') ? 1_440 : 1) : LENGTH_MINUTES[interval]!;
  const end = start + minutes * 60_000;
  return {
    ...{ interval, start, end, volume: BigInt(volume!), bars: bars!, obv: BigInt(obv ?? 0) },
    figures: [e6(open), e6(high), e6(low), e6(close), e6(priceVolume), vwap === null ? null : e6(vwap)],
    source: SOURCES[`${interval} ${at}`] ?? null,
    final: interval === 'bar' || end <= FINAL_TO,
    previous: PREVIOUS[`${interval} ${at}`] ?? null,
  };
}

const of = (interval: string, at = 0): ShownCandle => shown(EXPECTED.filter(([one]) => one === interval)[at]!);

/** What Redis has of the stock: in winter a Tuesday's close of 9.5 and a Wednesday's of 12 are 26.32 %. */
const MOVER_1D = {
  ...{
    stock_id: '1',
    exchange: 'NYSE',
    sector: 'Energy',
    start: String(of('1d', 1).start),
    close: '12',
    high: '13',
    low: '9',
  },
  ...{ volume: '150', change_bp: '2632', pivot: '9.166667', resistance_1: '10.333333', support_1: '8.333333' },
  ...{ resistance_2: '11.166667', support_2: '7.166667' },
};
const MOVER_1W = {
  ...{ stock_id: '1', exchange: 'NYSE', sector: 'Energy', start: String(of('1w').start), close: '12', high: '13' },
  ...{ low: '8', volume: '1150' },
};
const MINE = ['all', 'exchange:NYSE', 'sector:Energy'];
const LATEST_ABCD = 'px:{prices}:latest:ABCD';
const NEWEST = {
  ...{ stock_id: '1', price: '12', open: '10', high: '13', low: '9', volume: '150', vwap: '11' },
  ...{ day_start: String(of('1d', 1).start), day_end: String(of('1d', 1).end), as_of: '1', source_lsn: '1' },
};

const INDICATORS = 'px:{prices}:indicators:';
/** Of the newest candle of each interval. */
const NEWEST_INDICATORS: Readonly<Record<string, Readonly<Record<string, string>>>> = Object.fromEntries(
  ['5m', '15m', '1h', '1d', '1w'].map((interval) => {
    const one = shown(EXPECTED.filter(([of]) => of === interval).at(-1)!);
    const [open, high, low, close] = one.figures.map((price) => String(Number(price) / 1e6)) as [string, ...string[]];
    const { start, end, volume, obv } = one;
    const fields = { stock_id: 1n, start, end, volume, obv, open, high, low, close, signals: '', as_of: 1 };
    const texts = Object.entries({ ...fields, final: one.final ? 1 : 0 }).map(([name, value]) => [name, String(value)]);
    return [interval, Object.fromEntries(texts) as Record<string, string>];
  }),
);
Object.assign(NEWEST_INDICATORS['5m']!, { previous_close: '12', previous_high: '13', previous_low: '9' });
Object.assign(NEWEST_INDICATORS['1d']!, {
  ...{ previous_close: '9.5', previous_high: '10', previous_low: '8', pivot: '9.166667' },
  ...{ resistance_1: '10.333333', support_1: '8.333333', resistance_2: '11.166667', support_2: '7.166667' },
});

const compare = async (more: Partial<Scope> & { readonly strict?: boolean; readonly watch?: Watch } = {}) => {
  const { strict, watch, ...scope } = more;
  const { config, log } = servers;
  return await reconcilePrices({
    ...{ postgresUrl: config.SLUICE_POSTGRES_URL, clickHouse: clickHouseConfig(config) },
    ...{
      redisUrl: config.SLUICE_REDIS_URL,
      sectors: config.SLUICE_PRICES_SECTORS,
      log,
      schemas: priceSchemas,
      scope: { since: null, until: null, stocks: [], ...scope },
      deadlineSeconds: 1,
      limit: 5,
    },
    ...{ strict, watch },
  });
};

const told = (all: Readonly<Record<string, SinkReport>>) =>
  Object.entries(all).flatMap(([name, { differences, problem }]) => [
    ...differences.map((one) => `${name}: ${one.bucket} ${one.row}: ${one.postgres} / ${one.sink}`),
    ...(problem === null ? [] : [`${name}: ${problem}`]),
  ]);

beforeAll(async () => {
  servers = await startServers();
  sinks = new PriceSinks(servers);
  const { pool } = servers;
  await pool.query(`INSERT INTO stocks (id, symbol, name, exchange, sector) VALUES (1, 'ABCD', 'A', 'NYSE', 'Energy')`);
  await pool.query(`INSERT INTO stock_prices VALUES
    (1, '2026-01-06 05:00Z', 9, 10, 8, 9.5, 1000, 'daily:vendor'), (1, '2026-01-07 05:00Z', 1, 2, 1, 2, 1, 'daily'),
    (1, '2026-01-07 14:30Z', 10, 12, 9, 11, 100, 'minute'), (1, '2026-01-07 14:31Z', 11, 13, 10, 12, 50, 'minute'),
    (1, '2026-01-07 14:36Z', 12, 12, 12, 12, 0, 'minute')`);
  // None of these counts.
  await pool.query(`INSERT INTO stock_prices VALUES
    (1, '2026-01-07 14:40Z', 5, 4, 5, 5, 1, 'minute'), (1, '2026-01-07 14:41Z', 5, 5, 5, 6, 1, 'minute'),
    (1, '2026-01-07 14:42Z', 5, 5, 5, 'NaN', 1, 'minute'), (1, '2026-01-07 14:43Z', 5, 5, 5, 5, -1, 'minute'),
    (1, '2026-01-07 14:44Z', 0, 5, 0, 5, 1, 'minute'), (1, '2026-01-07 14:45:30Z', 5, 5, 5, 5, 1, 'minute'),
    (1, '2026-01-08 06:00Z', 5, 5, 5, 5, 1, 'daily'), (1, now() + interval '3 days', 5, 5, 5, 5, 1, 'minute'),
    (77, '2026-01-07 14:30Z', 5, 5, 5, 5, 1, 'minute'), (1, '2026-01-07 14:46Z', 6, 5, 5, 5, 1, 'minute')`);
}, 120_000);

afterAll(async () => {
  sinks?.redis.disconnect();
  await servers?.stop();
});

describe('the reconcile of prices', () => {
  it('counts the days of each exchange, and knows what has boards, as the pipeline does', async () => {
    const exchanges = ['NYSE', 'NASDAQ', 'LSE', 'XETRA', 'TSE', 'NSE', 'HKEX', 'elsewhere'];
    const { rows } = await servers.pool.query<{ exchange: string; zone: string }>(
      `SELECT exchange, ${ZONE} AS zone FROM unnest($1::text[]) AS s (exchange)`,
      [exchanges],
    );
    expect(rows).toEqual(exchanges.map((exchange) => ({ exchange, zone: zoneOf(exchange) })));
    const sectors = servers.config.SLUICE_PRICES_SECTORS;
    const names = ['1d', '1w'].flatMap((period) => universesOf(sectors).map((one) => moversLeaderboard(period, one)));
    const { leaderboards } = moversBoards(sectors);
    expect(leaderboards.map(({ name }) => name)).toEqual(names);
    expect(leaderboards[0]!.boards).toEqual([...BOARDS].sort());
    expect([LATEST_KEYS, INDICATORS_KEYS]).toEqual([LATEST, LATEST_INDICATORS]);
  });

  it('cannot tell before the pipeline has passed the position', async () => {
    await sinks.passed(NOW, FINAL_TO, 1n);
    const report = await compare();
    expect(report.result).toBe('unknown');
    expect(report.sinks.source?.problem).toContain('RECONCILE_DEADLINE');
  });

  it('finds all equal that was worked out by hand', async () => {
    await sinks.show(EXPECTED.map(shown));
    for (const universe of MINE) {
      await sinks.redis.hset(`lb:{prices:1d:${universe}}:content:ABCD`, MOVER_1D);
      await sinks.redis.zadd(`lb:{prices:1d:${universe}}:gainers`, 2632, 'ABCD');
      await sinks.redis.zadd(`lb:{prices:1d:${universe}}:most_active`, 150, 'ABCD');
      await sinks.redis.hset(`lb:{prices:1w:${universe}}:content:ABCD`, MOVER_1W);
      await sinks.redis.zadd(`lb:{prices:1w:${universe}}:most_active`, 1150, 'ABCD');
    }
    await sinks.redis.hset(LATEST_ABCD, NEWEST);
    for (const [interval, fields] of Object.entries(NEWEST_INDICATORS))
      await sinks.redis.hset(`${INDICATORS}${interval}:ABCD`, fields);
    await sinks.passed(NOW, FINAL_TO);
    const seen: string[] = [];
    const report = await compare({
      watch: (at, within) => seen.push(within === undefined ? at : `${within.done} of ${within.of} ${within.unit}`),
    });
    expect(told(report.sinks)).toEqual([]);
    expect(report.result).toBe('equal');
    expect(seen).toEqual([
      ...['waiting until candles have passed the position', 'comparing bars and candles in ClickHouse'],
      ...[0, 1, 2, 3, 4, 5].map((done) => `${done} of 6 kinds of rows`),
      ...['comparing the public topic of candles', '0 of 1 stocks', '1 of 1 stocks'],
      ...['comparing indicators in ClickHouse and Redis, and the public topic of signals', '0 of 1 stocks'],
      ...['comparing boards of movers by 1d', 'comparing boards of movers by 1w', 'comparing newest prices in Redis'],
    ]);
    expect(Object.fromEntries(Object.entries(report.sinks).map(([name, sink]) => [name, sink.rowsCompared]))).toEqual({
      ...{ 'clickhouse.bar': 5, 'clickhouse.5m': 2, 'clickhouse.15m': 1, 'clickhouse.1h': 1 },
      ...{ 'clickhouse.1d': 2, 'clickhouse.1w': 1 },
      ...{ 'external.5m': 2, 'external.15m': 1, 'external.1h': 1, 'external.1d': 2, 'external.1w': 1 },
      ...{ 'signals.5m': 2, 'signals.15m': 1, 'signals.1h': 1, 'signals.1d': 2, 'signals.1w': 1 },
      ...{ 'clickhouse.indicators.5m': 2, 'clickhouse.indicators.15m': 1, 'clickhouse.indicators.1h': 1 },
      ...{ 'clickhouse.indicators.1d': 2, 'clickhouse.indicators.1w': 1 },
      ...{ 'redis.indicators.5m': 1, 'redis.indicators.15m': 1, 'redis.indicators.1h': 1 },
      ...{ 'redis.indicators.1d': 1, 'redis.indicators.1w': 1 },
      ...{ 'redis.movers.1d': 6, 'redis.movers.1w': 3, 'redis.latest': 1 },
    });
  });

  it('takes letters for an explanation of bars that nobody has, or has as they were', async () => {
    const { pool } = servers;
    const row: PriceColumns = {
      ...{ stock_id: 1n, ts: '2026-01-07T14:50:00.000000Z', open: '5.000000', high: '5.000000', low: '5.000000' },
      ...{ close: '5.000000', volume: 1n, source: 'minute' },
    };
    await pool.query(`INSERT INTO stock_prices VALUES (1, '2026-01-07 14:50Z', 5, 5, 5, 5, 1, 'minute')`);
    await pool.query(`UPDATE stock_prices SET close = 11.5 WHERE ts = '2026-01-07 14:31Z'`);
    const value = priceEnvelope('c', null, row, { lsn: 1n, xid: 1n, commitTsMs: NOW });
    await sinks.letter('UNKNOWN_STOCK', { ts: row.ts, value });
    await sinks.letter('UNDECODABLE', { ts: '2026-01-07T14:31:00.000000Z', value: null });
    const { result, sinks: all } = await compare();
    expect(told(all)).toEqual([]);
    expect(result).toBe('equal');
    expect(all['clickhouse.bar']!.deadLettered).toEqual([
      { row: 'bar of 2026-01-07T14:50:00.000Z of stock 1', reason: 'UNKNOWN_STOCK' },
      { row: 'bar of 2026-01-07T14:31:00.000Z of stock 1', reason: 'UNDECODABLE' },
    ]);
    const strict = await compare({ strict: true });
    expect(strict.sinks['clickhouse.bar']).toMatchObject({ result: 'different', differenceCount: 2 });
    await pool.query(`DELETE FROM stock_prices WHERE ts = '2026-01-07 14:50Z'`);
    await pool.query(`UPDATE stock_prices SET close = 12 WHERE ts = '2026-01-07 14:31Z'`);
  });

  it('names what differs, what is missing, what is too much and what is not final, in each sink', async () => {
    const five = of('5m');
    await sinks.showInClickHouse([{ ...five, figures: [...five.figures.slice(0, 4), 4_951n, 11n] as never }]);
    await sinks.showInClickHouse([of('1w')], true);
    await sinks.show([shown(['1h', '2026-01-07 15:00', 5, 5, 5, 5, 1, 15, 5, 1, -1])]);
    await sinks.showInClickHouse([{ ...of('15m'), final: false }]);
    await sinks.publish(of('1d'), false, { obv: 7n, signals: ['rsi_oversold'] });
    await sinks.publish({ ...of('1w'), bars: 5, final: true });
    // Of indicators a wrong value, a NULL that is none, a missing row, one too many, and one of a stock that nobody knows.
    await sinks.showIndicators(of('1d', 1), { previous_low_e6: '8000001', sma_20: 12 });
    await sinks.showIndicators(of('15m'), {}, true);
    await sinks.showIndicators({ ...of('5m'), start: of('5m').start - 300_000, end: of('5m').start });
    await sinks.showIndicators(of('1w'), { stock_id: 5, symbol: 'GONE' });
    await sinks.redis.hset(`${INDICATORS}1d:ABCD`, { rsi_14: '50', resistance_2: '11.166666' });
    await sinks.redis.del(`${INDICATORS}5m:ABCD`);
    await sinks.redis.hset(`${INDICATORS}1w:GONE`, { ...NEWEST_INDICATORS['1w']! });
    await sinks.redis.hset('px:{prices}:latest:GONE', { price: '1' });
    await sinks.redis.zadd('lb:{prices:1d:all}:gainers', 2633, 'ABCD');
    await sinks.redis.zrem('lb:{prices:1d:sector:Energy}:most_active', 'ABCD');
    await sinks.redis.zadd('lb:{prices:1w:all}:losers', 1, 'GONE');
    await sinks.redis.hset('lb:{prices:1w:exchange:NYSE}:content:ABCD', { low: '8.5' });
    await sinks.redis.hset(LATEST_ABCD, { price: '12.5' });
    const { result, sinks: all } = await compare();
    expect(result).toBe('different');
    expect(told(all)).toEqual([
      expect.stringMatching(
        /^clickhouse.5m: stock 1 5m of 2026-01-07T14:30:00.000Z: ABCD.*4950000000\|~ \/ ABCD.*\|4951\|~$/,
      ),
      'clickhouse.15m: stock 1 15m of 2026-01-07T14:30:00.000Z: final / not final',
      expect.stringMatching(/^clickhouse.1h: stock 1 1h of 2026-01-07T15:00:00.000Z: null \/ ABCD/),
      expect.stringMatching(/^clickhouse.1w: stock 1 1w of 2026-01-05T05:00:00.000Z: ABCD.* \/ null$/),
      expect.stringMatching(/^external.1h: stock 1 1h of 2026-01-07T15:00:00.000Z: null \/ ABCD/),
      expect.stringMatching(/^external.1w: stock 1 1w of 2026-01-05T05:00:00.000Z: ABCD.*\|4 \/ ABCD.*\|5$/),
      'signals.1h: stock 1 1h of 2026-01-07T15:00:00.000Z: null / a row',
      'signals.1d: stock 1 1d of 2026-01-06T05:00:00.000Z: obv=0 signals= / obv=7 signals=rsi_oversold',
      'clickhouse.indicators.5m: stock 1 5m of 2026-01-07T14:25:00.000Z: null / a row',
      'clickhouse.indicators.15m: stock 1 15m of 2026-01-07T14:30:00.000Z: a row / null',
      'clickhouse.indicators.1h: stock 1 1h of 2026-01-07T15:00:00.000Z: null / a row',
      expect.stringMatching(
        /^clickhouse.indicators.1d: stock 1 1d of 2026-01-07.*: previous_low_e6=8000000 sma_20=null \/ previous_low_e6=8000001 sma_20=12$/,
      ),
      'clickhouse.indicators.1w: stock 5 1w of 2026-01-05T05:00:00.000Z: null / a row',
      'redis.indicators.5m: newest ABCD: a row / null',
      expect.stringMatching(
        /^redis.indicators.1d: newest ABCD: resistance_2_e6=11166667 rsi_14=null \/ resistance_2_e6=11166666 rsi_14=50$/,
      ),
      expect.stringMatching(/^redis.indicators.1w: newest GONE: null \/ start=\d+$/),
      'redis.movers.1d: 1d all gainers ABCD: score=2632 / score=2633',
      'redis.movers.1d: 1d sector:Energy most_active ABCD: place 1, score 150 / null',
      'redis.movers.1w: 1w all losers GONE: null / score 1',
      'redis.movers.1w: 1w exchange:NYSE most_active ABCD: low=8 / low=8.5',
      'redis.latest: latest ABCD: price=12 / price=12.5',
      'redis.latest: latest GONE: null / price=1',
    ]);
  });

  it('leaves out what begins before the time it is given', async () => {
    const { sinks: all, result } = await compare({ since: new Date('2026-01-07T14:35:00Z') });
    expect(result).toBe('different');
    expect(all['clickhouse.bar']).toMatchObject({ result: 'equal', rowsCompared: 1 });
    expect(all['external.5m']).toMatchObject({ result: 'equal', rowsCompared: 1 });
    expect(all['signals.5m']).toMatchObject({ result: 'equal', rowsCompared: 1 });
    expect(all['clickhouse.1h']!.differences.map(({ row }) => row)).toEqual(['1h of 2026-01-07T15:00:00.000Z']);
    expect(all['clickhouse.1w']).toMatchObject({ result: 'equal', rowsCompared: 0 });
  });

  it('compares no more than the bars and candles wholly in a range, and of the stocks that it is given', async () => {
    const until = new Date('2026-01-07T14:35:00Z');
    const { sinks: range } = await compare({ since: new Date('2026-01-06T05:00:00Z'), until });
    const counts = Object.entries(range).map(([name, { rowsCompared }]) => [name, rowsCompared]);
    expect(Object.fromEntries(counts)).toEqual({
      ...{ 'clickhouse.bar': 4, 'clickhouse.5m': 1, 'clickhouse.15m': 0, 'clickhouse.1h': 0 },
      ...{ 'clickhouse.1d': 1, 'clickhouse.1w': 0 },
      ...{ 'external.5m': 1, 'external.15m': 0, 'external.1h': 0, 'external.1d': 1, 'external.1w': 0 },
    });
    // What is wrong behind the end, or of a candle that is not wholly inside, is nobody's business.
    expect(Object.entries(range).flatMap(([name, { result }]) => (result === 'equal' ? [] : [name]))).toEqual([
      'clickhouse.5m',
    ]);
    const { sinks: other, result } = await compare({ stocks: [2n] });
    expect(told(other)).toEqual([]);
    expect(result).toBe('equal');
    expect(Object.keys(other).filter((name) => name.startsWith('redis.movers'))).toEqual([]);
    expect((await compare({ stocks: [1n] })).sinks['clickhouse.indicators.1d']!.result).toBe('different');
  });
});
