/** How far the partitions of a topic have come, by the newest as-of stamp in each: read from the end backwards, then onwards. */
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';

export interface Stamp {
  readonly lsn: Lsn;
  /** Candles that end at or before it are final; only of `prices.candles`. */
  readonly finalTo: number;
}

export interface StampedTopic {
  readonly topic: string;
  readonly partitions: number;
  prepare(records: readonly LogRecord[]): Promise<void>;
  /** Null for a record that is none. */
  stampOf(record: LogRecord): Stamp | null;
}

/** Records read backwards at first. */
const TAIL = 2_000n;

export class Stamps {
  readonly #client: LogClient;
  readonly #topic: StampedTopic;
  readonly #newest = new Map<number, Stamp>();
  readonly #next = new Map<number, bigint>();

  constructor(client: LogClient, topic: StampedTopic) {
    this.#client = client;
    this.#topic = topic;
  }

  /** The newest stamps once all are of this position or a later one. Throws RECONCILE_DEADLINE (retry). */
  async passed(lsn: Lsn, deadline: Deadline): Promise<ReadonlyMap<number, Stamp>> {
    const { topic } = this.#topic;
    const partitions = this.#partitions();
    const behind = () => partitions.filter((partition) => (this.#newest.get(partition)?.lsn ?? -1n) < lsn);
    return await until(deadline, {
      ask: async () => await this.#follow(),
      done: () => (behind().length === 0 ? this.#newest : null),
      missing: () =>
        behind()
          .map((partition) => {
            const stamp = this.#newest.get(partition);
            const at = stamp === undefined ? 'no stamp' : `at ${formatLsn(stamp.lsn)}`;
            return `${topic}, partition ${partition}: ${at}, wanted ${formatLsn(lsn)}`;
          })
          .join('; '),
    });
  }

  async #follow(): Promise<void> {
    const { topic } = this.#topic;
    const ends = await this.#client.offsets(topic, this.#partitions(), 'lastStable');
    for (const [partition, end] of ends) {
      const next = this.#next.get(partition);
      if (next === undefined) await this.#backwards(partition, end);
      else await this.#read(partition, next, end);
      this.#next.set(partition, end);
    }
  }

  async #backwards(partition: number, end: bigint): Promise<void> {
    const { topic } = this.#topic;
    const earliest = (await this.#client.offsets(topic, [partition], 'earliest')).get(partition) ?? 0n;
    let to = end;
    for (let size = TAIL; to > earliest && !this.#newest.has(partition); size *= 8n) {
      const from = to - size > earliest ? to - size : earliest;
      await this.#read(partition, from, to);
      to = from;
    }
  }

  async #read(partition: number, from: bigint, end: bigint): Promise<void> {
    const { topic } = this.#topic;
    const reader = this.#client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 8 << 20 });
    try {
      await readToEnd(reader, { topic, partition, from, end }, async ({ records }) => {
        await this.#topic.prepare(records);
        for (const record of records) {
          const stamp = this.#topic.stampOf(record);
          if (stamp !== null) this.#newest.set(partition, stamp);
        }
      });
    } finally {
      await reader.close();
    }
  }

  #partitions(): readonly number[] {
    return Array.from({ length: this.#topic.partitions }, (_, partition) => partition);
  }
}
