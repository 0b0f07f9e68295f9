/**
 * The runs, in Postgres: there the rows of a chunk and the note that it is loaded are one transaction, so each chunk is loaded once
 * whenever the process dies.
 */
import type { PostgresPool, Sql } from '../../../connectors/postgres/pool.ts';
import { SluiceError } from '../../../engine/errors.ts';

export type HistoryStatus = 'running' | 'done' | 'cancelled';

export interface HistoryRun {
  readonly runId: string;
  /** What was asked for: the same again is the same run. */
  readonly request: unknown;
  readonly status: HistoryStatus;
  readonly epoch: number;
  readonly rowsPlanned: number;
  /** Chunks that are loaded. */
  readonly chunks: number;
  readonly rowsRead: number;
  /** Rows that were not there with the same figures. */
  readonly rowsChanged: number;
  readonly rowsRejected: number;
  readonly startedAt: string;
  readonly updatedAt: string;
}

type Row = { readonly [Name in keyof HistoryRun]: HistoryRun[Name] extends number ? string : HistoryRun[Name] };

const SELECT = `SELECT run_id::text AS "runId", request::text AS request, status, epoch::text AS epoch,
    rows_planned::text AS "rowsPlanned", chunks::text AS chunks, rows_read::text AS "rowsRead",
    rows_changed::text AS "rowsChanged", rows_rejected::text AS "rowsRejected", started_at::text AS "startedAt", updated_at::text AS "updatedAt"
  FROM sluice_history`;

const runOf = (row: Row): HistoryRun => ({
  ...row,
  request: JSON.parse(row.request as string),
  epoch: Number(row.epoch),
  rowsPlanned: Number(row.rowsPlanned),
  chunks: Number(row.chunks),
  rowsRead: Number(row.rowsRead),
  rowsChanged: Number(row.rowsChanged),
  rowsRejected: Number(row.rowsRejected),
});

/** Of one chunk. */
export interface ChunkCounts {
  readonly read: number;
  readonly changed: number;
  readonly rejected: number;
}

export class HistoryLedger {
  readonly #pool: PostgresPool;

  constructor(pool: PostgresPool) {
    this.#pool = pool;
  }

  /** The run that is not over, or null. */
  async open(): Promise<HistoryRun | null> {
    const { rows } = await this.#pool.query<Row>(`${SELECT} WHERE status = 'running'`);
    return rows[0] === undefined ? null : runOf(rows[0]);
  }

  /** The newest runs first. */
  async newest(limit: number): Promise<readonly HistoryRun[]> {
    const { rows } = await this.#pool.query<Row>(`${SELECT} ORDER BY started_at DESC LIMIT $1`, [limit]);
    return rows.map(runOf);
  }

  /** Throws HISTORY_UNDER_WAY (fatal) when there is one. */
  async begin(run: Pick<HistoryRun, 'runId' | 'request' | 'rowsPlanned'>): Promise<void> {
    const { rowCount } = await this.#pool.query(
      `INSERT INTO sluice_history (run_id, request, status, rows_planned) VALUES ($1, $2, 'running', $3) ON CONFLICT DO NOTHING`,
      [run.runId, JSON.stringify(run.request), run.rowsPlanned],
    );
    if (rowCount === 1) return;
    throw new SluiceError('Another load has begun meanwhile: npm run history -- status', {
      code: 'HISTORY_UNDER_WAY',
      action: 'fatal',
    });
  }

  /** Makes this process the one that drives the run. Throws HISTORY_OVER (fatal). */
  async takeOver(runId: string): Promise<HistoryRun> {
    await this.#pool.query(
      `UPDATE sluice_history SET epoch = epoch + 1, updated_at = now() WHERE run_id = $1 AND status = 'running'`,
      [runId],
    );
    const { rows } = await this.#pool.query<Row>(`${SELECT} WHERE run_id = $1`, [runId]);
    const run = rows[0] === undefined ? null : runOf(rows[0]);
    if (run?.status === 'running') return run;
    throw new SluiceError(`Load ${runId} is over (${run?.status ?? 'it is not known'})`, {
      code: 'HISTORY_OVER',
      action: 'fatal',
    });
  }

  /**
   * One chunk: what `write` does and the note of it, together. It says how many rows it changed. Throws HISTORY_OVER (fatal) when the run was cancelled,
   * taken over, or has this chunk: then nothing happened.
   */
  async chunk(
    run: HistoryRun,
    counts: Omit<ChunkCounts, 'changed'>,
    write: (sql: Sql) => Promise<number>,
  ): Promise<HistoryRun> {
    return await this.#pool.transaction(async (sql) => {
      const changed = await write(sql);
      const { rowCount } = await sql.query(
        `UPDATE sluice_history SET chunks = chunks + 1, rows_read = rows_read + $4, rows_changed = rows_changed + $5,
           rows_rejected = rows_rejected + $6, updated_at = now()
         WHERE run_id = $1 AND epoch = $2 AND chunks = $3 AND status = 'running'`,
        [run.runId, run.epoch, run.chunks, counts.read, changed, counts.rejected],
      );
      if (rowCount !== 1) {
        throw new SluiceError(`Load ${run.runId} was cancelled or is driven by another process`, {
          code: 'HISTORY_OVER',
          action: 'fatal',
        });
      }
      return {
        ...run,
        chunks: run.chunks + 1,
        rowsRead: run.rowsRead + counts.read,
        rowsChanged: run.rowsChanged + changed,
        rowsRejected: run.rowsRejected + counts.rejected,
      };
    });
  }

  /** Ends the open run; null when there is none. */
  async end(status: 'done' | 'cancelled'): Promise<HistoryRun | null> {
    const { rows } = await this.#pool.query<{ run_id: string }>(
      `UPDATE sluice_history SET status = $1, updated_at = now() WHERE status = 'running' RETURNING run_id::text`,
      [status],
    );
    if (rows[0] === undefined) return null;
    const found = await this.#pool.query<Row>(`${SELECT} WHERE run_id = $1`, [rows[0].run_id]);
    return runOf(found.rows[0]!);
  }
}
