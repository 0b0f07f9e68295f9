import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { trySessionLock } from '../../../connectors/postgres/session-lock.ts';
import { Ledger } from '../../../pipelines/operations/backfill/ledger.ts';
import { nextPiece, planSteps, type Step } from '../../../pipelines/operations/backfill/pieces.ts';
import { arrived, asked, askedAgain, planned } from '../../../pipelines/operations/backfill/progress.ts';
import { PRICES_BACKFILL } from '../../../pipelines/prices/backfill/tables.ts';
import { startPostgres, type TestPostgres } from '../postgres/server.ts';

const RUN = '00000000-0000-4000-8000-000000000001';
const STEP: Step = {
  table: 'public.engagement_events',
  chunkBy: 'id',
  order: 'id',
  condition: "device = 'ios'",
  bounds: { first: "'1'", last: "'10'" },
  rows: 5,
};
const PIECE = { to: "'4'", rows: 2, filter: "(id) >= ('1') AND (id) <= ('4')" };
const FIRST = { runId: RUN, request: { table: 'engagement_events' }, progress: planned([STEP]), noticesFrom: 7n };

let server: TestPostgres;
let url: string;
let pool: PostgresPool;
let ledger: Ledger;
beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase('backfill');
  await migratePostgres({
    url,
    directory: fileURLToPath(new URL('../../../sql/postgres', import.meta.url)),
  });
  pool = new PostgresPool({ url, applicationName: 'test' });
  ledger = new Ledger(pool);
});
afterAll(async () => {
  await pool?.close();
  await server?.stop();
});
beforeEach(async () => {
  await pool.query('DELETE FROM sluice_backfill');
  await pool.query('DELETE FROM sluice_signal');
});

const signals = async () =>
  (await pool.query<{ id: string }>('SELECT id FROM sluice_signal ORDER BY id')).rows.map(({ id }) => id);

it('lets one run be open', async () => {
  await ledger.begin(FIRST);
  const second = { ...FIRST, runId: '00000000-0000-4000-8000-000000000002' };
  await expect(ledger.begin(second)).rejects.toMatchObject({ code: 'BACKFILL_UNDER_WAY' });
  expect(await ledger.end('cancelled')).toMatchObject({ runId: RUN, status: 'cancelled' });
  await ledger.begin(second);
  expect(await ledger.open()).toMatchObject({ runId: second.runId, request: FIRST.request, noticesFrom: 7n });
});

it('sends the signal of a piece with the note of it, under another id when it is asked for again', async () => {
  await ledger.begin(FIRST);
  const run = await ledger.takeOver(RUN);
  const flying = asked(run.progress, PIECE);
  expect(await ledger.note({ ...run, progress: flying })).toBe(true);
  expect(await signals()).toEqual([`backfill-${RUN}-1-1`]);
  expect(await ledger.note({ ...run, progress: askedAgain(flying) })).toBe(true);
  expect(await signals()).toEqual([`backfill-${RUN}-1-2`]);
  expect(await ledger.note({ ...run, progress: arrived(flying, 2) })).toBe(true);
  expect(await signals()).toEqual([]);
  expect((await ledger.open())?.progress).toMatchObject({ doneTo: "'4'", rowsRead: 2, pieces: 1, inFlight: null });
});

it('lets nobody write who was taken over, or after the run was paused or cancelled', async () => {
  await ledger.begin(FIRST);
  const old = await ledger.takeOver(RUN);
  const run = await ledger.takeOver(RUN);
  expect(await ledger.note({ ...old, progress: asked(old.progress, PIECE) })).toBe(false);
  expect(await signals()).toEqual([]);
  await ledger.note({ ...run, progress: asked(run.progress, PIECE) });
  await ledger.end('paused');
  expect(await signals()).toEqual([]);
  expect(await ledger.note({ ...run, progress: planned([STEP]) })).toBe(false);
  expect((await ledger.takeOver(RUN)).progress.inFlight).toMatchObject({ number: 1, to: "'4'" });
  await ledger.end('cancelled');
  await expect(ledger.takeOver(RUN)).rejects.toMatchObject({ code: 'BACKFILL_OVER' });
});

it('cuts pieces by the id, of the rows for which the condition holds', async () => {
  await pool.query(`INSERT INTO content VALUES ($1, 's', 't', 'video', 1, now())`, [RUN]);
  await pool.query(
    `INSERT INTO engagement_events (id, content_id, user_id, event_type, event_ts, device)
     SELECT n, $1, $1, 'play', now(), CASE WHEN n % 2 = 0 THEN 'ios' END FROM generate_series(1, 12) AS n`,
    [RUN],
  );
  const at = (doneTo: string | null) => ({ doneTo, started: doneTo !== null, maxRows: 2 });
  expect(await nextPiece(pool, STEP, at(null))).toEqual({
    to: "'4'",
    rows: 2,
    filter: "(id) >= ('1') AND (id) <= ('4') AND (device = 'ios')",
  });
  expect(await nextPiece(pool, STEP, at("'8'"))).toMatchObject({ to: "'10'", rows: 1 });
  // Row 12 came after the plan: it is captured as it comes.
  expect(await nextPiece(pool, STEP, at("'10'"))).toBeNull();
});

it('cuts pieces by a key of two columns, over the partitions of the table, and misses no row', async () => {
  await pool.query(
    `INSERT INTO stock_prices (stock_id, ts, open, high, low, close, volume)
     SELECT stock, timestamptz '2026-01-31T23:58:00Z' + n * interval '1 minute', 1, 1, 1, 1, n
     FROM generate_series(1, 3) AS stock, generate_series(0, 4) AS n`,
  );
  const range = { from: new Date('2026-01-31T23:59:00Z'), to: null, groups: ['1', '3'], ids: [], where: 'volume <> 3' };
  const [, step] = await planSteps(pool, PRICES_BACKFILL.stock_prices, range);
  expect(step).toMatchObject({ rows: 6, chunkBy: null });
  const read: string[] = [];
  for (let doneTo: string | null = null; ; ) {
    const piece = await nextPiece(pool, step!, { doneTo, started: doneTo !== null, maxRows: 2 });
    if (piece === null) break;
    // As Debezium puts it into its query.
    const { rows } = await pool.query<{ bar: string }>(
      `SELECT stock_id || ' ' || volume AS bar FROM stock_prices WHERE ${piece.filter} ORDER BY stock_id, ts`,
    );
    expect(rows.length).toBe(piece.rows);
    read.push(...rows.map(({ bar }) => bar));
    doneTo = piece.to;
  }
  expect(read).toEqual(['1 1', '1 2', '1 4', '3 1', '3 2', '3 4']);
});

it('is driven by one process, until that is gone', async () => {
  const options = { url, applicationName: 'test' };
  const lock = await trySessionLock(options, 1n);
  expect(await trySessionLock(options, 1n)).toBeNull();
  const waiting = trySessionLock({ ...options, waitMs: 30_000 }, 1n);
  await lock?.release();
  const again = await waiting;
  expect(again).not.toBeNull();
  await again?.release();
});
