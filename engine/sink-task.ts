/**
 * The life of a sink's task, one input partition:
 *
 *   fence ► position ► [pending range again | rebuild] ► run: gather ► [commit pending range] ► write ► commit ─┐
 *     ▲                                                   ▲────────────────────────────────────────────────────┘
 *     └── any error, or a target that has lost its data: the next opening begins here
 *
 * Invariant (`pending-range`): the target never sees two different batches that cover one offset. The range is committed to
 * Kafka, in this member's generation, before it is written; whoever comes next writes exactly that range again.
 */
import { SluiceError } from './errors.ts';
import type { Assignment, LogClient, LogReader, LogRecord, Membership, PartitionStream } from './log.ts';
import { readToEnd } from './restore.ts';
import type { Sink, SinkBatch, SinkRecord, TopicPartition } from './sink.ts';
import { before, type Decoded, isolate } from './sink-isolation.ts';
import { type Letter, type PendingRange, SinkLedger } from './sink-ledger.ts';
import type { TaskMetrics } from './stage-task.ts';
import { StoppableReader } from './stoppable-reader.ts';

export type SinkStep = 'positioned' | 'gathered' | 'announced' | 'written' | 'committed';

export interface SinkDefinition<T> {
  /** Consumer group. */
  readonly name: string;
  readonly input: string;
  readonly dlq: string;
  readonly sink: Sink<T>;
  /** Before a partition is opened: mends what the target has missed for good. */
  readonly opening?: (at: TopicPartition) => Promise<void>;
  /** Before fetched records are decoded: loads the schemas they name. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  /**
   * `timestampMs` is the record's own time (of a stage's output its stream time), ms since the epoch. Throws a SluiceError with action
   * `dead-letter` for a value that cannot be decoded.
   */
  readonly decode: (value: Buffer, timestampMs: number) => T;
  /** Source commit time that a value carries, ms, for freshness; 0 when it carries none. */
  readonly streamTimeMs: (value: T) => number;
  readonly generation: number;
  readonly maxRecords: number;
}

export interface SinkTaskOptions<T> {
  readonly definition: SinkDefinition<T>;
  readonly assignment: Assignment;
  readonly partition: number;
  readonly client: LogClient;
  readonly membership: Membership;
  readonly input: LogReader;
  readonly restore: LogReader;
  readonly metrics: TaskMetrics;
  /** The target has taken a batch, or it is open and there is nothing to write. */
  readonly succeeded?: () => void;
  readonly probe?: (step: SinkStep) => void;
}

const IDLE_MS = 1_000;

export class SinkTask<T> {
  readonly #options: SinkTaskOptions<T>;
  readonly #at: TopicPartition;
  readonly #ledger: SinkLedger;
  readonly #restore: StoppableReader;
  #stopped = false;
  #stream: PartitionStream | null = null;
  #position = 0n;
  /** The input's end as it was last seen without a stream. */
  #end = 0n;
  /** Read but not yet written. */
  #gathered: LogRecord[] = [];
  #gatheredTo = 0n;
  #progressAt = 0;
  #streamTimeMs = 0;

  constructor(options: SinkTaskOptions<T>) {
    this.#options = options;
    const { definition, client, membership, assignment, partition } = options;
    const { name, input, dlq, sink } = definition;
    this.#at = { topic: input, partition };
    this.#restore = new StoppableReader(options.restore);
    this.#ledger = new SinkLedger({ name, dlq, delivery: sink.delivery, client, membership, assignment, at: this.#at });
  }

