/**
 * The life of a sink's task, one input partition:
 *
 *   position ► [pending range again | rebuild] ► run: gather ► [commit pending range] ► write ► commit ─┐
 *      ▲                                          ▲────────────────────────────────────────────────────┘
 *      └── any error, or a target that has lost its data: the next opening begins here
 *
 * Invariant (`pending-range`): the target never sees two different batches that cover one offset. The range is committed to
 * Kafka, in this member's generation, before it is written; whoever comes next writes exactly that range again.
 */
import { deadLetterHeaders } from './dead-letter.ts';
import { SluiceError } from './errors.ts';
import type { Assignment, LogClient, LogReader, LogRecord, Membership, PartitionStream } from './log.ts';
import { readToEnd } from './restore.ts';
import type { Sink, SinkBatch, SinkRecord, TopicPartition } from './sink.ts';
import type { TaskMetrics } from './stage-task.ts';

export type SinkStep = 'positioned' | 'gathered' | 'announced' | 'written' | 'committed';

export interface SinkDefinition<T> {
  /** Consumer group. */
  readonly name: string;
  readonly input: string;
  readonly dlq: string;
  readonly sink: Sink<T>;
  /** Before fetched records are decoded: loads the schemas they name. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  /** Throws a SluiceError with action `dead-letter` for a value that cannot be decoded. */
  readonly decode: (value: Buffer) => T;
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
  readonly probe?: (step: SinkStep) => void;
}

/** The offset's metadata while a range is being written. */
interface PendingRange {
  readonly to: bigint;
  readonly generation: number;
}

const IDLE_MS = 1_000;

export class SinkTask<T> {
  readonly #options: SinkTaskOptions<T>;
  readonly #at: TopicPartition;
  #stopped = false;
  #stream: PartitionStream | null = null;
  #position = 0n;
  /** Read but not yet written. */
  #gathered: LogRecord[] = [];
  #gatheredTo = 0n;
  #progressAt = 0;
  #streamTimeMs = 0;

  constructor(options: SinkTaskOptions<T>) {
    this.#options = options;
    this.#at = { topic: options.definition.input, partition: options.partition };
  }

  get lag(): bigint {
    const lag = (this.#stream?.highWatermark ?? 0n) - this.#position;
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
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#stream?.wake();
  }

  async #open(): Promise<void> {
    const { definition, client, input, partition, probe } = this.#options;
    const committed = await client.committed(definition.name, definition.input, partition);
    const earliest = (await client.offsets(definition.input, [partition], 'earliest')).get(partition) ?? 0n;
    const where = await definition.sink.position({ ...this.#at, generation: definition.generation });
    switch (where.kind) {
      case 'committed':
        this.#position = committed?.offset ?? earliest;
        await this.#finishPending(parsePending(committed?.metadata ?? ''));
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
    this.#progressAt = performance.now();
  }

  /** A predecessor announced a range and may or may not have written it: exactly that range again. */
  async #finishPending(pending: PendingRange | null): Promise<void> {
    if (pending === null) return;
    const records: LogRecord[] = [];
    const range = { ...this.#at, from: this.#position, end: pending.to };
    await readToEnd(this.#options.restore, range, (run) => {
      for (const record of run.records) records.push(record);
    });
    const { batch } = this.#decodeAll(records, {
      from: this.#position,
      to: pending.to,
      generation: pending.generation,
    });
    await this.#write(batch, true);
    await this.#commit(pending.to, '');
    this.#position = pending.to;
  }

