/** History loaded into a real Postgres: killed, resumed, held back, cancelled. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { HistoryLedger, type HistoryRun } from '../../../pipelines/prices/history/ledger.ts';
import { isLoading, type LoadOptions, loadHistory } from '../../../pipelines/prices/history/load.ts';
import { type HistoryChunk, madeSource, trafficOf } from '../../../pipelines/prices/history/source.ts';
import { addStocks } from '../../../pipelines/prices/history/stocks.ts';
import { startPostgres, type TestPostgres } from '../postgres/server.ts';
import type { ChildArguments } from './history-child.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const REQUEST = { symbols: 6, years: 1, seed: 5, until: '2026-01-05T00:00:00.000Z' };
const CHUNK = 100;
const RUN = '00000000-0000-4000-8000-00000000000';

let server: TestPostgres;
let url: string;
let pool: PostgresPool;
let ledger: HistoryLedger;
let ids: readonly bigint[];
beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase('history');
  await migratePostgres({ url, directory: `${ROOT}/sql/postgres` });
  pool = new PostgresPool({ url, applicationName: 'test' });
  ledger = new HistoryLedger(pool);
  ids = await addStocks(pool, trafficOf(REQUEST).listings);
}, 60_000);
afterAll(async () => {
  await pool?.close();
  await server?.stop();
});

async function load(runId: string, options: Partial<LoadOptions> = {}): Promise<HistoryRun> {
  return await loadHistory({
    ...{ postgresUrl: url, pool, runId, chunkRows: CHUNK, maxLag: 10, signal: new AbortController().signal },
    source: madeSource(REQUEST, ids),
    lag: async () => 0,
    report: () => {},
    ...options,
  });
}

/** Every row as text. */
async function stored(): Promise<readonly string[]> {
  const { rows } = await pool.query<{ bar: string }>(
    `SELECT concat_ws(' ', stock_id, (extract(epoch FROM ts) * 1000)::bigint, open, high, low, close, volume, source) AS bar
     FROM stock_prices`,
  );
  return rows.map(({ bar }) => bar).sort();
}

function wanted(): readonly string[] {
  const chunks = madeSource(REQUEST, ids)(1_000) as Iterable<HistoryChunk>;
  return [...chunks]
    .flatMap(({ rows }) => rows)
    .map(({ stockId, startMs, open, high, low, close, volume }) =>
      [stockId, startMs, open, high, low, close, volume, 'daily'].join(' '),
    )
    .sort();
}

it('loads each row once although it is killed between two chunks, and is the same run again', async () => {
  await ledger.begin({ runId: `${RUN}1`, request: REQUEST, rowsPlanned: 1_500 });
  const child = (killAfter: number) => {
    const argument: ChildArguments = { url, runId: `${RUN}1`, request: REQUEST, chunkRows: CHUNK, killAfter };
    const script = `${ROOT}/tests/integration/prices/history-child.ts`;
    return spawnSync(process.execPath, [script, JSON.stringify(argument)], { timeout: 60_000 }).signal;
  };
  expect(child(3)).toBe('SIGKILL');
  expect(await ledger.open()).toMatchObject({ status: 'running', chunks: 3, rowsRead: 300, rowsChanged: 300 });
  expect(child(8)).toBe('SIGKILL');
  const run = await load(`${RUN}1`);
  expect(run).toMatchObject({ rowsRead: wanted().length, rowsChanged: wanted().length, rowsRejected: 0, epoch: 3 });
  expect(await stored()).toEqual(wanted());
  expect(await ledger.end('done')).toMatchObject({ runId: `${RUN}1`, status: 'done', rowsRead: run.rowsRead });
  expect(await isLoading(url)).toBe(false);
});

it('writes only what is not there as it should be', async () => {
  const { rowCount } = await pool.query('UPDATE stock_prices SET volume = volume + 1 WHERE stock_id = $1', [ids[2]!]);
  await ledger.begin({ runId: `${RUN}2`, request: REQUEST, rowsPlanned: 1_500 });
  await expect(ledger.begin({ runId: `${RUN}3`, request: REQUEST, rowsPlanned: 0 })).rejects.toMatchObject({
    code: 'HISTORY_UNDER_WAY',
  });
  expect(await load(`${RUN}2`)).toMatchObject({ rowsRead: wanted().length, rowsChanged: rowCount });
  expect(await stored()).toEqual(wanted());
  await ledger.end('done');
});

it('waits for the pipeline before each chunk, and stops where it is told to', async () => {
  await pool.query('DELETE FROM stock_prices');
  await ledger.begin({ runId: `${RUN}4`, request: REQUEST, rowsPlanned: 1_500 });
  const notes: string[] = [];
  // Rows that are not captured yet: of the last chunk only, at every second look.
  let looks = 0;
  const asked: number[] = [];
  const stop = new AbortController();
  const options: Partial<LoadOptions> = {
    lag: async (committed) => {
      asked.push(committed.length);
      return looks++ % 2 === 1 ? (committed.at(-1)?.rows ?? 0) : 0;
    },
    report: ({ chunks }, note) => {
      if (note !== '') notes.push(`${chunks}: ${note}`);
      if (chunks === 3) stop.abort(new Error('enough'));
    },
    signal: stop.signal,
  };
  await expect(load(`${RUN}4`, options)).rejects.toThrow('enough');
  expect(notes).toEqual([
    '1: waiting: the pipeline is 100 records behind',
    '2: waiting: the pipeline is 100 records behind',
  ]);
  expect(asked).toEqual([0, 1, 1, 2, 2]);
  expect((await stored()).length).toBe(300);
});

it('changes nothing any more once it is cancelled', async () => {
  const report = async ({ chunks }: HistoryRun) => {
    if (chunks === 5) await ledger.end('cancelled');
  };
  let cancelled: Promise<void> = Promise.resolve();
  const options: Partial<LoadOptions> = {
    report: (run) => {
      cancelled = report(run);
    },
    lag: async () => {
      await cancelled;
      return 0;
    },
  };
  await expect(load(`${RUN}4`, options)).rejects.toMatchObject({ code: 'HISTORY_OVER' });
  expect((await stored()).length).toBe(500);
  expect((await ledger.newest(1))[0]).toMatchObject({ status: 'cancelled', chunks: 5 });
});
