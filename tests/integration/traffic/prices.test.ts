/** The generator of prices against a real Postgres. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { PriceTraffic, type PriceTrafficOptions } from '../../../pipelines/prices/traffic/traffic.ts';
import { type PriceRow, priceText } from '../../../pipelines/prices/traffic/walk.ts';
import { PricesWriter } from '../../../scripts/generate/prices-writer.ts';
import { startPostgres, type TestPostgres } from '../postgres/server.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START = Date.UTC(2026, 0, 7, 14);
const OPTIONS: PriceTrafficOptions = {
  ...{ seed: 7, symbols: 30, corrections: 10, duplicates: 5, deletes: 5, late: 3, gaps: 1, bad: 0, splits: 0.02 },
  alwaysOpen: true,
};

let server: TestPostgres;
let databases = 0;
const open: { close(): Promise<void> }[] = [];

async function database(): Promise<{ url: string; pool: PostgresPool }> {
  databases += 1;
  const url = await server.createDatabase(`prices_${databases}`);
  await migratePostgres({ url, directory: `${ROOT}/sql/postgres` });
  const pool = new PostgresPool({ url, applicationName: 'test' });
  open.push(pool);
  return { url, pool };
}

/** Every row as text, by symbol and time. */
async function stored(pool: PostgresPool): Promise<readonly string[]> {
  const { rows } = await pool.query<{ bar: string }>(
    `SELECT concat_ws(' ', coalesce(symbol, 'unknown'), (extract(epoch FROM ts) * 1000)::bigint, open, high, low, close, volume, source) AS bar
     FROM stock_prices LEFT JOIN stocks ON stocks.id = stock_id ORDER BY 1`,
  );
  return rows.map(({ bar }) => bar);
}

async function writerOf(url: string, traffic: PriceTraffic): Promise<PricesWriter> {
  const writer = new PricesWriter(url);
  open.push(writer);
  await writer.prepare(traffic.listings);
  return writer;
}

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);

afterAll(async () => {
  for (const resource of open) await resource.close();
  await server?.stop();
});

describe('the writer of prices', () => {
  it('leaves exactly the rows that the batches say, faults included, however often they are written', async () => {
    const { url, pool } = await database();
    const expected = new Map<string, PriceRow>();
    const run = async () => {
      const traffic = new PriceTraffic({ ...OPTIONS, bad: 5 }, START);
      const writer = await writerOf(url, traffic);
      for (let round = 0; round < 4; round += 1) {
        const batch = traffic.next(500, START + 3_600_000);
        await writer.write(batch);
        for (const row of batch.upserts) expected.set(`${row.stock} ${row.startMs}`, row);
        for (const row of batch.deletes) expected.delete(`${row.stock} ${row.startMs}`);
      }
      return traffic;
    };
    const { listings } = await run();
    const texts = [...expected.values()].map(({ stock, startMs, open, high, low, close, volume, source }) =>
      [listings[stock]?.symbol ?? 'unknown', startMs, ...[open, high, low, close].map(priceText), volume, source].join(
        ' ',
      ),
    );
    expect((await stored(pool)).toSorted()).toEqual(texts.toSorted());
    await run();
    expect((await stored(pool)).toSorted()).toEqual(texts.toSorted());
  });

  it('loads a history again without writing what is there', async () => {
    const { url, pool } = await database();
    const load = async (days: number) => {
      const traffic = new PriceTraffic(OPTIONS, START);
      const writer = await writerOf(url, traffic);
      let [written, rows] = [0, 0];
      for (const day of [...traffic.history(1)].slice(0, days)) {
        written += await writer.load(day);
        rows += day.length;
      }
      return { written, rows };
    };
    const some = await load(5);
    expect(some.written).toBe(some.rows);
    const more = await load(9);
    expect(more.written).toBe(more.rows - some.rows);
    expect((await stored(pool)).length).toBe(more.rows);
    const { rows } = await pool.query<{ misplaced: bigint }>(
      `SELECT count(*) AS misplaced FROM stock_prices JOIN stocks ON id = stock_id
       WHERE exchange = 'NYSE' AND (ts AT TIME ZONE 'America/New_York')::time <> '00:00' OR source <> 'daily'`,
    );
    expect(rows).toEqual([{ misplaced: 0n }]);
  });
});

describe('npm run generate -- --pipeline prices', () => {
  const generate = (url: string, ...options: string[]) =>
    spawnSync(process.execPath, ['scripts/generate.ts', '--pipeline', 'prices', ...options], {
      cwd: ROOT,
      env: { ...process.env, SLUICE_POSTGRES_URL: url },
      encoding: 'utf8',
    });

  it('writes history and minutes, and says how many', async () => {
    const { url, pool } = await database();
    const run = ['--symbols', '10', '--always-open', '--rate', '200', '--seconds', '1', '--deletes', '0', '--json'];
    const { status, stdout, stderr } = generate(url, ...run, '--daily-years', '1', '--start', '2026-01-07T14:00:00Z');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const summary = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(summary).toMatchObject({ rate: 200, bad: 0, deletes: 0 });
    expect(summary.bars).toBeGreaterThan(100);
    expect(summary.history).toBeGreaterThan(2_500);
    expect((await stored(pool)).length).toBe(summary.bars + summary.history);
  });

  it('refuses an option that is of the other pipeline', async () => {
    const { status, stderr } = generate('postgres://nobody@127.0.0.1:1/none', '--contents', '5');
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining('--pipeline engagement') });
  });
});
