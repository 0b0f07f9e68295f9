/**
 * Drives a run: asks Debezium for one piece after the other, at a rate, and only while live changes are not kept waiting.
 *
 * Invariants:
 *  - A piece counts as read only when Debezium has reported that its rows are in the topic.
 *  - At most one piece is in flight: it is the most that a live change can stand behind, and whenever this process dies or is told to
 *    stop, capture has no more than that left to do.
 */
import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import type { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { backoffMs, pause } from '../../../engine/backoff.ts';
import { actionOf, SluiceError } from '../../../engine/errors.ts';
import type { CaptureWatch, Seen } from './capture-watch.ts';
import { type InFlight, type Ledger, piecePrefix, type Run, type RunProgress } from './ledger.ts';
import { PieceWatch } from './piece-watch.ts';
import { nextPiece } from './pieces.ts';
import { arrived, asked, askedAgain, stepDone, stepOf } from './progress.ts';

export interface ReadingOptions {
  readonly pool: PostgresPool;
  readonly ledger: Ledger;
  readonly watch: CaptureWatch;
  readonly rowsPerSecond: number;
  /** How many records the workers of the live path have not read, all together. */
  readonly liveLag: () => Promise<number>;
  /** With more than this the next piece waits. */
  readonly maxLag: number;
  readonly signal: AbortSignal;
  readonly report: (progress: RunProgress, note: string) => void;
}

/** `read`: all of it. Otherwise somebody else said stop. */
export type ReadingEnd = 'read' | 'paused' | 'cancelled' | 'taken over';

const POLL_MS = 100;
/** Whether the run was paused or cancelled is asked at every so many looks. */
const LOOKS_PER_STATUS = 20;
const MAX_ATTEMPTS = 4;
/** No beat of the source clock for so long: capture is down. */
const SILENCE_MS = 600_000;
/** The live path that does not catch up with so long without any piece has another problem. */
const HELD_MS = 600_000;
const MIN_PIECE_ROWS = 100;
const MAX_PIECE_ROWS = 20_000;

/** About a second's worth: less is mostly overhead, more is a burst. */
export function pieceRows(rowsPerSecond: number): number {
  return Math.min(Math.max(rowsPerSecond, MIN_PIECE_ROWS), MAX_PIECE_ROWS);
}

export class Reading {
  readonly #options: ReadingOptions;
  #run: Run;

  constructor(run: Run, options: ReadingOptions) {
    this.#run = run;
    this.#options = options;
  }

  get progress(): RunProgress {
    return this.#run.progress;
  }

  /**
   * Throws BACKFILL_CAPTURE_SILENT and BACKFILL_HELD (retry), BACKFILL_PIECE_FAILED (fatal), the signal's reason, and what a server that
   * stays away throws. The run is kept in every case, and goes on with the next call.
   */
  async read(): Promise<ReadingEnd> {
    for (let askedMs = performance.now(); ; ) {
      this.#options.signal.throwIfAborted();
      const { inFlight } = this.progress;
      if (inFlight !== null) {
        const rows = await this.#arrival();
        if (rows === null || !(await this.#note(arrived(this.progress, rows)))) return await this.#stopped();
        this.#options.report(this.progress, '');
        await this.#pace(askedMs, inFlight);
        await this.#liveFirst();
      }
      const step = stepOf(this.progress);
      if (step === null) return 'read';
      const next = await this.#next(step);
      askedMs = performance.now();
      if (!(await this.#note(next))) return await this.#stopped();
    }
  }

  async #next(step: NonNullable<ReturnType<typeof stepOf>>): Promise<RunProgress> {
    const { doneTo, started } = this.progress;
    const at = { doneTo, started, maxRows: pieceRows(this.#options.rowsPerSecond) };
    const piece = await this.#patiently(async () => await nextPiece(this.#options.pool, step, at));
    return piece === null ? stepDone(this.progress) : asked(this.progress, piece);
  }

  /** Rows of the piece in flight, when they are in the topic; null when somebody stopped the run. */
  async #arrival(): Promise<number | null> {
    let watch = await this.#pieceWatch();
    let beatMs = performance.now();
    for (let looks = 1; ; looks++) {
      this.#options.signal.throwIfAborted();
      const seen = await this.#look();
      if (seen.beats.length > 0) beatMs = performance.now();
      const state = watch.take(seen);
      switch (state.kind) {
        case 'arrived':
          return state.rows;
        case 'lost':
          if (!(await this.#askAgain(state.why))) return null;
          watch = await this.#pieceWatch();
          break;
        case 'waiting':
          this.#options.report(this.progress, seen.beats.length > 0 ? state.note : silence(beatMs));
          break;
        default:
          state satisfies never;
      }
      if (performance.now() - beatMs > SILENCE_MS) throw captureSilent();
      if (looks % LOOKS_PER_STATUS === 0 && (await this.#status()) !== 'running') return null;
      await pause(POLL_MS, this.#options.signal);
    }
  }

  async #pieceWatch(): Promise<PieceWatch> {
    const { pool } = this.#options;
    const { rows } = await this.#patiently(
      async () => await pool.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn'),
    );
    return new PieceWatch(piecePrefix(this.#run.runId, this.progress.inFlight!), parseLsn(rows[0]!.lsn));
  }

  async #askAgain(why: string): Promise<boolean> {
    const { attempt, number, filter } = this.progress.inFlight!;
    if (attempt < MAX_ATTEMPTS) return await this.#note(askedAgain(this.progress));
    throw new SluiceError(
      `Piece ${number} (${filter ?? 'all rows'}) did not arrive in ${attempt} attempts: ${why}. See the log of Kafka Connect, then: npm run backfill -- resume`,
      { code: 'BACKFILL_PIECE_FAILED', action: 'fatal' },
    );
  }

  /** A look that fails because a server is away is one that saw nothing. */
  async #look(): Promise<Seen> {
    try {
      return await this.#options.watch.look();
    } catch (error) {
      if (actionOf(error) === 'fatal') throw error;
      return { notices: [], beats: [] };
    }
  }

  async #pace(askedMs: number, { rows }: InFlight): Promise<void> {
    const { rowsPerSecond, signal } = this.#options;
    await pause(Math.max(0, askedMs + (rows / rowsPerSecond) * 1_000 - performance.now()), signal);
  }

  /** Waits until the workers have caught up. What the piece itself brought them counts too. */
  async #liveFirst(): Promise<void> {
    const { liveLag, maxLag, signal, report } = this.#options;
    const sinceMs = performance.now();
    for (;;) {
      const lag = await this.#patiently(liveLag);
      if (lag <= maxLag || signal.aborted) return;
      if (performance.now() - sinceMs > HELD_MS) {
        throw new SluiceError(
          `The workers stay ${lag} records behind (allowed are ${maxLag}): see to them, then npm run backfill -- resume`,
          { code: 'BACKFILL_HELD', action: 'retry' },
        );
      }
      report(this.progress, `held: the workers are ${lag} records behind`);
      await pause(POLL_MS, signal);
    }
  }

  async #note(progress: RunProgress): Promise<boolean> {
    const run = { ...this.#run, progress };
    const noted = await this.#patiently(async () => await this.#options.ledger.note(run));
    if (noted) this.#run = run;
    return noted;
  }

  async #status(): Promise<string | null> {
    return await this.#patiently(async () => await this.#options.ledger.status(this.#run.runId));
  }

  async #stopped(): Promise<ReadingEnd> {
    const status = await this.#status();
    return status === 'paused' || status === 'cancelled' ? status : 'taken over';
  }

  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    return await patiently(work, this.#options.signal);
  }
}

const AWAY = { deadlineMs: 120_000, firstMs: 100, maxMs: 5_000 } as const;

/** Tries again while a server is away, for two minutes. */
export async function patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const sinceMs = performance.now();
  for (let failures = 0; ; failures++) {
    try {
      return await work();
    } catch (error) {
      const passing = ['retry', 'reconnect'].includes(actionOf(error)) && error instanceof SluiceError;
      if (!passing || signal.aborted || performance.now() - sinceMs > AWAY.deadlineMs) throw error;
      await pause(backoffMs(failures, AWAY), signal);
    }
  }
}

function silence(beatMs: number): string {
  const seconds = Math.floor((performance.now() - beatMs) / 1_000);
  return seconds < 5 ? '' : `capture has been silent for ${seconds} s`;
}

function captureSilent(): SluiceError {
  return new SluiceError(
    `Capture has said nothing for ${SILENCE_MS / 60_000} minutes: npm run connector -- status, then npm run backfill -- resume`,
    { code: 'BACKFILL_CAPTURE_SILENT', action: 'retry' },
  );
}
