/**
 * Reads all partitions of a topic from the beginning and goes on for as long as it is open, in no group: every process that does so sees everything. For
 * views that are kept in memory, rebuilt at each start. While the log is away it waits: what was read stays as it is.
 */
import type { Logger } from 'pino';
import { backoffMs, pause } from './backoff.ts';
import { actionOf, SluiceError } from './errors.ts';
import { Follower } from './follower.ts';
import type { FetchedRun, LogClient, LogReader, LogRecord } from './log.ts';
import { readToEnd } from './restore.ts';
import { StoppableReader } from './stoppable-reader.ts';

export interface BroadcastOptions {
  readonly topic: string;
  readonly logger: Logger;
  /** Loads the schemas that records name. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  /** Given the same run again after an error in it. */
  readonly each: (partition: number, run: FetchedRun) => void | Promise<void>;
  /** A partition is read again after this error. */
  readonly retried: (code: string) => void;
}

interface Partition {
  readonly follower: Follower;
  /** What was committed when the reading began. */
  readonly end: bigint;
  position: bigint;
  failures: number;
  /** Those among them that are not transient. */
  grave: number;
}

/** Without a run between them. */
const MAX_GRAVE_FAILURES = 20;
const RETRY = { firstMs: 50, maxMs: 5_000 } as const;
const FETCH = { minBytes: 1, maxWaitMs: 500, maxBufferedBytes: 1 << 20 } as const;

export class Broadcast {
  readonly #client: LogClient;
  readonly #options: BroadcastOptions;
  readonly #reader: LogReader;
  readonly #partitions = new Map<number, Partition>();
  readonly #closing = new AbortController();
  #failed: (error: unknown) => void = () => {};
  #expected: number | null = null;

  /** The client stays its owner's. */
  constructor(client: LogClient, options: BroadcastOptions) {
    this.#client = client;
    this.#options = options;
    this.#reader = client.reader(FETCH);
  }

  /** Runs until `close`. Rejects with what waiting does not mend. */
  async run(): Promise<void> {
    const failed = new Promise<never>((_, reject) => {
      this.#failed = reject;
    });
    const closed = new Promise<void>((resolve) => {
      if (this.#closing.signal.aborted) resolve();
      this.#closing.signal.addEventListener('abort', () => resolve());
    });
    await Promise.race([this.#start(), failed]);
    await Promise.race([closed, failed]);
  }

  /** Whether everything that was committed when the reading began is read. */
  get caughtUp(): boolean {
    if (this.#expected !== this.#partitions.size) return false;
    return [...this.#partitions.values()].every(({ position, end }) => position >= end);
  }

  /** Null until it is known. */
  get partitions(): number | null {
    return this.#expected;
  }

  get lags(): readonly { readonly partition: number; readonly lag: bigint }[] {
    return [...this.#partitions].map(([partition, { follower, position }]) => {
      const lag = follower.highWatermark - position;
      return { partition, lag: lag > 0n ? lag : 0n };
    });
  }

  /** Reads a partition from its beginning to `end` once more, beside or inside `each`. */
  async readAgain(partition: number, end: bigint, each: (records: readonly LogRecord[]) => void): Promise<void> {
    const { topic, prepare } = this.#options;
    const from = (await this.#client.offsets(topic, [partition], 'earliest')).get(partition)!;
    const reader = this.#client.reader(FETCH);
    const stoppable = new StoppableReader(reader);
    const stop = () => stoppable.stop();
    this.#closing.signal.addEventListener('abort', stop);
    try {
      if (this.#closing.signal.aborted) stop();
      await readToEnd(stoppable, { topic, partition, from, end }, async ({ records }) => {
        await prepare(records);
        each(records);
      });
    } finally {
      this.#closing.signal.removeEventListener('abort', stop);
      await stoppable.close();
      await reader.close();
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#partitions.values()].map(({ follower }) => follower.close()));
    await this.#reader.close();
  }

  async #start(): Promise<void> {
    const { topic } = this.#options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const numbers = Array.from({ length: await this.#client.partitions(topic) }, (_, partition) => partition);
        const earliest = await this.#client.offsets(topic, numbers, 'earliest');
        const ends = await this.#client.offsets(topic, numbers, 'lastStable');
        if (signal.aborted) return;
        for (const number of numbers) this.#follow(number, earliest.get(number)!, ends.get(number)!);
        this.#expected = numbers.length;
        return;
      } catch (error) {
        if (actionOf(error) === 'fatal') throw error;
        this.#note(error, { failures });
        await pause(backoffMs(failures, RETRY), signal);
      }
    }
  }

  #follow(number: number, from: bigint, end: bigint): void {
    const { topic, prepare, each } = this.#options;
    // One reader for all: the hungry partitions of a broker go into one request.
    const client = { reader: () => new StoppableReader(this.#reader) };
    const follower = new Follower(client, {
      ...{ topic, partition: number, fetch: FETCH, prepare },
      each: async (run) => {
        await each(number, run);
        partition.position = run.next;
        partition.failures = partition.grave = 0;
      },
      failed: (error) => void this.#again(number, partition, error),
    });
    const partition: Partition = { follower, end, position: from, failures: 0, grave: 0 };
    this.#partitions.set(number, partition);
    follower.start(from);
  }

  async #again(number: number, partition: Partition, error: unknown): Promise<void> {
    const { signal } = this.#closing;
    const action = actionOf(error);
    partition.failures++;
    if (action !== 'retry') partition.grave++;
    if (action === 'fatal' || partition.grave >= MAX_GRAVE_FAILURES) {
      this.#failed(error);
      return;
    }
    this.#note(error, { partition: number, failures: partition.failures });
    await pause(backoffMs(partition.failures, RETRY), signal);
    if (!signal.aborted) partition.follower.start(partition.position);
  }

  #note(error: unknown, fields: Readonly<Record<string, unknown>>): void {
    const { logger, retried, topic } = this.#options;
    const code = error instanceof SluiceError ? error.code : 'UNEXPECTED';
    retried(code);
    logger.warn({ topic, ...fields, code, err: error }, 'reads again');
  }
}
