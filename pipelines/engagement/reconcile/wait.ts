/** Waiting for sinks, always with an end. */
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { Progress, Warehouse } from './warehouse.ts';

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

/** Until ClickHouse holds everything of each partition that Postgres committed before `lsn`. */
export async function untilWarehousePassed(
  warehouse: Warehouse,
  target: { readonly lsn: Lsn; readonly partitions: number },
  deadline: Deadline,
): Promise<ReadonlyMap<number, Progress>> {
  const partitions = Array.from({ length: target.partitions }, (_, partition) => partition);
  const behind = (progress: ReadonlyMap<number, Progress>) =>
    partitions.filter((partition) => (progress.get(partition)?.lsn ?? -1n) < target.lsn);
  return await until(deadline, {
    ask: async () => await warehouse.progress(),
    done: (progress) => (behind(progress).length === 0 ? progress : null),
    missing: (progress) =>
      behind(progress)
        .map((partition) => {
          const at = progress.get(partition);
          const where = at === undefined ? 'not started' : `at ${formatLsn(at.lsn)}`;
          return `ClickHouse, partition ${partition}: ${where}, wanted ${formatLsn(target.lsn)}`;
        })
        .join('; '),
  });
}

/** Until ClickHouse has written `engagement.changes` up to the given offsets. */
export async function untilWarehouseWrote(
  warehouse: Warehouse,
  offsets: ReadonlyMap<number, bigint>,
  deadline: Deadline,
): Promise<void> {
  const behind = (progress: ReadonlyMap<number, Progress>) =>
    [...offsets].filter(([partition, offset]) => (progress.get(partition)?.nextOffset ?? 0n) < offset);
  await until(deadline, {
    ask: async () => await warehouse.progress(),
    done: (progress) => (behind(progress).length === 0 ? true : null),
    missing: (progress) =>
      behind(progress)
        .map(
          ([partition, offset]) =>
            `ClickHouse, partition ${partition}: at offset ${progress.get(partition)?.nextOffset ?? 'none'}, wanted ${offset}`,
        )
        .join('; '),
  });
}

const SETTLE_POLLS = 8;

/**
 * Gives a batch that was being written while `before` was read the time to be complete: until some partition has gone on, or
 * nothing is left to write, or for about one and a half seconds. Says whether anything moved.
 */
export async function hasMoved(
  warehouse: Warehouse,
  before: ReadonlyMap<number, Progress>,
  changesEnd: () => Promise<ReadonlyMap<number, bigint>>,
): Promise<boolean> {
  for (let poll = 0; poll < SETTLE_POLLS; poll++) {
    const ends = await changesEnd();
    const progress = await warehouse.progress();
    for (const [partition, { nextOffset }] of progress) {
      if (nextOffset !== before.get(partition)?.nextOffset) return true;
    }
    if ([...ends].every(([partition, end]) => (progress.get(partition)?.nextOffset ?? 0n) >= end)) return false;
    await pause();
  }
  return false;
}
