/** The reconcile of prices: figures worked out by hand, in a real Postgres and a real ClickHouse. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { migrateClickHouse } from '../../../connectors/clickhouse/migrations.ts';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { type Config, clickHouseConfig, loadConfig } from '../../../pipelines/config.ts';
import { zoneOf } from '../../../pipelines/prices/exchanges.ts';
import { reconcilePrices } from '../../../pipelines/prices/reconcile/reconcile.ts';
import { ZONE } from '../../../pipelines/prices/reconcile/source.ts';
import { CANDLES, CANDLES_SINK } from '../../../pipelines/prices/topics.ts';
import { freePortBase } from '../../support/ports.ts';

const folder = (name: string): string => fileURLToPath(new URL(`../../../sql/${name}`, import.meta.url));

let stack: Stack;
let config: Config;
let pool: PostgresPool;
let client: ReturnType<typeof clickHouseClient>;
let offset = 0;

type Candle = readonly [interval: string, start: string, ...figures: (number | null)[]];

/** Open, high, low, close, volume, price times volume, VWAP, bars. Midnight in New York is 05:00 in winter. */
const EXPECTED: readonly Candle[] = [
  ['bar', '2026-01-06 05:00', 9, 10, 8, 9.5, 1_000, 27_500, 9.166667, 1],
  ['bar', '2026-01-07 05:00', 1, 2, 1, 2, 1, 5, 1.666667, 1],
  ['bar', '2026-01-07 14:30', 10, 12, 9, 11, 100, 3_200, 10.666667, 1],
  ['bar', '2026-01-07 14:31', 11, 13, 10, 12, 50, 1_750, 11.666667, 1],
  ['bar', '2026-01-07 14:36', 12, 12, 12, 12, 0, 0, null, 1],
  ['5m', '2026-01-07 14:30', 10, 13, 9, 12, 150, 4_950, 11, 2],
  ['5m', '2026-01-07 14:35', 12, 12, 12, 12, 0, 0, null, 1],
  ['15m', '2026-01-07 14:30', 10, 13, 9, 12, 150, 4_950, 11, 3],
  ['1h', '2026-01-07 14:00', 10, 13, 9, 12, 150, 4_950, 11, 3],
  ['1d', '2026-01-06 05:00', 9, 10, 8, 9.5, 1_000, 27_500, 9.166667, 1],
  // Its daily bar does not count beside bars of minutes.
  ['1d', '2026-01-07 05:00', 10, 13, 9, 12, 150, 4_950, 11, 3],
  ['1w', '2026-01-05 05:00', 9, 13, 8, 12, 1_150, 32_450, 9.405797, 4],
];

/** Writes versions of candles as the sink does: a later one replaces an earlier one. */
async function show(candles: readonly Candle[], deleted = 0): Promise<void> {
  const e6 = (value: number | null) => (value === null ? null : String(Math.round(value * 1e6)));
  const values = candles.map(([interval, start, open, high, low, close, volume, priceVolume, vwap, bars]) => ({
    ...{ is_deleted: deleted, stock_id: 1, symbol: 'ABCD', interval, start: `${start}:00`, end: `${start}:00` },
    ...{ open_e6: e6(open!), high_e6: e6(high!), low_e6: e6(low!), close_e6: e6(close!), volume },
    ...{ price_volume: e6(priceVolume!), vwap_e6: e6(vwap!), bars, final: true, source: null, lsn: 1, xid: 1 },
    ...{ commit_ts: '2026-01-07 15:00:00', source_partition: 0, source_offset: ++offset, generation: 1 },
    write_before: '2099-01-01 00:00:00',
  }));
  await client.insert({ table: 'prices_candles_log', values, format: 'JSONEachRow' });
}

/** Says that the sink has written everything, as of any position. */
async function written(partition: number, lsn = 2n ** 62n): Promise<void> {
  const row = { pipeline: CANDLES_SINK, topic: CANDLES, partition, generation: 1, next_offset: ++offset };
  const values = [{ ...row, lsn: String(lsn), stream_time: '2026-01-07 15:00:00' }];
  await client.insert({ table: 'sluice_progress', values, format: 'JSONEachRow' });
}

