/**
 * Loads a run from its beginning, or from where it was left: chunk after chunk, while the pipeline keeps up.
 *
 * Invariant: a chunk is loaded once, in the order of the source (indicators want history forwards in time), whenever the process dies.
 */
import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import type { PostgresPool, Sql } from '../../../connectors/postgres/pool.ts';
import { TAKEOVER_WAIT_MS, trySessionLock } from '../../../connectors/postgres/session-lock.ts';
import { pause } from '../../../engine/backoff.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { LOAD_BARS, MAKE_PARTITION } from '../bars-sql.ts';
import { HistoryLedger, type HistoryRun } from './ledger.ts';
import type { HistoryRow } from './rows.ts';
import type { HistorySource } from './source.ts';

export interface LoadOptions {
  readonly postgresUrl: string;
  readonly pool: PostgresPool;
  readonly runId: string;
  readonly source: HistorySource;
  readonly chunkRows: number;
  /** How far the pipeline is behind: rows committed behind where capture is, and records that the workers have not read. */
  readonly lag: (committed: readonly Committed[]) => Promise<number>;
  /** With more than this the next chunk waits. */
  readonly maxLag: number;
  readonly signal: AbortSignal;
  readonly report: (run: HistoryRun, note: string) => void;
}

/** Rows that were committed in front of a position of Postgres. */
export interface Committed {
  readonly lsn: bigint;
  readonly rows: number;
}

/** Any number that nobody else locks by. */
const LOCK_KEY = 7_310_579_661_005n;
const POLL_MS = 200;
/** A pipeline that does not catch up with so long without any chunk has another problem. */
const HELD_MS = 600_000;
const SOURCE_NAME = 'daily';

/**
 * Returns the run with everything loaded, which is still open. Throws HISTORY_DRIVEN and HISTORY_OVER (fatal), HISTORY_HELD (retry), the signal's reason, and
 * as `postgresError`. What is loaded is kept in every case.
 */
export async function loadHistory(options: LoadOptions): Promise<HistoryRun> {
  const { postgresUrl: url } = options;
  const lock = await trySessionLock({ url, applicationName: 'sluice-history', waitMs: TAKEOVER_WAIT_MS }, LOCK_KEY);
  if (lock === null) {
    throw new SluiceError('Another process loads history: npm run history -- status', {
      code: 'HISTORY_DRIVEN',
      action: 'fatal',
    });
  }
  try {
    return await new Load(options).run();
  } finally {
    await lock.release();
  }
}

/** Whether some process loads at this moment. */
export async function isLoading(url: string): Promise<boolean> {
  const lock = await trySessionLock({ url, applicationName: 'sluice-history' }, LOCK_KEY);
  await lock?.release();
  return lock === null;
}

class Load {
  readonly #options: LoadOptions;
  readonly #ledger: HistoryLedger;
  readonly #months = new Set<string>();
  #committed: Committed[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#ledger = new HistoryLedger(options.pool);
  }

  async run(): Promise<HistoryRun> {
    const { source, chunkRows, signal, report, runId } = this.#options;
    let run = await this.#ledger.takeOver(runId);
    let number = 0;
    report(run, '');
    for await (const chunk of source(chunkRows)) {
      signal.throwIfAborted();
      if (number++ < run.chunks) continue;
      await this.#behind(run);
      await this.#partitions(chunk.rows);
      const counts = { read: chunk.read, rejected: chunk.rejects.length };
      run = await this.#ledger.chunk(run, counts, async (sql) => await writeRows(sql, chunk.rows));
      await this.#note(chunk.rows.length);
      report(run, '');
    }
    return run;
  }

  /** Waits while the pipeline is too far behind. */
  async #behind(run: HistoryRun): Promise<void> {
    const { lag, maxLag, signal, report } = this.#options;
    const sinceMs = performance.now();
    for (;;) {
      const behind = await lag(this.#committed);
      if (behind <= maxLag) return;
      signal.throwIfAborted();
      if (performance.now() - sinceMs > HELD_MS) {
        throw new SluiceError(
          `The pipeline has ${behind} records to read and does not come on: do its workers run? Then the same command goes on.`,
          { code: 'HISTORY_HELD', action: 'retry' },
        );
      }
      report(run, `waiting: the pipeline is ${behind} records behind`);
      await pause(POLL_MS, signal);
    }
  }

  /** Where each chunk stands in the WAL: what capture has passed is counted by the workers' own lag. */
  async #note(rows: number): Promise<void> {
    const found = await this.#options.pool.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    this.#committed = [...this.#committed, { lsn: parseLsn(found.rows[0]!.lsn), rows }].slice(-MAX_COMMITTED);
  }

  /** Months that have no partition yet get one; where the default partition holds rows of a month already, it keeps them. */
  async #partitions(rows: readonly HistoryRow[]): Promise<void> {
    for (const { startMs } of rows) {
      const month = new Date(startMs).toISOString().slice(0, 7);
      if (this.#months.has(month)) continue;
      this.#months.add(month);
      try {
        await this.#options.pool.query(MAKE_PARTITION, [`${month}-01`]);
      } catch (error) {
        if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
      }
    }
  }
}

/** More positions than this are not looked at: the newest are behind all others. */
const MAX_COMMITTED = 1_000;

async function writeRows(sql: Sql, rows: readonly HistoryRow[]): Promise<number> {
  if (rows.length === 0) return 0;
  const { rowCount } = await sql.query(LOAD_BARS, [
    rows.map(({ stockId }) => stockId),
    rows.map(({ startMs }) => startMs),
    rows.map(({ open }) => open),
    rows.map(({ high }) => high),
    rows.map(({ low }) => low),
    rows.map(({ close }) => close),
    rows.map(({ volume }) => volume),
    rows.map(() => SOURCE_NAME),
  ]);
  return rowCount;
}
