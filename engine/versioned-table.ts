/**
 * A dimension table, read whole from one topic by every worker, all versions kept by LSN.
 *
 * Invariants:
 *  - `asOf(key, lsn)` is the newest version with LSN ≤ lsn, or the oldest known one: the same answer at every replay.
 *  - After `barrier()` the table holds every row that was in the topic, committed or about to be, when it was called: an
 *    event fetched before the call never misses the row it refers to.
 */
import { withDeadline } from './backoff.ts';
import { SluiceError } from './errors.ts';
import { Follower } from './follower.ts';
import type { FetchedRun, LogClient, LogRecord } from './log.ts';

export interface TableVersion<V> {
  readonly lsn: bigint;
  /** Offset in the table's topic: the total order of versions. */
  readonly offset: bigint;
  readonly value: V;
}

/** What a record of the table's topic means; null when it changes nothing (a delete keeps the last version). */
export interface TableRow<V> {
  readonly key: string;
  readonly lsn: bigint;
  readonly value: V;
}

export interface TableChange<V> {
  readonly key: string;
  readonly version: TableVersion<V>;
}

/** The pure part: versions and the order in which they came. */
export class VersionedRows<V> {
  readonly #versions = new Map<string, TableVersion<V>[]>();
  readonly #changes: TableChange<V>[] = [];
  readonly #same: (a: V, b: V) => boolean;

  constructor(same: (a: V, b: V) => boolean) {
    this.#same = same;
  }

  /** Adds a version; one that says what the newest already says is no version (a re-snapshot, a column nobody uses). */
  apply(row: TableRow<V>, offset: bigint): void {
    const versions = this.#versions.get(row.key);
    const version = { lsn: row.lsn, offset, value: row.value };
    if (versions === undefined) {
      this.#versions.set(row.key, [version]);
      return;
    }
    if (this.#same(versions.at(-1)!.value, row.value)) return;
    versions.push(version);
    this.#changes.push({ key: row.key, version });
  }

  /** All versions of a key, in the order in which they were committed; empty when it was never seen. */
  versionsOf(key: string): readonly TableVersion<V>[] {
    return this.#versions.get(key) ?? [];
  }

  asOf(key: string, lsn: bigint): TableVersion<V> | undefined {
    const versions = this.#versions.get(key);
    if (versions === undefined) return undefined;
    for (let i = versions.length - 1; i > 0; i--) if (versions[i]!.lsn <= lsn) return versions[i];
    return versions[0];
  }

  /** The first row that got another version at or after a topic offset; first versions are not changes. */
  changeFrom(offset: bigint): TableChange<V> | undefined {
    const last = this.#changes.at(-1);
    if (last === undefined || last.version.offset < offset) return undefined;
    let low = 0;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#changes[middle]!.version.offset < offset) low = middle + 1;
      else high = middle;
    }
    return this.#changes[low];
  }

  /** The offset behind the newest change. */
  get changesEnd(): bigint {
    const last = this.#changes.at(-1);
    return last === undefined ? 0n : last.version.offset + 1n;
  }

  /** Every key, in the order in which they were first seen. */
  keys(): Iterable<string> {
    return this.#versions.keys();
  }

  get size(): number {
    return this.#versions.size;
  }
}

const BARRIER_DEADLINE_MS = 30_000;

interface Waiter {
  readonly offset: bigint;
  readonly resolve: () => void;
}

/** The table kept up to date from its topic. */
export class VersionedTable<V> {
  readonly topic: string;
  readonly rows: VersionedRows<V>;
  readonly #client: LogClient;
  readonly #decode: (record: LogRecord) => TableRow<V> | null;
  readonly #follower: Follower;
  #position: bigint | null = null;
  #waiters: Waiter[] = [];
  #failure: unknown = null;
  #onChange: () => void = () => {};

  constructor(
    client: LogClient,
    options: {
      readonly topic: string;
      readonly decode: (record: LogRecord) => TableRow<V> | null;
      /** Before the records of a fetch are decoded: loads the schemas they name. */
      readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
      readonly same: (a: V, b: V) => boolean;
      /** The topic cannot be read any more: the worker must end. */
      readonly failed: (error: unknown) => void;
    },
  ) {
    this.topic = options.topic;
    this.#client = client;
    this.#decode = options.decode;
    this.rows = new VersionedRows(options.same);
    this.#follower = new Follower(client, {
      topic: options.topic,
      fetch: { maxWaitMs: 250, maxBufferedBytes: 16 << 20 },
      prepare: options.prepare,
      each: (run) => this.#apply(run),
      failed: (error) => {
        this.#failure = error;
        for (const { resolve } of this.#waiters.splice(0)) resolve();
        options.failed(error);
      },
    });
  }

  /** The offset up to which the topic has been read. */
  get position(): bigint {
    return this.#position ?? 0n;
  }

  /** Called when rows changed; at most one listener, the worker. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** Reads all there is, then keeps reading. After an error it may be called again: it goes on where it was. */
  async start(): Promise<void> {
    this.#position ??= await this.#begin();
    this.#failure = null;
    if (!this.#follower.running) this.#follower.start(this.#position);
    await this.barrier();
  }

  async #begin(): Promise<bigint> {
    const partitions = await this.#client.partitions(this.topic);
    if (partitions !== 1) {
      throw new SluiceError(`Table topic ${this.topic} has ${partitions} partitions; a table needs one total order`, {
        code: 'TABLE_PARTITIONS',
        action: 'fatal',
      });
    }
    return (await this.#client.offsets(this.topic, [0], 'earliest')).get(0) ?? 0n;
  }

  async barrier(): Promise<void> {
    const end = (await this.#client.offsets(this.topic, [0], 'highWatermark')).get(0) ?? 0n;
    if (this.#failure !== null) throw this.#failure;
    if (this.position >= end) return;
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    const waiter = { offset: end, resolve };
    this.#waiters.push(waiter);
    await withDeadline(reached, BARRIER_DEADLINE_MS, () => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      return new SluiceError(`Table ${this.topic} did not reach offset ${end} (at ${this.position})`, {
        code: 'BARRIER_TIMEOUT',
        action: 'reconnect',
      });
    });
    if (this.#failure !== null) throw this.#failure;
  }

  async close(): Promise<void> {
    await this.#follower.close();
  }

  #apply(run: FetchedRun): void {
    for (const record of run.records) {
      const row = this.#decode(record);
      if (row !== null) this.rows.apply(row, record.offset);
    }
    this.#position = run.next;
    this.#release();
    this.#onChange();
  }

  #release(): void {
    const ready = this.#waiters.filter(({ offset }) => offset <= this.position);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter(({ offset }) => offset > this.position);
    for (const { resolve } of ready) resolve();
  }
}