  get lag(): bigint {
    const lag = (this.#stream?.highWatermark || this.#end) - this.#position;
    return lag > 0n ? lag : 0n;
  }

  get streamTimeMs(): number {
    return this.#streamTimeMs;
  }

  get progressAt(): number {
    return this.#progressAt;
  }

  async run(): Promise<void> {
    try {
      await this.#open();
      while (!this.#stopped) await this.#turn();
    } finally {
      this.#stream?.close();
      this.#stream = null;
      this.#progressAt = 0;
      await this.#ledger.close();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#restore.stop();
    this.#stream?.wake();
  }

  async look(): Promise<void> {
    const { definition, client, partition } = this.#options;
    this.#end = (await client.offsets(definition.input, [partition], 'highWatermark')).get(partition) ?? this.#end;
  }

  async #open(): Promise<void> {
    const { definition, client, input, partition, probe } = this.#options;
    const { offset, pending } = await this.#ledger.open();
    const earliest = (await client.offsets(definition.input, [partition], 'earliest')).get(partition) ?? 0n;
    this.#position = offset ?? earliest;
    await definition.opening?.(this.#at);
    const where = await definition.sink.position({ ...this.#at, generation: definition.generation });
    switch (where.kind) {
      case 'committed':
        await this.#finishPending(pending);
        break;
      case 'offset':
        this.#position = where.offset > earliest ? where.offset : earliest;
        break;
      case 'rebuild':
        this.#position = await this.#rebuild(earliest);
        break;
      default:
        where satisfies never;
    }
    probe?.('positioned');
    this.#gathered = [];
    this.#gatheredTo = this.#position;
    this.#stream = input.open(definition.input, partition, this.#position);
  }

  /** A predecessor announced a range and may or may not have written it: exactly that range again. */
  async #finishPending(pending: PendingRange | null): Promise<void> {
    if (pending === null) return;
    const { definition } = this.#options;
    this.#gathered = [];
    const range = { ...this.#at, from: this.#position, end: pending.to };
    await readToEnd(this.#restore, range, async (run) => {
      await definition.prepare(run.records);
      for (const record of run.records) this.#gathered.push(record);
    });
    const { to, generation } = pending;
    await this.#complete(this.#decodeAll(this.#gathered, { from: this.#position, to, generation }), true);
  }

  /** The newest sound record of every key: what a target that had seen everything would hold. */
  async #rebuild(earliest: bigint): Promise<bigint> {
    const { definition, client, partition } = this.#options;
    const { sink, generation } = definition;
    if (sink.rebuild === undefined) {
      throw new SluiceError(`${sink.name} asks for a rebuild but cannot do one`, {
        code: 'NO_REBUILD',
        action: 'fatal',
      });
    }
    const end = (await client.offsets(definition.input, [partition], 'lastStable')).get(partition) ?? earliest;
    const newest = new Map<string, SinkRecord<T>>();
    const letters: Letter[] = [];
    await readToEnd(this.#restore, { ...this.#at, from: earliest, end }, async (run) => {
      await definition.prepare(run.records);
      const decoded = this.#decodeAll(run.records, { from: run.from, to: run.next, generation });
      letters.push(...decoded.letters);
      for (const record of decoded.batch.records) {
        const key = Buffer.from(record.key ?? []).toString('latin1');
        newest.delete(key);
        if (record.kind === 'upsert') newest.set(key, record);
      }
    });
    // The letters first, as in `#complete`: once rebuilt, the target may say that it has seen everything.
    if (letters.length > 0) await this.#settle(letters, earliest, end);
    await sink.rebuild({ ...this.#at, from: earliest, to: end, generation, records: [...newest.values()] });
    await this.#settle([], end);
    return end;
  }

  async #turn(): Promise<void> {
    const run = await this.#stream!.next(IDLE_MS);
    const alive = this.#stream!.answered;
    if (alive) this.#progressAt = performance.now();
    if (this.#stopped) return;
    if (run === null) {
      if (alive) this.#options.succeeded?.();
      return;
    }
    await this.#options.definition.prepare(run.records);
    for (const record of run.records) this.#gathered.push(record);
    this.#gatheredTo = run.next;
    this.#options.probe?.('gathered');
    await this.#drain();
  }

  /** Writes what is gathered, batch by batch, as far as the sink's boundary allows. */
  async #drain(): Promise<void> {
    const { maxRecords, generation } = this.#options.definition;
    while (!this.#stopped && this.#position < this.#gatheredTo) {
      const all = this.#gathered.length <= maxRecords;
      const slice = all ? this.#gathered : this.#gathered.slice(0, maxRecords);
      const to = all ? this.#gatheredTo : this.#gathered[maxRecords]!.offset;
      const decoded = this.#decodeAll(slice, { from: this.#position, to, generation });
      const cut = this.#cut(decoded, slice.length >= maxRecords);
      if (cut === null) return;
      await this.#deliver(cut);
      this.#gathered = this.#gathered.filter((record) => record.offset >= cut.batch.to);
    }
  }

  /** The part that may be written now; null to wait for more. A full slice is written even without a boundary. */
  #cut({ batch, letters }: Decoded<T>, full: boolean): Decoded<T> | null {
    const { sink } = this.#options.definition;
    const { records } = batch;
    if (sink.boundary === undefined || records.length === 0) return { batch, letters };
    const count = sink.boundary(records);
    if (count === records.length) return { batch, letters };
    if (count === 0) return full ? { batch, letters } : null;
    return before({ batch, letters }, count);
  }

  async #deliver({ batch, letters }: Decoded<T>): Promise<void> {
    if (batch.records.length === 0 && letters.length === 0) {
      // Only control records: the position moves, the commit waits for data.
      this.#position = batch.to;
      return;
    }
    await this.#announce(batch);
    await this.#complete({ batch, letters }, false);
  }

  async #announce({ from, to, generation }: SinkBatch<T>): Promise<void> {
    const { definition, probe } = this.#options;
    if (definition.sink.delivery !== 'pending-range') return;
    await this.#ledger.announce(from, { to, generation });
    probe?.('announced');
  }

