/** Waiting, always with an end. */
import { SluiceError } from '../../../engine/errors.ts';

/** A point in time that no wait goes beyond. */
export class Deadline {
  readonly seconds: number;
  readonly #at: number;

  constructor(seconds: number) {
    this.seconds = seconds;
    this.#at = performance.now() + seconds * 1_000;
  }

  get passed(): boolean {
    return performance.now() >= this.#at;
  }
}

const POLL_MS = 200;

const pause = async () => await new Promise((resolve) => setTimeout(resolve, POLL_MS));

/**
 * Asks until `done` says what was waited for. Throws RECONCILE_DEADLINE (retry) with what `missing` says when the deadline
 * passes first.
 */
export async function until<T, R>(
  deadline: Deadline,
  wait: {
    readonly ask: () => Promise<T>;
    readonly done: (answer: T) => R | null;
    readonly missing: (answer: T) => string;
  },
): Promise<R> {
  for (;;) {
    const answer = await wait.ask();
    const result = wait.done(answer);
    if (result !== null) return result;
    if (deadline.passed) {
      throw new SluiceError(`Not there within ${deadline.seconds} s: ${wait.missing(answer)}`, {
        code: 'RECONCILE_DEADLINE',
        action: 'retry',
      });
    }
    await pause();
  }
}
