/** A recorded history: changes of captured tables, already as the bytes that capture would have written. */
import type { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type schemas from './captured-schemas.json';
import type { SchemaIds, Source } from './envelope.ts';

export type CapturedTopic = keyof typeof schemas;

export interface HistoryRecord {
  readonly topic: CapturedTopic;
  readonly partition: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly atMs: number;
}

export interface HistoryTransaction {
  readonly source: Source;
  readonly records: Iterable<HistoryRecord>;
}

export interface History {
  /** The captured topics that it writes; heartbeats are added by whoever writes it. */
  readonly topics: readonly CapturedTopic[];
  /** The one whose records are the history; what else there is comes in front, as in a snapshot. */
  readonly counted: CapturedTopic;
  /** In order. The bytes of a record are views of the writer, which may be reset before the next one is asked for. */
  transactions(writer: ByteWriter, ids: ReadonlyMap<CapturedTopic, SchemaIds>): Iterable<HistoryTransaction>;
}
