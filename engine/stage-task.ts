/**
 * The life of a stage's task, one input partition:
 *
 *   fence ► position ► restore ► run: gather ► barrier ► process ► transaction ► apply ─┐
 *     ▲                            ▲──────────────────────────────────────────────────┘
 *     └── any error: everything local is dropped, the next opening begins at the fence
 *
 * There is one way back for a crash, an aborted transaction, a fenced producer and a commit of unknown outcome: open again.
 * Invariant: a commit moves the input offset by exactly the records whose outputs it contains.
 */

import { pause } from './backoff.ts';
import { appendDeadLetter } from './dead-letter.ts';
import { SluiceError } from './errors.ts';
import type {
  FetchedRun,
  LogClient,
  LogReader,
  LogRecord,
  OutputBatch,
  PartitionStream,
  TransactionalWriter,
} from './log.ts';
import type { ClockReading } from './source-clock.ts';
import type { CheckpointedStage, Emit, ViewStage } from './stage.ts';
import { StoppableReader } from './stoppable-reader.ts';
import { openCheckpointedState, openViewState, type TaskState } from './task-state.ts';

/** The steps of a task's life; tests crash it after each. */
export type TaskStep = 'fenced' | 'positioned' | 'restored' | 'gathered' | 'processed' | 'committed' | 'applied';

export interface TaskMetrics {
  records(count: number): void;
  deadLetters(reason: string): void;
  transaction(seconds: number): void;
}

export interface StageMetrics extends TaskMetrics {
  /** A commit failed, or nobody knows whether it did. */
  aborted(): void;
}

export interface StageTaskOptions {
  // biome-ignore lint/suspicious/noExplicitAny: the value type of the store is the stage's own business
  readonly stage: ViewStage | CheckpointedStage<any>;
  readonly partition: number;
  readonly client: LogClient;
  /** Fetches the input, gathering for a while. */
  readonly input: LogReader;
  /** Fetches for restores, without gathering. */
  readonly restore: LogReader;
  /** Folder of this partition's local store. */
  readonly dir: string;
  /** Before fetched records are processed: the read barrier of the stage's tables, and the schemas the records name. */
  readonly prepare: (records: readonly LogRecord[], partition: number) => Promise<void>;
  readonly metrics: StageMetrics;
  /** A transaction is committed, or the task is open and there is nothing to do. */
  readonly succeeded?: () => void;
  readonly maxRecords?: number;
  readonly probe?: (step: TaskStep) => void;
}

/** A clock reading becomes due when the task has passed the input's end as it was after the reading. */
interface PendingReading {
  readonly reading: ClockReading;
  readonly end: bigint;
}

const IDLE_MS = 1_000;
const HANGING_CHECKS = 40;
const HANGING_PAUSE_MS = 250;

export class StageTask {
  readonly #options: StageTaskOptions;
  readonly #restore: StoppableReader;
  readonly #pending: PendingReading[] = [];
  readonly #outputs = new Map<string, OutputBatch>();
  /** Offsets whose outputs the broker refuses even alone. */
  readonly #refused = new Set<bigint>();
  /** The records of the running transaction. */
  #tried: readonly LogRecord[] = [];
  #maxRecords: number;
  #stopped = false;
  #writer: TransactionalWriter | null = null;
  #state: TaskState | null = null;
  #stream: PartitionStream | null = null;
  #position = 0n;
  /** The input's end as it was last seen without a stream. */
  #end = 0n;
  #metadata = '';
  #progressAt = 0;

  constructor(options: StageTaskOptions) {
    this.#options = options;
    this.#maxRecords = options.maxRecords ?? 10_000;
    this.#restore = new StoppableReader(options.restore);
  }

