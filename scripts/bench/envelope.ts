/** Writes changes as the connector does, byte for byte of the schemas in `captured-schemas.json` (taken from a registry after a capture). */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { beginFrame } from '../../engine/avro/framing.ts';
import { type Content, uuidText } from '../../pipelines/engagement/traffic/catalogue.ts';
import { DEVICES, EVENT_TYPES } from '../../pipelines/engagement/traffic/sessions.ts';
import { PAYLOADS } from '../../pipelines/engagement/traffic/traffic.ts';

export interface SchemaIds {
  readonly key: number;
  readonly value: number;
}

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

/** Where and when a change was committed. */
export interface Source {
  readonly lsn: bigint;
  readonly commitLsn: bigint;
  readonly xid: number;
  readonly commitMs: number;
}

/** The letter of the operation. */
export type Op = 'c' | 'u' | 'd';

/** Text as Avro writes it: made once for what repeats. */
function avroText(text: string): Buffer {
  const writer = new ByteWriter({ chunkBytes: 512 });
  writer.begin();
  writer.string(text);
  return Buffer.from(writer.take());
}

const TYPES = EVENT_TYPES.map(avroText);
const DEVICE_TEXTS = DEVICES.map(avroText);
const PAYLOAD_TEXTS = PAYLOADS.map((json) => avroText(jsonbText(json)));
const VERSION = avroText('3.7.0.Final');
const CONNECTOR = avroText('postgresql');
const NAME = avroText('cdc');
const LIVE = avroText('false');
const DATABASE = avroText('sluice');
const SCHEMA = avroText('public');
/** How long after its commit Debezium reads a change. */
const CAPTURE_MS = 20;

/** jsonb as Postgres writes it out: shorter keys first, a space after each colon and comma. */
function jsonbText(json: string): string {
  const entries = Object.entries(JSON.parse(json) as Record<string, unknown>);
  entries.sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1));
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(', ')}}`;
}

/** A whole number of microseconds as timestamptz text. */
export function timestampText(micros: number): string {
  const fraction = micros % 1_000;
  const text = new Date((micros - fraction) / 1_000).toISOString();
  return `${text.slice(0, -1)}${String(fraction).padStart(3, '0')}Z`;
}

/** Encodes keys and values. What it returns are views that live until the next `reset`. */
export class EnvelopeWriter {
  readonly #writer = new ByteWriter();
  readonly #contents: readonly Buffer[];
  readonly #users: readonly Buffer[];

  constructor(contents: readonly Content[], users: readonly Uint8Array[]) {
    this.#contents = contents.map(({ id }) => avroText(uuidText(id)));
    this.#users = users.map((id) => avroText(uuidText(id)));
  }

  reset(): void {
    this.#writer.reset();
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

  heartbeatKey(schemaId: number): Buffer {
    beginFrame(this.#writer, schemaId);
    this.#writer.long(1);
    return this.#writer.take();
  }

  heartbeat(schemaId: number, source: Source): Buffer {
    const writer = this.#writer;
    beginFrame(writer, schemaId);
    writer.byte(0);
    writer.byte(2);
    writer.long(1);
    writer.string(timestampText(source.commitMs * 1_000));
    envelopeTail(writer, 'u', TABLES.heartbeat, source);
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

export interface Images {
  readonly before: RecordedRow | null;
  readonly after: RecordedRow | null;
}

const TABLES = {
  event: avroText('engagement_events'),
  content: avroText('content'),
  heartbeat: avroText('sluice_heartbeat'),
} as const;

function envelopeTail(writer: ByteWriter, op: Op, table: Buffer, source: Source): void {
  const micros = source.commitMs * 1_000;
  put(writer, VERSION);
  put(writer, CONNECTOR);
  put(writer, NAME);
  writer.long(source.commitMs);
  writer.byte(0); // snapshot: the first branch is the string
  put(writer, LIVE);
  put(writer, DATABASE);
  writer.byte(2);
  writer.string(`["${source.commitLsn}","${source.lsn}"]`);
  times(writer, micros);
  put(writer, SCHEMA);
  put(writer, table);
  writer.byte(2);
  writer.long(source.xid);
  writer.byte(2);
  writer.bigLong(source.lsn);
  // xmin, origin, origin_lsn, transaction
  for (let nulls = 0; nulls < 4; nulls += 1) writer.byte(0);
  writer.string(op);
  writer.byte(2);
  writer.long(source.commitMs + CAPTURE_MS);
  times(writer, micros + CAPTURE_MS * 1_000);
}

/** `ts_us` and `ts_ns`, both optional. */
function times(writer: ByteWriter, micros: number): void {
  writer.byte(2);
  writer.long(micros);
  writer.byte(2);
  writer.bigLong(BigInt(micros) * 1_000n);
}

function put(writer: ByteWriter, bytes: Buffer): void {
  writer.copy(bytes, 0, bytes.length);
}

function optionalLong(writer: ByteWriter, value: number): void {
  writer.byte(value < 0 ? 0 : 2);
  if (value >= 0) writer.long(value);
}

function optionalText(writer: ByteWriter, text: Buffer | undefined): void {
  writer.byte(text === undefined ? 0 : 2);
  if (text !== undefined) put(writer, text);
}
