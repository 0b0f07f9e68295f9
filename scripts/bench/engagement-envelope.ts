/** The captured changes of the engagement tables, byte for byte of the schemas in `captured-schemas.json`. */
import type { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { beginFrame } from '../../engine/avro/framing.ts';
import { type Content, uuidText } from '../../pipelines/engagement/traffic/catalogue.ts';
import { DEVICES, EVENT_TYPES } from '../../pipelines/engagement/traffic/sessions.ts';
import { PAYLOADS } from '../../pipelines/engagement/traffic/traffic.ts';
import {
  avroText,
  envelopeTail,
  type Op,
  optionalLong,
  optionalText,
  put,
  type Source,
  timestampText,
} from './envelope.ts';

/** A row of engagement_events; indexes as in `EventColumns`, −1 is NULL. */
export interface RecordedRow {
  readonly id: number;
  readonly content: number;
  readonly user: number;
  readonly type: number;
  readonly eventMicros: number;
  readonly durationMs: number;
  readonly device: number;
  readonly payload: number;
}

export interface Images {
  readonly before: RecordedRow | null;
  readonly after: RecordedRow | null;
}

const TYPES = EVENT_TYPES.map(avroText);
const DEVICE_TEXTS = DEVICES.map(avroText);
const PAYLOAD_TEXTS = PAYLOADS.map((json) => avroText(jsonbText(json)));
const TABLES = { event: avroText('engagement_events'), content: avroText('content') } as const;

/** jsonb as Postgres writes it out: shorter keys first, a space after each colon and comma. */
function jsonbText(json: string): string {
  const entries = Object.entries(JSON.parse(json) as Record<string, unknown>);
  entries.sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1));
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(', ')}}`;
}

/** Encodes keys and values. What it returns are views of the writer. */
export class EngagementEnvelopes {
  readonly #writer: ByteWriter;
  readonly #contents: readonly Buffer[];
  readonly #users: readonly Buffer[];

  constructor(writer: ByteWriter, contents: readonly Content[], users: readonly Uint8Array[]) {
    this.#writer = writer;
    this.#contents = contents.map(({ id }) => avroText(uuidText(id)));
    this.#users = users.map((id) => avroText(uuidText(id)));
  }

  eventKey(schemaId: number, row: RecordedRow): Buffer {
    const writer = this.#writer;
    beginFrame(writer, schemaId);
    put(writer, this.#contents[row.content]!);
    writer.long(row.id);
    return writer.take();
  }

  event(schemaId: number, op: Op, rows: Images, source: Source): Buffer {
    const writer = this.#writer;
    beginFrame(writer, schemaId);
    this.#image(rows.before);
    this.#image(rows.after);
    envelopeTail(writer, op, TABLES.event, source);
    return writer.take();
  }

  contentKey(schemaId: number, content: Content): Buffer {
    beginFrame(this.#writer, schemaId);
    this.#writer.string(uuidText(content.id));
    return this.#writer.take();
  }

  /** A content that is new. */
  content(schemaId: number, content: Content, source: Source): Buffer {
    const writer = this.#writer;
    beginFrame(writer, schemaId);
    writer.byte(0);
    writer.byte(2);
    writer.string(uuidText(content.id));
    writer.string(content.slug);
    writer.string(content.title);
    writer.string(content.type);
    optionalLong(writer, content.lengthSeconds ?? -1);
    writer.string(timestampText(content.publishMicros));
    envelopeTail(writer, 'c', TABLES.content, source);
    return writer.take();
  }

  #image(row: RecordedRow | null): void {
    const writer = this.#writer;
    if (row === null) {
      writer.byte(0);
      return;
    }
    writer.byte(2);
    writer.long(row.id);
    put(writer, this.#contents[row.content]!);
    put(writer, this.#users[row.user]!);
    put(writer, TYPES[row.type]!);
    writer.string(timestampText(row.eventMicros));
    optionalLong(writer, row.durationMs);
    optionalText(writer, DEVICE_TEXTS[row.device]);
    optionalText(writer, PAYLOAD_TEXTS[row.payload]);
  }
}
