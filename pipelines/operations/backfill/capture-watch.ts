/** What capture says: notifications about snapshots, and the beats of the source clock. */
import { NOTIFICATION_TOPIC } from '../../../connectors/debezium/config.ts';
import { type SnapshotNotice, snapshotNoticeDecoder } from '../../../connectors/debezium/notifications.ts';
import type { FramedDecoder, SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient, LogReader, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { ClockReading } from '../../../engine/source-clock.ts';

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
  readonly #client: LogClient;
  readonly #clock: ClockTopic;
  readonly #decoder: FramedDecoder<SnapshotNotice | null>;
  readonly #reader: LogReader;
  #noticesFrom: bigint;
  #beatsFrom: bigint | null = null;

  constructor(options: {
    readonly client: LogClient;
    readonly schemas: SchemaSource;
    readonly clock: ClockTopic;
    /** Offset of the first notification that may matter. */
    readonly noticesFrom: bigint;
  }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#decoder = snapshotNoticeDecoder(options.schemas);
    this.#reader = options.client.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 4 << 20 });
    this.#noticesFrom = options.noticesFrom;
  }

  /** Reads what there is. A look that fails has lost nothing: the next one reads it. */
  async look(): Promise<Seen> {
    const beats: ClockReading[] = [];
    const end = await endOf(this.#client, this.#clock.topic);
    this.#beatsFrom ??= end;
    await this.#read(this.#clock.topic, { from: this.#beatsFrom, end }, async (records) => {
      await this.#clock.prepare(records);
      for (const record of records) {
        const beat = this.#clock.decode(record);
        if (beat !== null) beats.push(beat);
      }
    });
    const notices: SnapshotNotice[] = [];
    const noticesEnd = await endOf(this.#client, NOTIFICATION_TOPIC);
    await this.#read(NOTIFICATION_TOPIC, { from: this.#noticesFrom, end: noticesEnd }, async (records) => {
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
    await this.#reader.close();
  }

  async #read(
    topic: string,
    range: { readonly from: bigint; readonly end: bigint },
    each: (records: readonly LogRecord[]) => Promise<void>,
  ): Promise<void> {
    await readToEnd(this.#reader, { topic, partition: 0, ...range }, async ({ records }) => await each(records));
  }
}

/** The end of a topic of one partition. */
export async function endOf(client: LogClient, topic: string): Promise<bigint> {
  return (await client.offsets(topic, [0], 'lastStable')).get(0) ?? 0n;
}
