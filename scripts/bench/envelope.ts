/** Writes changes as the connector does, byte for byte of the schemas in `captured-schemas.json` (taken from a registry after a capture). */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { beginFrame } from '../../engine/avro/framing.ts';

export interface SchemaIds {
  readonly key: number;
  readonly value: number;
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
export function avroText(text: string): Buffer {
  const writer = new ByteWriter({ chunkBytes: 512 });
  writer.begin();
  writer.string(text);
  return Buffer.from(writer.take());
}

const VERSION = avroText('3.7.0.Final');
const CONNECTOR = avroText('postgresql');
const NAME = avroText('cdc');
const LIVE = avroText('false');
const DATABASE = avroText('sluice');
const SCHEMA = avroText('public');
const HEARTBEAT = avroText('sluice_heartbeat');
/** How long after its commit Debezium reads a change. */
const CAPTURE_MS = 20;

/** A whole number of microseconds as timestamptz text. */
export function timestampText(micros: number): string {
  const fraction = micros % 1_000;
  const text = new Date((micros - fraction) / 1_000).toISOString();
  return `${text.slice(0, -1)}${String(fraction).padStart(3, '0')}Z`;
}

/** Key and value of a beat of the source clock, as views of the writer. */
export function heartbeat(
  writer: ByteWriter,
  ids: SchemaIds,
  source: Source,
): { readonly key: Buffer; readonly value: Buffer } {
  beginFrame(writer, ids.key);
  writer.long(1);
  const key = writer.take();
  beginFrame(writer, ids.value);
  writer.byte(0);
  writer.byte(2);
  writer.long(1);
  writer.string(timestampText(source.commitMs * 1_000));
  envelopeTail(writer, 'u', HEARTBEAT, source);
  return { key, value: writer.take() };
}

/** What follows the two images of a row. */
export function envelopeTail(writer: ByteWriter, op: Op, table: Buffer, source: Source): void {
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

export function put(writer: ByteWriter, bytes: Buffer): void {
  writer.copy(bytes, 0, bytes.length);
}

export function optionalLong(writer: ByteWriter, value: number): void {
  writer.byte(value < 0 ? 0 : 2);
  if (value >= 0) writer.long(value);
}

export function optionalText(writer: ByteWriter, text: Buffer | undefined): void {
  writer.byte(text === undefined ? 0 : 2);
  if (text !== undefined) put(writer, text);
}
