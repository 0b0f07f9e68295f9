/**
 * The runs, in Postgres: there the signal and the note that it was sent are one transaction, so a piece is asked for exactly once
 * whenever the process dies.
 */
import { type SignalRow, snapshotSignal } from '../../../connectors/debezium/signals.ts';
import type { PostgresPool, Sql } from '../../../connectors/postgres/pool.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { Step } from './pieces.ts';

export type RunStatus = 'running' | 'paused' | 'done' | 'cancelled';

/** A piece that Debezium was asked for. */
export interface InFlight {
  readonly number: number;
  /** Asked for again when Debezium has forgotten it. */
  readonly attempt: number;
  readonly to: string | null;
  readonly rows: number;
  readonly filter: string | null;
}

export interface RunProgress {
  readonly steps: readonly Step[];
  readonly step: number;
  /** In the step: rows up to this place have been read. */
  readonly doneTo: string | null;
  readonly started: boolean;
  readonly pieces: number;
  readonly rowsRead: number;
  readonly inFlight: InFlight | null;
}

export interface Run {
  readonly runId: string;
  /** What was asked for: the same again is the same run. */
  readonly request: unknown;
  readonly status: RunStatus;
  readonly epoch: number;
  readonly progress: RunProgress;
  readonly noticesFrom: bigint;
  readonly startedAt: string;
  readonly updatedAt: string;
}

interface Row {
  readonly run_id: string;
  readonly request: string;
  readonly status: RunStatus;
  readonly epoch: number;
  readonly progress: string;
  readonly notices_from: bigint;
  readonly started_at: string;
  readonly updated_at: string;
}

const SELECT = `SELECT run_id::text, request, status, epoch, progress, notices_from, started_at::text, updated_at::text FROM sluice_backfill`;

const runOf = (row: Row): Run => ({
  runId: row.run_id,
  request: JSON.parse(row.request),
  status: row.status,
  epoch: row.epoch,
  progress: JSON.parse(row.progress) as RunProgress,
  noticesFrom: row.notices_from,
  startedAt: row.started_at,
  updatedAt: row.updated_at,
});

/** What the ids of a piece's signals begin with; the attempt follows. */
export function piecePrefix(runId: string, { number }: Pick<InFlight, 'number'>): string {
  return `backfill-${runId}-${number}-`;
}

export class Ledger {
  readonly #pool: PostgresPool;

  constructor(pool: PostgresPool) {
    this.#pool = pool;
  }

  /** The run that is not over, or null. */
  async open(): Promise<Run | null> {
    const { rows } = await this.#pool.query<Row>(`${SELECT} WHERE status IN ('running', 'paused')`);
    return rows[0] === undefined ? null : runOf(rows[0]);
  }

  /** The newest runs first. */
  async newest(limit: number): Promise<readonly Run[]> {
    const { rows } = await this.#pool.query<Row>(`${SELECT} ORDER BY started_at DESC LIMIT $1`, [limit]);
    return rows.map(runOf);
  }

  /** Throws BACKFILL_UNDER_WAY (fatal) when there is one. */
  async begin(run: Pick<Run, 'runId' | 'request' | 'progress' | 'noticesFrom'>): Promise<void> {
    const { rowCount } = await this.#pool.query(
      `INSERT INTO sluice_backfill (run_id, request, status, progress, notices_from) VALUES ($1, $2, 'running', $3, $4)
       ON CONFLICT DO NOTHING`,
      [run.runId, JSON.stringify(run.request), JSON.stringify(run.progress), run.noticesFrom],
    );
    if (rowCount === 0) {
      throw new SluiceError('Another backfill has begun meanwhile: npm run backfill -- status', {
        code: 'BACKFILL_UNDER_WAY',
        action: 'fatal',
      });
    }
  }

  /** Makes this process the one that drives the run. */
  async takeOver(runId: string): Promise<Run> {
    const { rowCount } = await this.#pool.query(
      `UPDATE sluice_backfill SET epoch = epoch + 1, status = 'running', updated_at = now() WHERE run_id = $1 AND status IN ('running', 'paused')`,
      [runId],
    );
    const run = await this.#byId(runId);
    if (rowCount === 1 && run !== null) return run;
    throw new SluiceError(`Backfill ${runId} is over (${run?.status ?? 'it is not known'})`, {
      code: 'BACKFILL_OVER',
      action: 'fatal',
    });
  }

  /**
   * Notes how far the run is; with a piece in flight, asks Debezium for it in the same transaction. What was asked for before is taken out
   * of the signal table. False when the run is no longer this process's, or was paused or cancelled: then nothing happened.
   */
  async note(run: Pick<Run, 'runId' | 'epoch' | 'progress'>, status: 'running' | 'done' = 'running'): Promise<boolean> {
    const { runId, epoch, progress } = run;
    return await this.#pool.transaction(async (sql) => {
      const { rowCount } = await sql.query(
        `UPDATE sluice_backfill SET progress = $3, status = $4, updated_at = now()
         WHERE run_id = $1 AND epoch = $2 AND status = 'running'`,
        [runId, epoch, JSON.stringify(progress), status],
      );
      if (rowCount === 0) return false;
      await tidy(sql, runId);
      const { inFlight } = progress;
      if (inFlight !== null) await send(sql, snapshotSignal(requestOf(runId, progress, inFlight)));
      return true;
    });
  }

  /** Pauses or cancels the open run; null when there is none. Debezium still ends the piece that is in flight. */
  async end(status: 'paused' | 'cancelled'): Promise<Run | null> {
    const runId = await this.#pool.transaction(async (sql) => {
      const { rows } = await sql.query<{ run_id: string }>(
        `UPDATE sluice_backfill SET status = $1, updated_at = now() WHERE status IN ('running', 'paused') RETURNING run_id::text`,
        [status],
      );
      if (rows[0] !== undefined) await tidy(sql, rows[0].run_id);
      return rows[0]?.run_id ?? null;
    });
    return runId === null ? null : await this.#byId(runId);
  }

  async status(runId: string): Promise<RunStatus | null> {
    return (await this.#byId(runId))?.status ?? null;
  }

  async #byId(runId: string): Promise<Run | null> {
    const { rows } = await this.#pool.query<Row>(`${SELECT} WHERE run_id = $1`, [runId]);
    return rows[0] === undefined ? null : runOf(rows[0]);
  }
}

function requestOf(runId: string, { steps, step }: RunProgress, piece: InFlight) {
  const { table, chunkBy } = steps[step]!;
  return { id: `${piecePrefix(runId, piece)}${piece.attempt}`, table, chunkBy, filter: piece.filter };
}

/** A signal is read from the WAL, so its row may go as soon as it is written. */
async function tidy(sql: Sql, runId: string): Promise<void> {
  await sql.query('DELETE FROM sluice_signal WHERE starts_with(id, $1)', [`backfill-${runId}-`]);
}

async function send(sql: Sql, { id, type, data }: SignalRow): Promise<void> {
  await sql.query('INSERT INTO sluice_signal (id, type, data) VALUES ($1, $2, $3)', [id, type, data]);
}
