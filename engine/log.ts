/**
 * The log as the engine sees it: what the engine needs of a Kafka client and no more. `connectors/kafka` implements it;
 * unit tests run the same engine on a log in memory.
 */

import type { TopicPartition } from './sink.ts';

export interface LogHeader {
  readonly key: string;
  readonly value: Uint8Array;
}

/** One record as read. `key` and `value` are views of the fetch response: copy what must outlive the batch. */
export interface LogRecord {
  readonly offset: bigint;
  /** Milliseconds since the epoch. */
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly LogHeader[];
}

/** A run of one partition as fetched with read_committed; `records` may be empty when only control records were passed. */
export interface FetchedRun {
  readonly records: readonly LogRecord[];
  /** The first offset covered. */
  readonly from: bigint;
  /** The next offset to read, control records passed. */
  readonly next: bigint;
  readonly bytes: number;
}

/** Reads one partition forward. */
export interface PartitionStream {
  /** The end of the partition as the last fetch saw it (open transactions included). */
  readonly highWatermark: bigint;
  /** Whether any fetch of it was answered since it was opened: before, that nothing has arrived says nothing. */
  readonly answered: boolean;
  /** What has arrived since the last call, or null after `waitMs` or a `wake()`. Throws what the fetch loop met (SluiceError). */
  next(waitMs: number): Promise<FetchedRun | null>;
  /** Makes a pending `next` return now. */
  wake(): void;
  close(): void;
}

export interface ReaderOptions {
  /** The broker answers a fetch when it holds this much (at once while the reader is behind) … */
  readonly minBytes: number;
  /** … or after this long: the latency the gathering of a batch adds. */
  readonly maxWaitMs: number;
  /** A partition with this much unread data is not fetched further. */
  readonly maxBufferedBytes: number;
}

/** One connection set that fetches any number of partitions. */
export interface LogReader {
  open(topic: string, partition: number, from: bigint): PartitionStream;
  close(): Promise<void>;
}

/** One output record, appended to its partition's batch at once: the bytes may be reused after the call. */
export interface OutputBatch {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  append(key: Uint8Array | null, value: Uint8Array | null, timestampMs: number, headers?: readonly LogHeader[]): void;
}

export interface OffsetAndMetadata {
  readonly offset: bigint;
  readonly metadata: string;
}

export interface TransactionOffsets extends OffsetAndMetadata {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
}

/**
 * One transactional producer. After any error it is of no more use: close it and fence a new one, which completes or
 * aborts what this one left open. It never repeats a commit by itself, because a delayed EndTxn of this protocol can
 * end the *next* transaction (Jepsen, bufstream 0.1.0).
 */
export interface TransactionalWriter {
  /** InitProducerId: ends the predecessor's transaction and bumps the epoch. */
  fence(): Promise<void>;
  batch(topic: string, partition: number): OutputBatch;
  /** Sends the batches and the input offset, if there is an input, in one transaction. Returns the next offset of every partition written. */
  commit(batches: readonly OutputBatch[], offsets: TransactionOffsets | null): Promise<ReadonlyMap<string, bigint>>;
  close(): Promise<void>;
}

/** The generation in which a member owns partitions; commits of an older one are refused by the broker. */
export interface Assignment {
  readonly generation: number;
  readonly partitions: readonly number[];
}

export interface MembershipHandlers {
  readonly assigned: (assignment: Assignment) => void;
  /** All partitions are taken back; must end within the rebalance timeout. */
  readonly revoked: () => Promise<void>;
}

/** A member of a consumer group: gets partitions of one topic, commits offsets in its generation. */
export interface Membership {
  /** Joins, heartbeats and rejoins until `stop`. Rejects only with what cannot be retried. */
  run(handlers: MembershipHandlers): Promise<void>;
  /** Refused by the broker when the group has moved on from `generation`. */
  commit(generation: number, at: TopicPartition, offset: OffsetAndMetadata): Promise<void>;
  stop(): Promise<void>;
}

export type OffsetKind = 'earliest' | 'highWatermark' | 'lastStable';

/** Everything the engine asks of a Kafka cluster. */
export interface LogClient {
  reader(options: ReaderOptions): LogReader;
  writer(transactionalId: string): TransactionalWriter;
  membership(group: string, topic: string): Membership;
  partitions(topic: string): Promise<number>;
  offsets(topic: string, partitions: readonly number[], kind: OffsetKind): Promise<ReadonlyMap<number, bigint>>;
  committed(group: string, topic: string, partition: number): Promise<OffsetAndMetadata | null>;
  close(): Promise<void>;
}
