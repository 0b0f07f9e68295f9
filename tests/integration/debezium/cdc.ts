/** Reads captured records back, as any reader of the topics would: read_committed, Avro by the schema id of each record. */
import avsc from 'avsc';
import type { KafkaClient } from '../../../connectors/kafka/client.ts';

export interface CdcRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly key: Record<string, unknown>;
  readonly value: Envelope;
  readonly headers: readonly string[];
}

export interface Envelope {
  readonly op: 'c' | 'u' | 'd' | 'r';
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly source: Readonly<Record<string, unknown>>;
}

/** Every long as a bigint: `source.ts_ns` is beyond 2⁵³. */
const long = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
});

export class CdcReader {
  readonly #kafka: KafkaClient;
  readonly #registryUrl: string;
  readonly #types = new Map<number, Promise<avsc.Type>>();

  constructor(kafka: KafkaClient, registryUrl: string) {
    this.#kafka = kafka;
    this.#registryUrl = registryUrl;
  }

  /** Reads a topic from its beginning until `enough` is content with what was read; fails after a deadline. */
  async until<T = CdcRecord>(
    topic: string,
    enough: (records: readonly CdcRecord[]) => boolean,
    map: (record: CdcRecord) => T = (record) => record as T,
  ): Promise<T[]> {
    const records: CdcRecord[] = [];
    const reader = this.#kafka.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 8 * 1024 * 1024 });
    try {
      const partitions = await this.#kafka.partitions(topic);
      const streams = Array.from({ length: partitions }, (_, partition) => reader.open(topic, partition, 0n));
      const deadline = Date.now() + 30_000;
      while (!enough(records)) {
        if (Date.now() > deadline) throw new Error(`Not within 30 s; ${records.length} records of ${topic} were read`);
        for (const [partition, stream] of streams.entries()) {
          const run = await stream.next(20);
          for (const record of run?.records ?? []) {
            const headers = record.headers.map((header) => header.key);
            const key = (await this.#decode(record.key!)) as CdcRecord['key'];
            const value = (await this.#decode(record.value!)) as Envelope;
            records.push({ partition, offset: record.offset, key, value, headers });
          }
        }
      }
    } finally {
      await reader.close();
    }
    return records.map(map);
  }

  async #decode(framed: Buffer): Promise<unknown> {
    if (framed[0] !== 0) throw new Error(`Not Confluent's framing: ${framed.subarray(0, 8).toString('hex')}`);
    const id = framed.readInt32BE(1);
    if (!this.#types.has(id)) this.#types.set(id, this.#type(id));
    return (await this.#types.get(id)!).fromBuffer(framed.subarray(5));
  }

  async #type(id: number): Promise<avsc.Type> {
    const answer = await fetch(`${this.#registryUrl}/schemas/ids/${id}`, { signal: AbortSignal.timeout(10_000) });
    const { schema } = (await answer.json()) as { schema: string };
    return avsc.Type.forSchema(JSON.parse(schema), {
      typeHook: (part) => (part === 'long' ? long : undefined) as avsc.Type,
    });
  }
}
