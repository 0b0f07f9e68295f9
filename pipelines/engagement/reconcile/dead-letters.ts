/** What the pipeline has put aside: which rows, in which state, and why. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { record } from '../../../engine/avro/projection.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { type EngagementChange, engagementChangeDecoder } from '../codec/cdc.ts';
import { CDC_EVENTS, DLQ } from '../topics.ts';
import type { Row } from './row.ts';

/** The newest letter about a row. */
export interface Letter {
  readonly reason: string;
  /** What the row was to become; `null` when it was to go, `unknown` when the bytes do not say. */
  readonly state:
    | { readonly contentId: string; readonly eventMicros: number | null; readonly durationMs: number | null }
    | null
    | 'unknown';
}

/** Remembered are the newest letters of at most this many rows. */
const MAX_LETTERS = 200_000;

const keyShape = record({ id: { from: 'id', read: 'bigint' } });

/** Reads the whole topic. Throws RECONCILE_TOO_MANY_DEAD_LETTERS (fatal). */
export async function readDeadLetters(client: LogClient, schemas: SchemaSource): Promise<ReadonlyMap<bigint, Letter>> {
  const letters = new Map<bigint, Letter>();
  const from = (await client.offsets(DLQ, [0], 'earliest')).get(0) ?? 0n;
  const end = (await client.offsets(DLQ, [0], 'lastStable')).get(0) ?? 0n;
  const values = engagementChangeDecoder(schemas);
  const keys = new FramedDecoder({ source: schemas, compile: (writer) => compileReader(writer, keyShape) });
  const reader = client.reader({ minBytes: 1, maxWaitMs: 200, maxBufferedBytes: 8 << 20 });
  try {
    await readToEnd(reader, { topic: DLQ, partition: 0, from, end }, async ({ records }) => {
      const ours = records.filter((letter) => header(letter, 'sluice.topic') === CDC_EVENTS);
      await values.prepare(ours.map(({ value }) => value));
      await keys.prepare(ours.map(({ key }) => key));
      for (const letter of ours) {
        const change = attempt(() => values.decode(letter.value ?? Buffer.alloc(0)));
        const id =
          change === null ? (attempt(() => keys.decode(letter.key ?? Buffer.alloc(0)))?.id ?? null) : idOf(change);
        if (id === null) continue;
        letters.set(id, { reason: header(letter, 'sluice.reason') ?? 'unknown', state: stateOf(change) });
        if (letters.size > MAX_LETTERS) throw tooMany();
      }
    });
  } finally {
    await reader.close();
  }
  return letters;
}

/** Whether what the letter would have made of the row is what Postgres holds: then a difference is explained. */
export function explains(letter: Letter, row: Row | undefined): boolean {
  if (letter.state === 'unknown') return true;
  if (letter.state === null || row === undefined) return letter.state === null && row === undefined;
  const { contentId, eventMicros, durationMs } = letter.state;
  const inRange = row.eventMicros === null || eventMicros === Number(row.eventMicros);
  return contentId === row.contentId && durationMs === row.durationMs && inRange;
}

function stateOf(change: EngagementChange | null): Letter['state'] {
  if (change === null) return 'unknown';
  if (change.op === 'd') return null;
  if (change.after === null) return 'unknown';
  const { contentId, eventTsMicros, durationMs } = change.after;
  return { contentId, eventMicros: eventTsMicros, durationMs };
}

function idOf(change: EngagementChange): bigint | null {
  return (change.after ?? change.before)?.id ?? null;
}

function header(record: LogRecord, name: string): string | null {
  const found = record.headers.find(({ key }) => key === name);
  return found === undefined ? null : Buffer.from(found.value).toString();
}

/** What cannot be decoded is no error here: that is why it is in this topic. */
function attempt<T>(decode: () => T): T | null {
  try {
    return decode();
  } catch (error) {
    if (error instanceof SluiceError && error.action === 'dead-letter') return null;
    throw error;
  }
}

function tooMany(): SluiceError {
  return new SluiceError(`More than ${MAX_LETTERS} rows have dead letters: redrive or discard them first`, {
    code: 'RECONCILE_TOO_MANY_DEAD_LETTERS',
    action: 'fatal',
  });
}
