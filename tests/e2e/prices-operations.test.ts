/**
 * The operators' commands for prices on the real stack: letters are shown and written back, and after each case everything equals the same
 * SQL over Postgres.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clickHouseClient } from '../../connectors/clickhouse/client.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { clickHouseConfig, loadConfig } from '../../pipelines/config.ts';
import type { LetterCounts } from '../../pipelines/operations/dlq/catalogue.ts';
import type { Described } from '../../pipelines/operations/dlq/describe.ts';
import { MONITOR, processesOf } from '../../pipelines/processes.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

let pipeline: Pipeline;
let pool: PostgresPool;
beforeAll(async () => {
  const workers = processesOf(['prices']).filter((name) => name !== MONITOR);
  pipeline = await startPipeline({ instances: 1, workers });
  pool = new PostgresPool({ url: pipeline.env.SLUICE_POSTGRES_URL!, applicationName: 'test' });
  await pool.query(
    `INSERT INTO stocks (id, symbol, name, exchange)
     VALUES (1, 'ONE', 'One', 'NYSE'), (2, 'TWO', 'Two', 'NASDAQ'), (3, 'THREE', 'Three', 'XETRA')`,
  );
});
afterAll(async () => {
  await pool?.close();
  await pipeline?.stop();
});

interface Outcome<T> {
  readonly code: number;
  readonly plan: unknown;
  readonly result: T;
}

/** Runs a command; the last line it prints is JSON. */
async function command<T>(script: string, ...args: readonly string[]): Promise<Outcome<T>> {
  const { code, output } = await pipeline.script(script, ...args, '--json');
  const last = output.split('\n').findLast((line) => line.startsWith('{'));
  expect(last, output).toBeDefined();
  return { code, ...(JSON.parse(last!) as { plan: unknown; result: T }) };
}

const dlq = async <T>(...args: readonly string[]) => await command<T>('dlq.ts', ...args, '--pipeline', 'prices');

async function comparison(): Promise<string> {
  const { output } = await pipeline.script('reconcile.ts', '--pipeline', 'prices', '--json', '--deadline', '120');
  const last = output.split('\n').findLast((line) => line.startsWith('{'));
  return last === undefined ? output : (JSON.parse(last) as { result: string }).result;
}

/** Bars of one minute each of these stocks, from so many minutes before now; what is there already is changed. */
async function write(stocks: readonly number[], minutes: number, price: number): Promise<void> {
  await pool.query(
    `INSERT INTO stock_prices (stock_id, ts, open, high, low, close, volume)
     SELECT stock, date_trunc('hour', now()) - minute * interval '1 minute',
       $3::int + minute % 5, $3::int + 5.000001, $3::int, $3::int + minute % 4, minute
     FROM unnest($1::bigint[]) AS stock, generate_series(1, $2::int) AS minute
     ON CONFLICT (stock_id, ts) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close`,
    [stocks, minutes, price],
  );
}

/** How many letters there are of each reason, in one state. */
async function reasons(state: string): Promise<Record<string, number>> {
  const { result } = await dlq<readonly LetterCounts[]>('stats', '--state', state);
  return Object.fromEntries(result.map(({ reason, letters }) => [reason, letters]));
}

const settle = { timeout: 120_000, interval: 1_000 };

it('shows letters of bars, writes back those whose cause is mended, and reports the superseded', async () => {
  const clickHouse = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
  await clickHouse.command({
    query: `ALTER TABLE prices_candles_log ADD CONSTRAINT no_source CHECK ifNull(source, '') != 'odd'`,
  });
  await write([1, 2, 99], 30, 20);
  await pool.query('UPDATE stock_prices SET high = low - 1 WHERE stock_id = 1 AND volume = 7');
  await pool.query(`UPDATE stock_prices SET volume = -1 WHERE stock_id = 2 AND volume = 8`);
  await pool.query(`UPDATE stock_prices SET source = 'odd' WHERE stock_id = 2 AND volume = 9`);
  const wanted = { UNKNOWN_STOCK: 30, HIGH_BELOW_LOW: 1, NEGATIVE_VOLUME: 1, SINK_REFUSED: 1 };
  await expect.poll(async () => await reasons('open'), settle).toEqual(wanted);
  const { result } = await dlq<{ letters: readonly Described[] }>('list', '--reason', 'HIGH_BELOW_LOW');
  const [shown] = (await dlq<readonly Described[]>('show', result.letters[0]!.id)).result;
  expect(shown!.fault).toEqual({ path: 'after.high', value: '19.000000', expected: 'the low or more' });
  // Without its pipeline a bare id is nobody's.
  expect((await pipeline.script('dlq.ts', 'discard', result.letters[0]!.id, '--yes')).output).toContain(
    'add --pipeline',
  );

  await pool.query(`INSERT INTO stocks (id, symbol, name, exchange) VALUES (99, 'LATE', 'Late', 'LSE')`);
  await pool.query('UPDATE stock_prices SET high = 26, volume = 7 WHERE stock_id = 1 AND volume = 7');
  await pool.query('DELETE FROM stock_prices WHERE stock_id = 2 AND volume = -1');
  await pool.query('DELETE FROM stock_prices WHERE stock_id = 99 AND volume <= 3');
  await clickHouse.command({ query: 'ALTER TABLE prices_candles_log DROP CONSTRAINT no_source' });
  await clickHouse.close();
  const planned = async () => (await dlq('redrive', '--dry-run')).plan;
  await expect.poll(planned, settle).toMatchObject({ redriven: 28, superseded: 5 });
  expect(await dlq('redrive', '--yes')).toMatchObject({ code: 0, result: { redriven: 28, superseded: 5, refused: 0 } });
  expect(await reasons('redriven')).toEqual({ UNKNOWN_STOCK: 27, SINK_REFUSED: 1 });
  expect((await dlq('redrive', '--yes')).plan).toMatchObject({ redriven: 0, superseded: 0 });
  expect(await comparison()).toBe('equal');
  expect(await reasons('open')).toEqual({});
});
