/** One event as every store should hold it, its text, and the hash of its text. */
import { hash } from 'node:crypto';

/** Times in microseconds since the epoch; `eventMicros` is null outside 1970 to 2199, where no sink can follow Postgres. */
export interface Row {
  readonly id: bigint;
  readonly contentId: string;
  readonly userId: string;
  readonly eventType: string;
  readonly eventMicros: bigint | null;
  readonly durationMs: number | null;
  readonly device: string | null;
  readonly slug: string;
  readonly title: string;
  readonly contentType: string;
  readonly lengthSeconds: number | null;
  readonly pctBp: bigint | null;
}

const NULL = '~';

/** With its length in front, so that no text can pass for two. */
const sized = (text: string): string => `${Buffer.byteLength(text)}:${text}`;

/** The row as the text that the SQL of both databases builds too. */
export function rowText(row: Row): string {
  return [
    row.id,
    row.contentId,
    row.userId,
    sized(row.eventType),
    row.eventMicros ?? NULL,
    row.durationMs ?? NULL,
    row.device === null ? NULL : sized(row.device),
    sized(row.slug),
    sized(row.title),
    sized(row.contentType),
    row.lengthSeconds ?? NULL,
    row.pctBp ?? NULL,
  ].join('|');
}

/** What events take from their content, as the text that the SQL of Postgres builds too. */
export function contentText(content: Pick<Row, 'slug' | 'title' | 'contentType' | 'lengthSeconds'>): string {
  const { slug, title, contentType, lengthSeconds } = content;
  return [sized(slug), sized(title), sized(contentType), lengthSeconds ?? NULL].join('|');
}

/** The first 64 bits of the text's MD5: what both databases can compute. Sums of it are taken modulo 2^64. */
export function textHash(text: string): bigint {
  return hash('md5', text, 'buffer').readBigUInt64BE(0);
}

/** An unsigned 64-bit sum, from the wider or signed numbers that databases answer with. */
export function wrapped(sum: string | bigint): bigint {
  return BigInt.asUintN(64, BigInt(sum));
}

/** An integer of 32 or of 64 bits, as each database and width gives it. */
type AnyInteger = number | bigint | string;

const integer = (value: AnyInteger | null): number | null => (value === null ? null : Number(value));

/** What a database answers for `ROW_COLUMNS`, numbers as text. */
export interface RowAnswer {
  readonly id: string;
  readonly content_id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly us: string | null;
  readonly duration_ms: AnyInteger | null;
  readonly device: string | null;
  readonly slug: string;
  readonly title: string;
  readonly content_type: string;
  readonly length_seconds: AnyInteger | null;
  readonly pct: string | null;
}

export function toRow(answer: RowAnswer): Row {
  return {
    id: BigInt(answer.id),
    contentId: answer.content_id,
    userId: answer.user_id,
    eventType: answer.event_type,
    eventMicros: answer.us === null ? null : BigInt(answer.us),
    durationMs: integer(answer.duration_ms),
    device: answer.device,
    slug: answer.slug,
    title: answer.title,
    contentType: answer.content_type,
    lengthSeconds: integer(answer.length_seconds),
    pctBp: answer.pct === null ? null : BigInt(answer.pct),
  };
}

/** For people: the fields by name, time in ISO 8601 with microseconds. */
export function showRow(row: Row): string {
  const time = row.eventMicros === null ? 'out of range' : showMicros(row.eventMicros);
  return JSON.stringify({
    ...row,
    id: String(row.id),
    eventMicros: time,
    pctBp: row.pctBp === null ? null : Number(row.pctBp),
  });
}

export function showMicros(micros: bigint): string {
  const text = new Date(Number(micros / 1000n)).toISOString();
  return `${text.slice(0, -1)}${String(micros % 1000n).padStart(3, '0')}Z`;
}