  async #rebuild(earliest: bigint): Promise<bigint> {
    const { definition, client, restore, partition } = this.#options;
    const { sink, generation } = definition;
    if (sink.rebuild === undefined) {
      throw new SluiceError(`${sink.name} asks for a rebuild but cannot do one`, {
        code: 'NO_REBUILD',
        action: 'fatal',
      });
    }
    const end = (await client.offsets(definition.input, [partition], 'lastStable')).get(partition) ?? earliest;
    const newest = new Map<string, LogRecord>();
    await readToEnd(restore, { ...this.#at, from: earliest, end }, (run) => {
      for (const record of run.records) {
        const key = record.key?.toString('latin1') ?? '';
        newest.delete(key);
        if (record.value !== null) newest.set(key, record);
      }
    });
    await definition.prepare([...newest.values()]);
    const { batch } = this.#decodeAll([...newest.values()], { from: earliest, to: end, generation });
    await sink.rebuild(batch);
    await this.#commit(end, '');
    return end;
  }

  async #turn(): Promise<void> {
    const run = await this.#stream!.next(IDLE_MS);
    this.#progressAt = performance.now();
    if (run === null || this.#stopped) return;
    await this.#options.definition.prepare(run.records);
    for (const record of run.records) this.#gathered.push(record);
    this.#gatheredTo = run.next;
    this.#options.probe?.('gathered');
    await this.#drain();
  }

  /** Writes what is gathered, batch by batch, as far as the sink's boundary allows. */
  async #drain(): Promise<void> {
    const { definition } = this.#options;
    const { sink, maxRecords, generation } = definition;
    while (!this.#stopped) {
      const all = this.#gathered.length <= maxRecords;
      const slice = all ? this.#gathered : this.#gathered.slice(0, maxRecords);
      const to = all ? this.#gatheredTo : this.#gathered[maxRecords]!.offset;
      const { batch, letters } = this.#decodeAll(slice, { from: this.#position, to, generation });
      const cut = this.#boundary(batch, letters.length);
      if (cut === null) return;
      await this.#deliver(cut, letters);
      this.#gathered = this.#gathered.filter((record) => record.offset >= cut.to);
      if (this.#gathered.length === 0 || sink.boundary !== undefined) return;
    }
  }

  /** The part of a batch that may be written now; null to wait for more. */
  #boundary(batch: SinkBatch<T>, letters: number): SinkBatch<T> | null {
    const { sink, maxRecords } = this.#options.definition;
    const { records } = batch;
    if (records.length === 0 && letters === 0) {
      // Only control records: the position moves, the commit waits for data.
      this.#position = batch.to;
      return null;
    }
    if (sink.boundary === undefined || letters > 0) return batch;
    const count = sink.boundary(records);
    if (count === records.length) return batch;
    if (count === 0) return records.length >= maxRecords ? batch : null;
    return { ...batch, records: records.slice(0, count), to: records[count]!.offset };
  }

  async #deliver(batch: SinkBatch<T>, letters: readonly Letter[]): Promise<void> {
    const { definition, metrics, probe } = this.#options;
    const started = performance.now();
    if (definition.sink.delivery === 'pending-range') {
      await this.#commit(batch.from, formatPending({ to: batch.to, generation: batch.generation }));
      probe?.('announced');
    }
    try {
      await this.#write(batch, false);
    } catch (error) {
      if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
      await this.#isolate(batch, { letters, error });
      return;
    }
    probe?.('written');
    if (letters.length > 0) await this.#deadLetter(letters, batch.to);
    else await this.#commit(batch.to, '');
    probe?.('committed');
    this.#position = batch.to;
    metrics.records(batch.records.length);
    metrics.transaction((performance.now() - started) / 1000);
    const last = batch.records.at(-1);
    if (last?.kind === 'upsert') {
      this.#streamTimeMs = Math.max(this.#streamTimeMs, definition.streamTimeMs(last.value));
    }
  }

  /** The target refuses the batch's content and has written none of it: halved until the record at fault stands alone. */
  async #isolate(
    batch: SinkBatch<T>,
    { letters, error }: { readonly letters: readonly Letter[]; readonly error: SluiceError },
  ): Promise<void> {
    const { records } = batch;
    if (records.length === 1) {
      const record = this.#gathered.find(({ offset }) => offset === records[0]!.offset)!;
      await this.#deadLetter([...letters, { record, error }], batch.to);
      this.#position = batch.to;
      return;
    }
    const middle = records.length >>> 1;
    const cut = records[middle]!.offset;
    await this.#deliver({ ...batch, records: records.slice(0, middle), to: cut }, []);
    await this.#deliver({ ...batch, records: records.slice(middle), from: cut }, letters);
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
  ): { batch: SinkBatch<T>; letters: readonly Letter[] } {
    const decoded: SinkRecord<T>[] = [];
    const letters: Letter[] = [];
    for (const record of records) {
      if (record.offset < range.from || record.offset >= range.to) continue;
      try {
        const one = this.#decode(record);
        if (one !== null) decoded.push(one);
      } catch (error) {
        if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
        letters.push({ record, error });
      }
    }
    return { batch: { ...this.#at, ...range, records: decoded }, letters };
  }

  #decode(record: LogRecord): SinkRecord<T> | null {
    const { offset, key, value } = record;
    if (value !== null) return { kind: 'upsert', offset, key, value: this.#options.definition.decode(value) };
    return key === null ? null : { kind: 'tombstone', offset, key };
  }

  /** The letters and the offset behind their batch, in one transaction. */
  async #deadLetter(letters: readonly Letter[], next: bigint): Promise<void> {
    const { definition, client, partition, metrics } = this.#options;
    const writer = client.writer(`${definition.name}-dlq-${partition}`);
    try {
      await writer.fence();
      const output = writer.batch(definition.dlq, 0);
      for (const { record, error } of letters) {
        const letter = { reason: error.code, message: error.message, stage: definition.name, ...this.#at };
        output.append(record.key, record.value, record.timestampMs, deadLetterHeaders(record, letter));
        metrics.deadLetters(error.code);
      }
      await writer.commit([output], { group: definition.name, ...this.#at, offset: next, metadata: '' });
    } finally {
      await writer.close();
    }
  }

  async #commit(offset: bigint, metadata: string): Promise<void> {
    const { membership, assignment } = this.#options;
    await membership.commit(assignment.generation, this.#at, { offset, metadata });
  }
}

interface Letter {
  readonly record: LogRecord;
  readonly error: SluiceError;
}

function formatPending(pending: PendingRange): string {
  return JSON.stringify({ to: String(pending.to), generation: pending.generation });
}

function parsePending(metadata: string): PendingRange | null {
  if (metadata === '') return null;
  const { to, generation } = JSON.parse(metadata) as { to: string; generation: number };
  return { to: BigInt(to), generation };
}
