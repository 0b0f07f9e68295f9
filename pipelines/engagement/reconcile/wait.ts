/** Waiting for sinks, always with an end. */
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';
import type { Progress, Warehouse } from './warehouse.ts';

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

/** Tells what may still be on its way from what is wrong. */
export class Settling {
  readonly #warehouse: Warehouse;
  readonly #changesEnd: () => Promise<ReadonlyMap<number, bigint>>;
  readonly #deadline: () => Deadline;
  #last: ReadonlyMap<number, Progress>;

  /** `last`: the progress before the first look. */
  constructor(
    warehouse: Warehouse,
    options: {
      readonly changesEnd: () => Promise<ReadonlyMap<number, bigint>>;
      readonly deadline: () => Deadline;
      readonly last: ReadonlyMap<number, Progress>;
    },
  ) {
    this.#warehouse = warehouse;
    this.#changesEnd = options.changesEnd;
    this.#deadline = options.deadline;
    this.#last = options.last;
  }

  /**
   * Waits until the log holds everything that any table showed when this was called: a batch comes to one table before
   * another. Says whether anything was written since the last time.
   */
  async settle(): Promise<boolean> {
    await untilWarehouseWrote(this.#warehouse, await this.#changesEnd(), this.#deadline());
    const now = await this.#warehouse.progress();
    const last = this.#last;
    this.#last = now;
    return [...now].some(([partition, { nextOffset }]) => nextOffset !== last.get(partition)?.nextOffset);
  }
}