  /** Unread records of the partition, control records counted. */
  get lag(): bigint {
    const lag = (this.#stream?.highWatermark || this.#end) - this.#position;
    return lag > 0n ? lag : 0n;
  }

  get streamTimeMs(): number {
    return this.#state?.processor.streamTimeMs() ?? 0;
  }

  /** Milliseconds (performance.now) of the last turn of the loop; 0 while opening, which ends with the first answer of the broker. */
  get progressAt(): number {
    return this.#progressAt;
  }

  /** Opens, runs until `stop`, closes. Throws what went wrong; calling it again starts at the fence. */
  async run(): Promise<void> {
    try {
      await this.#open();
      while (!this.#stopped) await this.#turn();
    } finally {
      await this.#close();
    }
  }

  /** Ends after the running transaction. */
  stop(): void {
    this.#stopped = true;
    this.#restore.stop();
    this.#stream?.wake();
  }

  /** New background work or a due reading may be there. */
  wake(): void {
    this.#stream?.wake();
  }

  async look(): Promise<void> {
    const { stage, client, partition } = this.#options;
    this.#end = (await client.offsets(stage.input, [partition], 'highWatermark')).get(partition) ?? this.#end;
  }

  /** `end` is the input partition's high watermark, asked after the reading was seen. */
  clock(reading: ClockReading, end: bigint): void {
    // While the task lags, the oldest unreached reading and the newest are enough.
    if (this.#pending.length > 1) this.#pending.pop();
    this.#pending.push({ reading, end });
    if (this.#position >= end) this.#stream?.wake();
  }

  /** After a commit that the broker refused because of its records: find the one by halving. False when it is none of them. */
  isolate(): boolean {
    const [first] = this.#tried;
    if (first === undefined || this.#refused.has(first.offset)) return false;
    if (this.#tried.length === 1) this.#refused.add(first.offset);
    this.#maxRecords = Math.max(1, Math.floor(this.#tried.length / 2));
    return true;
  }

  async #open(): Promise<void> {
    const { stage, partition, client, input, dir, probe } = this.#options;
    this.#outputs.clear();
    this.#tried = [];
    this.#writer = client.writer(`${stage.name}-${partition}`);
    await this.#writer.fence();
    probe?.('fenced');
    const committed = await client.committed(stage.name, stage.input, partition);
    this.#position =
      committed?.offset ?? (await client.offsets(stage.input, [partition], 'earliest')).get(partition) ?? 0n;
    this.#metadata = committed?.metadata ?? '';
    await this.#checkNothingHangs();
    probe?.('positioned');
    const open = {
      client,
      reader: this.#restore,
      dir,
      partition,
      emit: this.#emit,
      position: this.#position,
      metadata: this.#metadata,
      prepare: this.#options.prepare,
    };
    this.#state = stage.kind === 'view' ? await openViewState(stage, open) : await openCheckpointedState(stage, open);
    probe?.('restored');
    this.#stream = input.open(stage.input, partition, this.#position);
  }

  /**
   * After the fence nothing of ours is open, so the last stable offset must be the end. Where it is not, the broker has lost a
   * commit marker (KAFKA-20734): going on would count a batch twice.
   */
  async #checkNothingHangs(): Promise<void> {
    const { stage, partition, client } = this.#options;
    for (const topic of stage.outputs) {
      for (let check = 1; ; check++) {
        const end = (await client.offsets(topic, [partition], 'highWatermark')).get(partition);
        const stable = (await client.offsets(topic, [partition], 'lastStable')).get(partition);
        if (stable !== undefined && end !== undefined && stable >= end) break;
        if (check >= HANGING_CHECKS) {
          throw new SluiceError(
            `A transaction hangs on ${topic}-${partition} (last stable offset ${stable}, end ${end}): the broker lost its marker. ` +
              'Find it with kafka-transactions.sh find-hanging and end it before this stage may go on.',
            { code: 'HANGING_TRANSACTION', action: 'fatal' },
          );
        }
        await pause(HANGING_PAUSE_MS);
      }
    }
  }

  async #turn(): Promise<void> {
    const { prepare, probe } = this.#options;
    const state = this.#state!;
    this.#tried = [];
    const busy = state.processor.background?.() === true;
    const waiting = busy || this.#clockDue();
    const run = await this.#stream!.next(waiting ? 0 : IDLE_MS);
    const alive = this.#stream!.answered;
    if (alive) this.#progressAt = performance.now();
    probe?.('gathered');
    if (run !== null) {
      if (run.records.length > 0) await prepare(run.records, this.#options.partition);
      for (const slice of slices(run, () => this.#maxRecords)) {
        if (this.#stopped) return;
        this.#tried = slice.records;
        this.#process(slice.records);
        if (slice.next === run.next) this.#tick(run.next);
        await this.#commit(slice.next, slice.records.length);
      }
    } else {
      this.#tick(this.#position);
      await this.#commit(this.#position, 0);
    }
    if (alive && !this.#stopped) this.#options.succeeded?.();
  }

  #clockDue(): boolean {
    const first = this.#pending[0];
    return first !== undefined && this.#position >= first.end;
  }

  #tick(position: bigint): void {
    while (this.#pending.length > 0 && position >= this.#pending[0]!.end) {
      const { reading } = this.#pending.shift()!;
      this.#state!.processor.clock?.(reading);
    }
  }

  #process(records: readonly LogRecord[]): void {
    const { processor } = this.#state!;
    for (const record of records) {
      try {
        if (this.#refused.size > 0 && this.#refused.has(record.offset)) throw refusedByBroker(record);
        processor.process(record);
      } catch (error) {
        if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
        this.#deadLetter(record, error);
      }
    }
    this.#options.probe?.('processed');
  }

  #deadLetter(record: LogRecord, error: SluiceError): void {
    const { stage, partition, metrics } = this.#options;
    appendDeadLetter(this.#output(stage.dlq, 0), record, {
      reason: error.code,
      message: error.message,
      stage: stage.name,
      topic: stage.input,
      partition,
    });
    metrics.deadLetters(error.code);
  }

  async #commit(next: bigint, count: number): Promise<void> {
    const { stage, partition, metrics, probe } = this.#options;
    const state = this.#state!;
    state.processor.beforeCommit?.();
    const metadata = state.processor.metadata?.() ?? '';
    const moved = metadata !== this.#metadata;
    // Control records alone are not worth a transaction: reading them again is harmless.
    if (count === 0 && this.#outputs.size === 0 && !state.due() && !moved) {
      this.#position = next;
      return;
    }
    // A refused record is left out here and would not be in a silent replay: no replay may cross it.
    const refused = this.#tried.some(({ offset }) => this.#refused.has(offset));
    state.prepare((topic) => this.#output(topic, partition), next, refused);
    const started = performance.now();
    const offsets = { group: stage.name, topic: stage.input, partition, offset: next, metadata };
    const ends = await this.#writer!.commit([...this.#outputs.values()], offsets).catch((error: unknown) => {
      metrics.aborted();
      throw error;
    });
    probe?.('committed');
    state.committed(next, ends);
    this.#outputs.clear();
    this.#refused.clear();
    this.#position = next;
    this.#metadata = metadata;
    this.#maxRecords = Math.min(this.#options.maxRecords ?? 10_000, this.#maxRecords * 2);
    probe?.('applied');
    metrics.records(count);
    metrics.transaction((performance.now() - started) / 1000);
  }

  readonly #emit: Emit = (topic, key, value, timestampMs) => {
    this.#output(topic, this.#options.partition).append(key, value, timestampMs);
  };

  #output(topic: string, partition: number): OutputBatch {
    let batch = this.#outputs.get(topic);
    if (batch === undefined) {
      batch = this.#writer!.batch(topic, partition);
      this.#outputs.set(topic, batch);
    }
    return batch;
  }

  async #close(): Promise<void> {
    this.#stream?.close();
    this.#stream = null;
    this.#progressAt = 0;
    await this.#writer?.close();
    await this.#state?.close();
    this.#writer = null;
    this.#state = null;
  }
}

function refusedByBroker(record: LogRecord): SluiceError {
  return new SluiceError(`The broker refuses the outputs of offset ${record.offset}: too large`, {
    code: 'RECORD_TOO_LARGE',
    action: 'dead-letter',
  });
}

interface Slice {
  readonly records: readonly LogRecord[];
  readonly next: bigint;
}

/** Cuts a run into transactions of at most `max()` records; the last one also passes the control records behind. */
function* slices(run: FetchedRun, max: () => number): Generator<Slice> {
  const { records } = run;
  for (let start = 0; ; ) {
    const end = start + max();
    const part = records.slice(start, end);
    const last = end >= records.length;
    yield { records: part, next: last ? run.next : part.at(-1)!.offset + 1n };
    if (last) return;
    start = end;
  }
}
