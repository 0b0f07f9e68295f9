/**
 * The log in memory, for unit tests of the engine: partitions with control records and a last stable offset, transactions with
 * epochs, committed offsets with generations. What it promises is what tests/integration/kafka shows of the real broker.
 */
import { SluiceError } from '../../engine/errors.ts';
import type {
  FetchedRun,
  LogClient,
  LogHeader,
  LogReader,
  LogRecord,
  Membership,
  OffsetAndMetadata,
  OffsetKind,
  OutputBatch,
  PartitionStream,
  TransactionalWriter,
  TransactionOffsets,
} from '../../engine/log.ts';

type TransactionState = 'open' | 'committed' | 'aborted';

interface Transaction {
  state: TransactionState;
}

type Entry =
  | { readonly kind: 'data'; readonly transaction: Transaction | null; readonly record: LogRecord }
  | { readonly kind: 'marker' };

/** Where a commit may fail. `unknown` means it took place and the answer was lost. */
export type Fault = 'before-produce' | 'after-produce' | 'unknown';

class MemoryBatch implements OutputBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: Omit<LogRecord, 'offset'>[] = [];

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get count(): number {
    return this.records.length;
  }

  append(
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: readonly LogHeader[] = [],
  ): void {
    const copy = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes));
    this.records.push({ key: copy(key), value: copy(value), timestampMs, headers });
  }
}

export class MemoryLog implements LogClient {
  readonly #partitions = new Map<string, Entry[]>();
  readonly #committed = new Map<string, OffsetAndMetadata>();
  readonly #producers = new Map<
    string,
    { epoch: number; open: { transaction: Transaction; touched: Set<string> } | null }
  >();
  readonly #streams = new Set<{ wake(): void }>();
  /** Asked before each commit; the returned fault is played. */
  fault: () => Fault | null = () => null;
  generation = 1;
  /** At most this many records in one run. */
  maxRun = 1_000_000;
  /** Whether fetches of streams that are opened from now on are answered. */
  answers = true;

  append(
    topic: string,
    partition: number,
    record: {
      key?: Buffer | null;
      value: Buffer | null;
      timestampMs?: number;
      headers?: readonly LogHeader[] | undefined;
    },
  ): bigint {
    const entries = this.#entries(topic, partition);
    const offset = BigInt(entries.length);
    const { key = null, value, timestampMs = 0, headers = [] } = record;
    entries.push({ kind: 'data', transaction: null, record: { offset, key, value, timestampMs, headers } });
    this.#wake();
    return offset;
  }

  /** What was committed with a group's offset; empty when nothing was. */
  metadata(group: string, topic: string, partition: number): string {
    return this.#committed.get(`${group}/${topic}/${partition}`)?.metadata ?? '';
  }

  /** Everything read_committed shows of a partition. */
  records(topic: string, partition: number): LogRecord[] {
    return this.#visible(topic, partition, 0n, 1e9).records as LogRecord[];
  }

  /** What compaction would leave. */
  compacted(topic: string, partition: number): Map<string, Buffer> {
    const newest = new Map<string, Buffer>();
    for (const { key, value } of this.records(topic, partition)) {
      if (key === null) continue;
      if (value === null) newest.delete(key.toString('latin1'));
      else newest.set(key.toString('latin1'), value);
    }
    return newest;
  }

  reader(): LogReader {
    return {
      open: (topic, partition, from) => this.#stream(topic, partition, from),
      close: async () => {},
    };
  }

  writer(transactionalId: string): TransactionalWriter {
    let epoch = -1;
    let broken = false;
    return {
      fence: async () => {
        const producer = this.#producers.get(transactionalId) ?? { epoch: 0, open: null };
        this.#producers.set(transactionalId, producer);
        if (producer.open !== null) this.#end(producer, 'aborted');
        producer.epoch++;
        epoch = producer.epoch;
      },
      batch: (topic, partition) => new MemoryBatch(topic, partition),
      commit: async (batches, offsets) => {
        if (broken) throw failure('PRODUCER_BROKEN');
        try {
          return await this.#commit({ transactionalId, epoch }, batches as MemoryBatch[], offsets);
        } catch (error) {
          broken = true;
          throw error;
        }
      },
      close: async () => {
        broken = true;
      },
    };
  }

  membership(group: string): Membership {
    return {
      run: async () => {},
      commit: async (generation, { topic, partition }, offset) => {
        if (generation !== this.generation) throw failure('KAFKA_ILLEGAL_GENERATION');
        this.#committed.set(`${group}/${topic}/${partition}`, offset);
      },
      stop: async () => {},
    };
  }

  async partitions(): Promise<number> {
    return 1;
  }

