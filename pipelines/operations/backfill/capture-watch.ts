/** What capture says: notifications about snapshots, and the beats of the source clock. */
import { NOTIFICATION_TOPIC } from '../../../connectors/debezium/config.ts';
import { type SnapshotNotice, snapshotNoticeDecoder } from '../../../connectors/debezium/notifications.ts';
import type { FramedDecoder, SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient, LogReader, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { ClockReading } from '../../../engine/source-clock.ts';
import { Renewed } from './renewed.ts';

export interface ClockTopic {
  readonly topic: string;
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  readonly decode: (record: LogRecord) => ClockReading | null;
}

/** What arrived since the last look. */
export interface Seen {
  readonly notices: readonly SnapshotNotice[];
  readonly beats: readonly ClockReading[];
}

export class CaptureWatch {
  readonly #kafka: Renewed<Connected>;
  readonly #clock: ClockTopic;
  readonly #decoder: FramedDecoder<SnapshotNotice | null>;
  #noticesFrom: bigint;
  #beatsFrom: bigint | null = null;

  constructor(options: {
    readonly connect: () => LogClient;
    readonly schemas: SchemaSource;
    readonly clock: ClockTopic;
    /** Offset of the first notification that may matter. */
    readonly noticesFrom: bigint;
  }) {
    this.#kafka = new Renewed(() => connected(options.connect()));
    this.#clock = options.clock;
    this.#decoder = snapshotNoticeDecoder(options.schemas);
    this.#noticesFrom = options.noticesFrom;
  }

  /** Reads what there is. A look that fails has lost nothing: the next one reads it. */
  async look(): Promise<Seen> {
    return await this.#kafka.use(async (kafka) => await this.#lookAt(kafka));
  }

  async #lookAt({ client, reader }: Connected): Promise<Seen> {
    const beats: ClockReading[] = [];
    const end = await endOf(client, this.#clock.topic);
    this.#beatsFrom ??= end;
    await readAll(reader, this.#clock.topic, { from: this.#beatsFrom, end }, async (records) => {
      await this.#clock.prepare(records);
      for (const record of records) {
        const beat = this.#clock.decode(record);
        if (beat !== null) beats.push(beat);
      }
    });
    const notices: SnapshotNotice[] = [];
    const noticesEnd = await endOf(client, NOTIFICATION_TOPIC);
    await readAll(reader, NOTIFICATION_TOPIC, { from: this.#noticesFrom, end: noticesEnd }, async (records) => {
      const values = records.flatMap(({ value }) => (value === null ? [] : [value]));
      await this.#decoder.prepare(values);
      for (const value of values) {
        const notice = this.#decoder.decode(value);
        if (notice !== null) notices.push(notice);
      }
    });
    // Only now: what was read with a look that failed is read again.
    if (end > this.#beatsFrom) this.#beatsFrom = end;
    if (noticesEnd > this.#noticesFrom) this.#noticesFrom = noticesEnd;
    return { notices, beats };
  }

  async close(): Promise<void> {
    await this.#kafka.close();
  }
}

interface Connected {
  readonly client: LogClient;
  readonly reader: LogReader;
  close(): Promise<void>;
}

function connected(client: LogClient): Connected {
  const reader = client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 4 << 20 });
  return {
    client,
    reader,
    close: async () => {
      await reader.close();
      await client.close();
    },
  };
}

async function readAll(
  reader: LogReader,
  topic: string,
  range: { readonly from: bigint; readonly end: bigint },
  each: (records: readonly LogRecord[]) => Promise<void>,
): Promise<void> {
  await readToEnd(reader, { topic, partition: 0, ...range }, async ({ records }) => await each(records));
}

/** The end of a topic of one partition. */
export async function endOf(client: LogClient, topic: string): Promise<bigint> {
  return (await client.offsets(topic, [0], 'lastStable')).get(0) ?? 0n;
}
