/**
 * The source's clock: a row that the capture updates every second, read back from its topic. It moves through the WAL like
 * every other row, so a reading says: all that was committed before `position` is already in the event topics.
 */
import { Follower } from './follower.ts';
import type { LogClient, LogRecord } from './log.ts';

export interface ClockReading {
  /** Source position (LSN) of the reading. */
  readonly position: bigint;
  /** Commit time, ms since the epoch. */
  readonly timeMs: number;
}

const LOOK_BACK = 4n;

export class SourceClock {
  readonly #client: LogClient;
  readonly #topic: string;
  readonly #follower: Follower;

  constructor(
    client: LogClient,
    options: {
      readonly topic: string;
      readonly decode: (record: LogRecord) => ClockReading | null;
      /** Before the records of a fetch are decoded: loads the schemas they name. */
      readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
      /** Called with each newest reading, one at a time. */
      readonly listener: (reading: ClockReading) => Promise<void>;
      /** The topic cannot be read any more: the worker must end. */
      readonly failed: (error: unknown) => void;
    },
  ) {
    const { topic, decode, prepare, listener, failed } = options;
    this.#client = client;
    this.#topic = topic;
    this.#follower = new Follower(client, {
      ...{ topic, prepare, failed },
      fetch: { maxWaitMs: 500, maxBufferedBytes: 1 << 20 },
      each: async ({ records }) => {
        const last = records.map(decode).findLast((reading) => reading !== null);
        if (last !== undefined && last !== null) await listener(last);
      },
    });
  }

  async start(): Promise<void> {
    const earliest = (await this.#client.offsets(this.#topic, [0], 'earliest')).get(0) ?? 0n;
    const end = (await this.#client.offsets(this.#topic, [0], 'lastStable')).get(0) ?? 0n;
    this.#follower.start(end - LOOK_BACK > earliest ? end - LOOK_BACK : earliest);
  }

  async close(): Promise<void> {
    await this.#follower.close();
  }
}