const compare = async (more: { readonly partitions?: number; readonly since?: Date } = {}) =>
  await reconcilePrices({
    ...{ postgresUrl: config.SLUICE_POSTGRES_URL, clickHouse: clickHouseConfig(config) },
    ...{ partitions: 1, since: null, deadlineSeconds: 1, limit: 5 },
    ...more,
  });

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'sluice-prices-'));
  stack = await startStack({ home, portBase: await freePortBase(), services: ['postgres', 'clickhouse'] });
  config = loadConfig(stack.env);
  await migratePostgres({ url: config.SLUICE_POSTGRES_URL, directory: folder('postgres') });
  await migrateClickHouse({ config: clickHouseConfig(config), directory: folder('clickhouse') });
  pool = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'test' });
  client = clickHouseClient(clickHouseConfig(config));
  await pool.query(`INSERT INTO stocks (id, symbol, name, exchange) VALUES (1, 'ABCD', 'A', 'NYSE')`);
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
  await Promise.allSettled([pool?.close(), client?.close()]);
  await stack?.stop({ remove: true });
});

describe('the reconcile of prices', () => {
  it('counts the days of each exchange as the pipeline does', async () => {
    const exchanges = ['NYSE', 'NASDAQ', 'LSE', 'XETRA', 'TSE', 'NSE', 'HKEX', 'elsewhere'];
    const { rows } = await pool.query<{ exchange: string; zone: string }>(
      `SELECT exchange, ${ZONE} AS zone FROM unnest($1::text[]) AS s (exchange)`,
      [exchanges],
    );
    expect(rows).toEqual(exchanges.map((exchange) => ({ exchange, zone: zoneOf(exchange) })));
  });

  it('cannot tell before the sink has passed the position', async () => {
    await written(0, 1n);
    const report = await compare();
    expect(report.result).toBe('unknown');
    expect(report.sinks.clickhouse?.problem).toContain('RECONCILE_DEADLINE');
  }, 60_000);

  it('finds all equal that was worked out by hand', async () => {
    await show(EXPECTED);
    await written(0);
    const report = await compare();
    expect(Object.values(report.sinks).flatMap(({ differences }) => differences)).toEqual([]);
    expect(report.result).toBe('equal');
    expect(Object.fromEntries(Object.entries(report.sinks).map(([name, sink]) => [name, sink.rowsCompared]))).toEqual({
      ...{ 'clickhouse.bar': 5, 'clickhouse.5m': 2, 'clickhouse.15m': 1, 'clickhouse.1h': 1 },
      ...{ 'clickhouse.1d': 2, 'clickhouse.1w': 1 },
    });
  }, 60_000);

  it('names a candle that differs, one that is missing and one too many', async () => {
    const five = EXPECTED.find(([interval]) => interval === '5m')!;
    await show([['5m', five[1], 10, 13, 9, 12, 150, 4_951, 11, 2]]);
    await show([EXPECTED.find(([interval]) => interval === '1w')!], 1);
    await show([['1h', '2026-01-07 15:00', 5, 5, 5, 5, 1, 15, 5, 1]]);
    const { result, sinks } = await compare();
    expect(result).toBe('different');
    const found = Object.values(sinks).flatMap(({ differences }) => differences);
    expect(found.map(({ row, postgres, sink }) => [row, postgres !== null, sink !== null])).toEqual([
      ['5m of 2026-01-07T14:30:00.000Z', true, true],
      ['1h of 2026-01-07T15:00:00.000Z', false, true],
      ['1w of 2026-01-05T05:00:00.000Z', true, false],
    ]);
    expect(found[0]!.postgres).toBe('ABCD|10000000|13000000|9000000|12000000|150|4950000000|11000000|2');
  }, 60_000);

  it('leaves out what begins before the time it is given', async () => {
    const { sinks, result } = await compare({ since: new Date('2026-01-07T14:35:00Z') });
    expect(result).toBe('different');
    expect(sinks['clickhouse.bar']).toMatchObject({ result: 'equal', rowsCompared: 1 });
    expect(sinks['clickhouse.5m']).toMatchObject({ result: 'equal', rowsCompared: 1 });
    expect(sinks['clickhouse.1h']!.differences.map(({ row }) => row)).toEqual(['1h of 2026-01-07T15:00:00.000Z']);
    expect(sinks['clickhouse.1w']).toMatchObject({ result: 'equal', rowsCompared: 0 });
  }, 60_000);
});
