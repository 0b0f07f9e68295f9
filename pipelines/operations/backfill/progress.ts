/** How a run moves on: pure steps from one state to the next. */
import type { RunProgress } from './ledger.ts';
import type { Piece, Step } from './pieces.ts';

export function planned(steps: readonly Step[]): RunProgress {
  return { steps, step: 0, doneTo: null, started: false, pieces: 0, rowsRead: 0, inFlight: null };
}

/** The step that is being worked on; null when all are done. */
export function stepOf({ steps, step }: RunProgress): Step | null {
  return steps[step] ?? null;
}

export function asked(progress: RunProgress, { to, rows, filter }: Piece): RunProgress {
  const inFlight = { number: progress.pieces + 1, attempt: 1, to, rows, filter };
  return { ...progress, started: true, inFlight };
}

/** The piece in flight once more, under another id: Debezium knows nothing of it any longer. */
export function askedAgain(progress: RunProgress): RunProgress {
  const { inFlight } = progress;
  if (inFlight === null) throw new TypeError('nothing is in flight');
  return { ...progress, inFlight: { ...inFlight, attempt: inFlight.attempt + 1 } };
}

export function arrived(progress: RunProgress, rows: number): RunProgress {
  const { inFlight } = progress;
  if (inFlight === null) throw new TypeError('nothing is in flight');
  return {
    ...progress,
    doneTo: inFlight.to,
    pieces: inFlight.number,
    rowsRead: progress.rowsRead + rows,
    inFlight: null,
  };
}

export function stepDone(progress: RunProgress): RunProgress {
  return { ...progress, step: progress.step + 1, doneTo: null, started: false };
}

/** Rows of all steps, as they were counted when the run was planned. */
export function rowsPlanned({ steps }: RunProgress): number {
  return steps.reduce((sum, { rows }) => sum + rows, 0);
}
