/**
 * What the engine asks of a sink. The engine owns partitions, batches, retries and offset commits; a sink owns
 * one external system and says how it makes a repeated batch harmless.
 */

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** One decoded record on its way to a sink. A tombstone is a variant, never `undefined`. */
export type SinkRecord<T> =
  | { readonly kind: 'upsert'; readonly offset: bigint; readonly key: Uint8Array | null; readonly value: T }
  | { readonly kind: 'tombstone'; readonly offset: bigint; readonly key: Uint8Array };

/** A run of records of one partition. It covers offsets [from, to), control records included. */
export interface SinkBatch<T> extends TopicPartition {
  readonly from: bigint;
  readonly to: bigint;
  /** Which reading of the topic this is; a deliberate replay raises it. Part of every deduplication token and fence. */
  readonly generation: number;
  readonly records: readonly SinkRecord<T>[];
}

/** Where a sink wants the engine to start reading a partition. */
export type SinkPosition =
  /** At the offset committed in Kafka (sinks whose writes are deduplicated by range). */
  | { readonly kind: 'committed' }
  /** At an offset the target itself keeps (the Redis fence, the mirror's own transaction). */
  | { readonly kind: 'offset'; readonly offset: bigint }
  /** The target has lost its data: read the partition from the beginning to its end and hand it over by `rebuild`. */
  | { readonly kind: 'rebuild' };

/** `pending-range`: the engine commits `from` with the pending range in the metadata, writes, then commits `to`; after a
 * crash it hands over exactly the pending range again. `target`: the target refuses old batches itself. */
export type SinkDelivery = 'pending-range' | 'target';

export interface Sink<T> {
  readonly name: string;
  readonly delivery: SinkDelivery;
  /** Once per process, before anything else. Throws a SluiceError saying what is unreachable or missing. */
  connect(): Promise<void>;
  /** On every assignment of a partition, before the first write. */
  position(at: TopicPartition & { readonly generation: number }): Promise<SinkPosition>;
  /**
   * Throws a SluiceError with action `dead-letter` for a record that this sink can never hold, whatever the target says. Asked for every
   * record before it comes in a batch.
   */
  check?(record: SinkRecord<T>): void;
  /**
   * Makes the batch visible. Must be harmless when called again with the same batch, and must refuse
   * (`stale`) a batch older than what the target holds. `retry` is true when the same range may have been written before (after a crash).
   * `lost` says the target has lost its data: the engine starts the partition again through `position`.
   * Throws a SluiceError with action `dead-letter` when the target refuses content of the batch and has written none of it: the
   * engine finds the records at fault by smaller batches.
   */
  write(batch: SinkBatch<T>, options: { readonly retry: boolean }): Promise<'written' | 'stale' | 'lost'>;
  /**
   * Makes records visible that the target once refused and that were passed over since, whatever was written behind them. Harmless when
   * called again with the same batch. Only of a target that may take its records in any order.
   */
  redrive?(batch: SinkBatch<T>): Promise<void>;
  /** Replaces everything the target holds of this partition by the batch (which holds the newest record per key). */
  rebuild?(batch: SinkBatch<T>): Promise<void>;
  /**
   * How many of the records may be written as one batch: a sink that wants to stop only at consistent points (the as-of
   * stamp that ends a stage's transaction) returns the count up to the last one, or 0 to wait for more.
   */
  boundary?(records: readonly SinkRecord<T>[]): number;
  close(): Promise<void>;
}
