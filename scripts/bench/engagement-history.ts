/** The history of the engagement tables: contents, then their events. */
import type { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { partitionOf } from '../../pipelines/engagement/partition.ts';
import { CDC_CONTENT, CDC_EVENTS } from '../../pipelines/engagement/topics.ts';
import { uuidText } from '../../pipelines/engagement/traffic/catalogue.ts';
import { EngagementEnvelopes } from './engagement-envelope.ts';
import { type RecordedChange, Recording, type RecordingOptions } from './engagement-recording.ts';
import type { SchemaIds } from './envelope.ts';
import type { CapturedTopic, History, HistoryRecord, HistoryTransaction } from './history.ts';

export class EngagementHistory implements History {
  readonly topics = [CDC_EVENTS, CDC_CONTENT];
  readonly counted = CDC_EVENTS;
  readonly #recording: Recording;
  readonly #partitionOf: readonly number[];

  constructor(options: RecordingOptions & { readonly partitions: number }) {
    this.#recording = new Recording(options);
    this.#partitionOf = this.#recording.traffic.contents.map(({ id }) => partitionOf(uuidText(id), options.partitions));
  }

  *transactions(writer: ByteWriter, ids: ReadonlyMap<CapturedTopic, SchemaIds>): Generator<HistoryTransaction> {
    const { contents, users } = this.#recording.traffic;
    const envelopes = new EngagementEnvelopes(writer, contents, users);
    const [content, event] = [ids.get(CDC_CONTENT)!, ids.get(CDC_EVENTS)!];
    yield { source: this.#recording.contentSource, records: this.#contents(envelopes, content) };
    for (const { source, changes } of this.#recording.transactions()) {
      yield { source, records: this.#events(envelopes, event, changes) };
    }
  }

  *#contents(envelopes: EngagementEnvelopes, ids: SchemaIds): Generator<HistoryRecord> {
    const source = this.#recording.contentSource;
    for (const content of this.#recording.traffic.contents) {
      const key = envelopes.contentKey(ids.key, content);
      const value = envelopes.content(ids.value, content, source);
      yield { topic: CDC_CONTENT, partition: 0, key, value, atMs: source.commitMs };
    }
  }

  *#events(
    envelopes: EngagementEnvelopes,
    ids: SchemaIds,
    changes: readonly RecordedChange[],
  ): Generator<HistoryRecord> {
    for (const { op, before, after, source } of changes) {
      const row = after ?? before!;
      const key = envelopes.eventKey(ids.key, row);
      const value = envelopes.event(ids.value, op, { before, after }, source);
      yield { topic: CDC_EVENTS, partition: this.#partitionOf[row.content]!, key, value, atMs: source.commitMs };
    }
  }
}
