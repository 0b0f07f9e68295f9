/**
 * What a stage is: a declaration of its topics and store, and a processor that turns records into outputs.
 * A processor is pure: it looks at the record, its store and the tables as of the record's LSN, and at nothing else (no clock,
 * no random, no arrival order across partitions).
 */
import type { LogRecord } from './log.ts';
import type { SegmentedStore, ValueCodec } from './segmented-store.ts';
import type { ClockReading } from './source-clock.ts';
import type { StoreOrder, ViewStore } from './view-store.ts';

/** Appends one record to an output topic, in the task's partition. The bytes may be reused after the call. */
export type Emit = (topic: string, key: Uint8Array | null, value: Uint8Array | null, timestampMs: number) => void;

export interface StageProcessor {
  /**
   * Folds one record into the store and emits what follows from it. A bad record throws a SluiceError with action
   * `dead-letter`; what it has put and emitted until then stays, in the transaction that holds its letter.
   */
  process(record: LogRecord): void;
  /** The source's clock: everything committed before the reading has been processed. */
  clock?(reading: ClockReading): void;
  /** Before each commit: emits what was gathered over the batch. */
  beforeCommit?(): void;
  /** One bounded piece of work between batches, seen by `scan` only after its commit. Returns whether more is left. */
  background?(): boolean;
  /** A small text committed with the offset and given back at the next opening: a cursor. At most 1 KiB. */
  metadata?(): string;
  /** Newest source commit time processed, ms; 0 when none. For metrics. */
  streamTimeMs(): number;
}

interface StageBase {
  /** Consumer group, and prefix of the transactional ids. */
  readonly name: string;
  readonly input: string;
  /** Topics that only this stage writes, each partition only by the task of the same number. */
  readonly outputs: readonly string[];
  readonly dlq: string;
}

/** The store is a view of one of the outputs: restored from it, written by writing it. */
export interface ViewStage extends StageBase {
  readonly kind: 'view';
  /** The output topic that the store mirrors. */
  readonly view: string;
  /** How the store keeps it; as the bytes of the topic's keys when left out. */
  readonly order?: StoreOrder;
  open(task: {
    readonly partition: number;
    readonly store: ViewStore;
    readonly emit: Emit;
    readonly metadata: string;
  }): StageProcessor;
}

/** The store gathers changes and writes them to a changelog every so often; restored from it and a silent replay. */
export interface CheckpointedStage<V> extends StageBase {
  readonly kind: 'checkpointed';
  readonly changelog: string;
  readonly checkpointMs: number;
  readonly codec: ValueCodec<V>;
  open(task: {
    readonly partition: number;
    readonly store: SegmentedStore<V>;
    readonly emit: Emit;
    /** The store starts from nothing, and the log has deleted the beginning of the input already. */
    readonly trimmed: boolean;
  }): StageProcessor;
}
