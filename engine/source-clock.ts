/**
 * The source's clock: a row that the capture updates every second, read back from its topic. It moves through the WAL like
 * every other row, so a reading says: all that was committed before `position` is already in the event topics.
 */
import type { LogClient, LogReader, LogRecord, PartitionStream } from './log.ts';

export interface ClockReading {
  /** Source position (LSN) of the reading. */
  readonly position: bigint;
  /** Commit time, ms since the epoch. */
  readonly timeMs: number;
}

const POLL_MS = 1_000;
const LOOK_BACK = 4n;

export class SourceClock {
  readonly #client: LogClient;
  readonly #topic: string;
  readonly #decode: (record: LogRecord) => ClockReading | null;
  readonly #prepare: (records: readonly LogRecord[]) => Promise<void>;
  readonly #reader: LogReader;
  readonly #listener: (reading: ClockReading) => Promise<void>;
  readonly #failed: (error: unknown) => void;
  #stream: PartitionStream | null = null;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

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
    this.#client = client;
    this.#topic = options.topic;
    this.#decode = options.decode;
    this.#prepare = options.prepare;
    this.#listener = options.listener;
    this.#failed = options.failed;
    this.#reader = client.reader({ minBytes: 1, maxWaitMs: 500, maxBufferedBytes: 1 << 20 });
  }

  async start(): Promise<void> {
    const earliest = (await this.#client.offsets(this.#topic, [0], 'earliest')).get(0) ?? 0n;
    const end = (await this.#client.offsets(this.#topic, [0], 'lastStable')).get(0) ?? 0n;
    const from = end - LOOK_BACK > earliest ? end - LOOK_BACK : earliest;
    this.#stream = this.#reader.open(this.#topic, 0, from);
    this.#running = this.#follow(this.#stream);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stream?.close();
    await this.#reader.close();
    await this.#running;
  }

  async #follow(stream: PartitionStream): Promise<void> {
    try {
      while (!this.#closed) {
        const run = await stream.next(POLL_MS);
        if (run === null) continue;
        await this.#prepare(run.records);
        const last = run.records.map((record) => this.#decode(record)).findLast((reading) => reading !== null);
        if (last !== undefined && last !== null) await this.#listener(last);
      }
    } catch (error) {
      if (!this.#closed) this.#failed(error);
    }
  }
}