  /** Writes an announced batch and commits what is behind it; what the target refuses of it gets its letter. */
  async #complete(decoded: Decoded<T>, retry: boolean): Promise<void> {
    const refusal = await this.#attempt(decoded, retry);
    if (refusal === null) return;
    // Where the target keeps the position, the letters are written before the batch.
    const letters = this.#options.definition.sink.delivery === 'target' ? [] : decoded.letters;
    await isolate({ ...decoded, letters }, refusal, {
      attempt: async (part) => {
        await this.#announce(part.batch);
        return await this.#attempt(part, false);
      },
      refuse: (part, error) => this.#refuse(part, error),
    });
  }

  /**
   * Writes a batch and commits what is behind it; the error when the target refuses its content and has written none of it.
   * The letters: where the target keeps the position itself, a crash behind the write would lose them, so they come first.
   */
  async #attempt({ batch, letters }: Decoded<T>, retry: boolean): Promise<SluiceError | null> {
    const { definition, metrics, probe } = this.#options;
    const started = performance.now();
    const first = definition.sink.delivery === 'target' && letters.length > 0;
    if (first) await this.#settle(letters, batch.from, batch.to);
    try {
      await this.#write(batch, retry);
    } catch (error) {
      if (error instanceof SluiceError && error.action === 'dead-letter') return error;
      throw error;
    }
    probe?.('written');
    await this.#settle(first ? [] : letters, batch.to);
    probe?.('committed');
    this.#position = batch.to;
    const last = batch.records.at(-1);
    if (last === undefined) return null;
    if (last.kind === 'upsert') {
      this.#streamTimeMs = Math.max(this.#streamTimeMs, definition.streamTimeMs(last.value));
    }
    metrics.records(batch.records.length);
    metrics.transaction((performance.now() - started) / 1000);
    this.#options.succeeded?.();
    return null;
  }

  async #refuse({ batch, letters }: Decoded<T>, error: SluiceError): Promise<void> {
    const record = this.#gathered.find(({ offset }) => offset === batch.records[0]!.offset)!;
    const refused = this.#ledger.hasSettled(record.offset) ? [] : [{ record, error: refusedByTarget(error) }];
    await this.#settle([...letters, ...refused], batch.to);
    this.#position = batch.to;
  }

  async #write(batch: SinkBatch<T>, retry: boolean): Promise<void> {
    const { sink } = this.#options.definition;
    if (batch.records.length === 0) return;
    const outcome = await sink.write(batch, { retry });
    switch (outcome) {
      case 'written':
      case 'stale':
        return;
      case 'lost':
        throw new SluiceError(`${sink.name} has lost its data; starting the partition again`, {
          code: 'SINK_LOST_DATA',
          action: 'reconnect',
        });
      default:
        outcome satisfies never;
    }
  }

  #decodeAll(
    records: readonly LogRecord[],
    range: { readonly from: bigint; readonly to: bigint; readonly generation: number },
  ): Decoded<T> {
    const decoded: SinkRecord<T>[] = [];
    const letters: Letter[] = [];
    for (const record of records) {
      if (record.offset < range.from || record.offset >= range.to) continue;
      try {
        const one = this.#decode(record);
        if (one !== null) decoded.push(one);
      } catch (error) {
        if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
        if (!this.#ledger.hasLetter(record.offset)) letters.push({ record, error });
      }
    }
    return { batch: { ...this.#at, ...range, records: decoded }, letters };
  }

  #decode(record: LogRecord): SinkRecord<T> | null {
    const { offset, timestampMs, key, value } = record;
    const { decode, sink } = this.#options.definition;
    if (value === null) return key === null ? null : { kind: 'tombstone', offset, key };
    const decoded = { kind: 'upsert', offset, key, value: decode(value, timestampMs) } as const;
    try {
      sink.check?.(decoded);
    } catch (error) {
      throw error instanceof SluiceError && error.action === 'dead-letter' ? refusedByTarget(error) : error;
    }
    return decoded;
  }

  async #settle(letters: readonly Letter[], upTo: bigint, lettered = upTo): Promise<void> {
    await this.#ledger.settle(letters, upTo, lettered);
    for (const { error } of letters) this.#options.metrics.deadLetters(error.code);
  }
}

/** One reason for all targets; what this one has against the record is in the message, with its vendor's code. */
function refusedByTarget(error: SluiceError): SluiceError {
  return new SluiceError(`${error.code}: ${error.message}`, {
    code: 'SINK_REFUSED',
    action: 'dead-letter',
    cause: error,
  });
}
