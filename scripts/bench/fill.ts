/** Writes a recorded history into the captured topics, in transactions as Kafka Connect writes them. */
import type { KafkaClient } from '../../connectors/kafka/client.ts';
import type { RegistryClient } from '../../connectors/registry/client.ts';
import type { OutputBatch, TransactionalWriter } from '../../engine/log.ts';
import { partitionOf } from '../../pipelines/engagement/partition.ts';
import { CDC_CONTENT, CDC_EVENTS } from '../../pipelines/engagement/topics.ts';
import { uuidText } from '../../pipelines/engagement/traffic/catalogue.ts';
import { CDC_HEARTBEAT } from '../../pipelines/operations/topics.ts';
import schemas from './captured-schemas.json' with { type: 'json' };
import { EnvelopeWriter, type SchemaIds } from './envelope.ts';
import { Recording, type RecordingOptions } from './recording.ts';

export interface FillResult {
  readonly records: number;
  readonly bytes: number;
  /** Contents that have an event. */
  readonly contents: number;
}

/** As Kafka Connect: about one `max.batch.size` of the connector in a transaction. */
const RECORDS_PER_COMMIT = 8_192;
const HEARTBEAT_MS = 1_000;
/** Registers the captured schemas under the names and with the texts that the connector uses. */
async function register(registry: RegistryClient, topic: keyof typeof schemas): Promise<SchemaIds> {
  const one = async (side: 'key' | 'value') => {
    const text = JSON.stringify(schemas[topic][side]);
    return (await registry.register({ name: `${topic}-${side}`, text, compatibility: 'BACKWARD' })).id;
  };
  return { key: await one('key'), value: await one('value') };
}

/** Fills the topics, which must be there and empty. */
export async function fillTopics(
  connections: { readonly kafka: KafkaClient; readonly registry: RegistryClient },
  options: RecordingOptions & { readonly partitions: number },
): Promise<FillResult> {
  const { kafka, registry } = connections;
  const ids = {
    event: await register(registry, CDC_EVENTS),
    content: await register(registry, CDC_CONTENT),
    heartbeat: await register(registry, CDC_HEARTBEAT),
  };
  const writer = kafka.writer('bench-fill');
  await writer.fence();
  try {
    return await new Filler(writer, ids, options).run();
  } finally {
    await writer.close();
  }
}

interface Ids {
  readonly event: SchemaIds;
  readonly content: SchemaIds;
  readonly heartbeat: SchemaIds;
}

class Filler {
  readonly #writer: TransactionalWriter;
  readonly #ids: Ids;
  readonly #recording: Recording;
  readonly #envelopes: EnvelopeWriter;
  readonly #partitionOf: readonly number[];
  #batches = new Map<string, OutputBatch>();
  #pending = 0;
  #commits = 0n;
  #bytes = 0;

  constructor(writer: TransactionalWriter, ids: Ids, options: RecordingOptions & { readonly partitions: number }) {
    this.#writer = writer;
    this.#ids = ids;
    this.#recording = new Recording(options);
    const { contents, users } = this.#recording.traffic;
    this.#envelopes = new EnvelopeWriter(contents, users);
    this.#partitionOf = contents.map(({ id }) => partitionOf(uuidText(id), options.partitions));
  }

  async run(): Promise<FillResult> {
    await this.#contents();
    const seen = new Set<number>();
    let records = 0;
    let beatMs = this.#recording.startMs;
    for (const { source, changes } of this.#recording.transactions()) {
      for (const { op, before, after, source: at } of changes) {
        const row = after ?? before!;
        seen.add(row.content);
        const key = this.#envelopes.eventKey(this.#ids.event.key, row);
        const value = this.#envelopes.event(this.#ids.event.value, op, { before, after }, at);
        this.#append(CDC_EVENTS, this.#partitionOf[row.content]!, { key, value, atMs: at.commitMs });
      }
      records += changes.length;
      if (source.commitMs - beatMs >= HEARTBEAT_MS) {
        beatMs = source.commitMs;
        const key = this.#envelopes.heartbeatKey(this.#ids.heartbeat.key);
        const value = this.#envelopes.heartbeat(this.#ids.heartbeat.value, source);
        this.#append(CDC_HEARTBEAT, 0, { key, value, atMs: beatMs });
      }
      if (this.#pending >= RECORDS_PER_COMMIT) await this.#commit();
    }
    await this.#commit();
    return { records, bytes: this.#bytes, contents: seen.size };
  }

  /** First, as in a snapshot: no event is enriched before its content is there. */
  async #contents(): Promise<void> {
    const source = this.#recording.contentSource;
    for (const content of this.#recording.traffic.contents) {
      const key = this.#envelopes.contentKey(this.#ids.content.key, content);
      const value = this.#envelopes.content(this.#ids.content.value, content, source);
      this.#append(CDC_CONTENT, 0, { key, value, atMs: source.commitMs });
      if (this.#pending >= RECORDS_PER_COMMIT) await this.#commit();
    }
    await this.#commit();
    this.#bytes = 0;
  }

  #append(
    topic: string,
    partition: number,
    record: { readonly key: Buffer; readonly value: Buffer; readonly atMs: number },
  ): void {
    const name = `${topic}-${partition}`;
    let batch = this.#batches.get(name);
    if (batch === undefined) {
      batch = this.#writer.batch(topic, partition);
      this.#batches.set(name, batch);
    }
    batch.append(record.key, record.value, record.atMs);
    this.#bytes += record.key.length + record.value.length;
    this.#pending += 1;
    this.#envelopes.reset();
  }

  async #commit(): Promise<void> {
    if (this.#pending === 0) return;
    this.#commits += 1n;
    const offsets = { group: 'bench-fill', topic: CDC_EVENTS, partition: 0, offset: this.#commits, metadata: '' };
    await this.#writer.commit([...this.#batches.values()], offsets);
    this.#batches = new Map();
    this.#pending = 0;
  }
}
