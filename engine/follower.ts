/** Reads one partition for as long as it is open: what feeds a table, the source clock and a broadcast. */
import { backoffMs, pause } from './backoff.ts';
import { actionOf } from './errors.ts';
import type { FetchedRun, LogClient, LogReader, LogRecord, PartitionStream, ReaderOptions } from './log.ts';

export interface FollowerOptions {
  readonly topic: string;
  /** 0 when not given. */
  readonly partition?: number;
  readonly fetch: Omit<ReaderOptions, 'minBytes'>;
  /** Before the records of a fetch are handed over: loads the schemas they name. Tried again while the registry is away. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  readonly each: (run: FetchedRun) => void | Promise<void>;
  /** Nothing more will come. `start` may be called again. */
  readonly failed: (error: unknown) => void;
}

const POLL_MS = 1_000;
const RETRY = { firstMs: 100, maxMs: 5_000 } as const;

export class Follower {
  readonly #options: FollowerOptions;
  readonly #reader: LogReader;
  readonly #closing = new AbortController();
  #stream: PartitionStream | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(client: Pick<LogClient, 'reader'>, options: FollowerOptions) {
    this.#options = options;
    this.#reader = client.reader({ minBytes: 1, ...options.fetch });
  }

  get running(): boolean {
    return this.#stream !== null;
  }

  /** The end of the partition as it was last seen. */
  get highWatermark(): bigint {
    return this.#stream?.highWatermark ?? 0n;
  }

  start(from: bigint): void {
    const stream = this.#reader.open(this.#options.topic, this.#options.partition ?? 0, from);
    this.#stream = stream;
    this.#running = this.#follow(stream);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#stream?.close();
    await this.#reader.close();
    await this.#running;
  }

  async #follow(stream: PartitionStream): Promise<void> {
    const { signal } = this.#closing;
    try {
      while (!signal.aborted) {
        const run = await stream.next(POLL_MS);
        if (run === null) continue;
        await this.#prepare(run.records);
        if (!signal.aborted) await this.#options.each(run);
      }
    } catch (error) {
      stream.close();
      this.#stream = null;
      if (!signal.aborted) this.#options.failed(error);
    }
  }

  async #prepare(records: readonly LogRecord[]): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#options.prepare(records);
        return;
      } catch (error) {
        if (actionOf(error) !== 'retry') throw error;
        await pause(backoffMs(failures, RETRY), signal);
      }
    }
  }
}