  async offsets(topic: string, partitions: readonly number[], kind: OffsetKind): Promise<ReadonlyMap<number, bigint>> {
    return new Map(
      partitions.map((partition) => {
        const entries = this.#entries(topic, partition);
        if (kind === 'earliest') return [partition, 0n];
        return [partition, kind === 'lastStable' ? stableEnd(entries) : BigInt(entries.length)];
      }),
    );
  }

  async committed(group: string, topic: string, partition: number): Promise<OffsetAndMetadata | null> {
    return this.#committed.get(`${group}/${topic}/${partition}`) ?? null;
  }

  async close(): Promise<void> {}

  async #commit(
    { transactionalId, epoch }: { transactionalId: string; epoch: number },
    batches: readonly MemoryBatch[],
    offsets: TransactionOffsets | null,
  ): Promise<ReadonlyMap<string, bigint>> {
    const producer = this.#producers.get(transactionalId)!;
    const fenced = () => {
      if (producer.epoch !== epoch) throw failure('KAFKA_INVALID_PRODUCER_EPOCH');
    };
    fenced();
    const fault = this.fault();
    if (fault === 'before-produce') throw failure('INJECTED');
    const open = { transaction: { state: 'open' as TransactionState }, touched: new Set<string>() };
    producer.open = open;
    const ends = new Map<string, bigint>();
    for (const batch of batches) {
      const name = `${batch.topic}-${batch.partition}`;
      const entries = this.#entries(batch.topic, batch.partition);
      for (const record of batch.records) {
        const offset = BigInt(entries.length);
        entries.push({ kind: 'data', transaction: open.transaction, record: { ...record, offset } });
      }
      open.touched.add(name);
      ends.set(name, BigInt(entries.length));
    }
    if (fault === 'after-produce') throw failure('INJECTED');
    await Promise.resolve();
    fenced();
    this.#end(producer, 'committed');
    if (offsets !== null) {
      const { group, topic, partition, offset, metadata } = offsets;
      this.#committed.set(`${group}/${topic}/${partition}`, { offset, metadata });
    }
    if (fault === 'unknown') throw failure('COMMIT_UNKNOWN');
    return ends;
  }

  #end(producer: { open: { transaction: Transaction; touched: Set<string> } | null }, state: TransactionState): void {
    const { transaction, touched } = producer.open!;
    transaction.state = state;
    for (const name of touched) this.#partitions.get(name)!.push({ kind: 'marker' });
    producer.open = null;
    this.#wake();
  }

  #entries(topic: string, partition: number): Entry[] {
    const name = `${topic}-${partition}`;
    const entries = this.#partitions.get(name) ?? [];
    this.#partitions.set(name, entries);
    return entries;
  }

  #visible(topic: string, partition: number, from: bigint, max: number): FetchedRun {
    const entries = this.#entries(topic, partition);
    const end = Number(stableEnd(entries));
    const records: LogRecord[] = [];
    let at = Number(from);
    for (; at < end && records.length < max; at++) {
      const entry = entries[at]!;
      if (entry.kind === 'data' && (entry.transaction === null || entry.transaction.state === 'committed')) {
        records.push(entry.record);
      }
    }
    return { records, from, next: BigInt(at), bytes: records.length };
  }

  #stream(topic: string, partition: number, from: bigint): PartitionStream {
    let position = from;
    let waiter: (() => void) | null = null;
    let woken = false;
    const wake = () => {
      woken = true;
      waiter?.();
    };
    const handle = { wake };
    this.#streams.add(handle);
    const entries = () => this.#entries(topic, partition);
    return {
      get highWatermark() {
        return BigInt(entries().length);
      },
      answered: this.answers,
      next: async (waitMs) => {
        let run = this.#visible(topic, partition, position, this.maxRun);
        if (run.next === position && !woken && waitMs > 0) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, waitMs);
            waiter = () => {
              clearTimeout(timer);
              resolve();
            };
          });
          waiter = null;
          run = this.#visible(topic, partition, position, this.maxRun);
        }
        woken = false;
        if (run.next === position) return null;
        position = run.next;
        return run;
      },
      wake,
      close: () => {
        this.#streams.delete(handle);
        wake();
      },
    };
  }

  #wake(): void {
    for (const stream of this.#streams) stream.wake();
  }
}

function stableEnd(entries: readonly Entry[]): bigint {
  const open = entries.findIndex((entry) => entry.kind === 'data' && entry.transaction?.state === 'open');
  return BigInt(open === -1 ? entries.length : open);
}

function failure(code: string): SluiceError {
  return new SluiceError(code, { code, action: 'reconnect' });
}
