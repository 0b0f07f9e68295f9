/** Waiting for workers, always with an end. What was begun goes on by itself when the waiting ends. */
import { setTimeout as pause } from 'node:timers/promises';
import { SluiceError } from '../../../engine/errors.ts';

export interface Waiting {
  readonly signal: AbortSignal;
  /** Without an answer, or without anything moving. */
  readonly deadlineMs: number;
}

const POLL_MS = 200;

/**
 * Asks until there is an answer. `moved`: a figure of how far it has come; while that changes the deadline begins anew. Throws
 * REPLAY_TOO_SLOW (fatal) with `what`.
 */
export async function untilAnswered<T>(
  what: string,
  { signal, deadlineMs }: Waiting,
  ask: () => Promise<T | null>,
  moved: () => unknown = () => null,
): Promise<T> {
  let deadline = performance.now() + deadlineMs;
  let last = moved();
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    const now = moved();
    if (now !== last) deadline = performance.now() + deadlineMs;
    last = now;
    if (performance.now() > deadline) {
      throw new SluiceError(`${what} within ${deadlineMs / 1_000} s; what was begun goes on by itself`, {
        code: 'REPLAY_TOO_SLOW',
        action: 'fatal',
      });
    }
    await pause(POLL_MS, undefined, { signal });
  }
}
