/** Writes a recorded history into the captured topics, in transactions as Kafka Connect writes them. */
import type { KafkaClient } from '../../connectors/kafka/client.ts';
import type { RegistryClient } from '../../connectors/registry/client.ts';
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { OutputBatch, TransactionalWriter } from '../../engine/log.ts';
import { CDC_HEARTBEAT } from '../../pipelines/operations/topics.ts';
import schemas from './captured-schemas.json' with { type: 'json' };
import { heartbeat, type SchemaIds } from './envelope.ts';
import type { CapturedTopic, History, HistoryRecord } from './history.ts';

export interface FillResult {
  /** Of the history's counted topic, as their bytes. */
  readonly records: number;
  readonly bytes: number;
}

/** As Kafka Connect: about one `max.batch.size` of the connector in a transaction. */
const RECORDS_PER_COMMIT = 8_192;
const HEARTBEAT_MS = 1_000;

/** Registers the captured schemas under the names and with the texts that the connector uses. */
async function register(registry: RegistryClient, topic: CapturedTopic): Promise<SchemaIds> {
  const one = async (side: 'key' | 'value') => {
    const text = JSON.stringify(schemas[topic][side]);
    return (await registry.register({ name: `${topic}-${side}`, text, compatibility: 'BACKWARD' })).id;
  };
  return { key: await one('key'), value: await one('value') };
}

/** Fills the topics, which must be there and empty. */
export async function fillTopics(
  connections: { readonly kafka: KafkaClient; readonly registry: RegistryClient },
  history: History,
): Promise<FillResult> {
  const { kafka, registry } = connections;
  const ids = new Map<CapturedTopic, SchemaIds>();
  for (const topic of [...history.topics, CDC_HEARTBEAT]) ids.set(topic, await register(registry, topic));
  const writer = kafka.writer('bench-fill');
  await writer.fence();
  try {
    return await new Filler(writer, ids, history).run();
  } finally {
    await writer.close();
  }
}

class Filler {
  readonly #writer: TransactionalWriter;
  readonly #ids: ReadonlyMap<CapturedTopic, SchemaIds>;
  readonly #history: History;
  readonly #arena = new ByteWriter();
  #batches = new Map<string, OutputBatch>();
  #pending = 0;
  #commits = 0n;
  #records = 0;
  #bytes = 0;

  constructor(writer: TransactionalWriter, ids: ReadonlyMap<CapturedTopic, SchemaIds>, history: History) {
    this.#writer = writer;
    this.#ids = ids;
    this.#history = history;
  }

  async run(): Promise<FillResult> {
    let beatMs: number | null = null;
    for (const { source, records } of this.#history.transactions(this.#arena, this.#ids)) {
      for (const record of records) {
        this.#append(record);
        if (this.#pending >= RECORDS_PER_COMMIT) await this.#commit();
      }
      beatMs ??= source.commitMs;
      if (source.commitMs - beatMs < HEARTBEAT_MS) continue;
      beatMs = source.commitMs;
      const beat = heartbeat(this.#arena, this.#ids.get(CDC_HEARTBEAT)!, source);
      this.#append({ topic: CDC_HEARTBEAT, partition: 0, ...beat, atMs: beatMs });
    }
    await this.#commit();
    return { records: this.#records, bytes: this.#bytes };
  }

  #append({ topic, partition, key, value, atMs }: HistoryRecord): void {
    const name = `${topic}-${partition}`;
    let batch = this.#batches.get(name);
    if (batch === undefined) {
      batch = this.#writer.batch(topic, partition);
      this.#batches.set(name, batch);
    }
    batch.append(key, value, atMs);
    if (topic === this.#history.counted) {
      this.#records += 1;
      this.#bytes += key.length + value.length;
    }
    this.#pending += 1;
    this.#arena.reset();
  }

  async #commit(): Promise<void> {
    if (this.#pending === 0) return;
    this.#commits += 1n;
    const topic = this.#history.counted;
    const offsets = { group: 'bench-fill', topic, partition: 0, offset: this.#commits, metadata: '' };
    await this.#writer.commit([...this.#batches.values()], offsets);
    this.#batches = new Map();
    this.#pending = 0;
  }
}
