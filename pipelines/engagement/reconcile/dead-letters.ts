/** What the pipeline and its ClickHouse sink have put aside: which rows, in which state, and why. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { record } from '../../../engine/avro/projection.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { Change } from '../../../schemas/engagement/change.ts';
import { dlqRecord, type Letter as Put } from '../../operations/dlq/letter.ts';
import { type EngagementChange, engagementChangeDecoder } from '../codec/cdc.ts';
import { changeDecoder } from '../codec/change.ts';
import { CDC_EVENTS, CHANGES, CLICKHOUSE_SINK, DLQ } from '../topics.ts';
import type { Row } from './row.ts';

/** The newest letters, by row. */
export interface DeadLetters {
  /** What never got into the pipeline: no sink has it. */
  readonly pipeline: ReadonlyMap<bigint, Letter>;
  /** What ClickHouse alone refused. */
  readonly warehouse: ReadonlyMap<bigint, Letter>;
}

export const NO_LETTERS: DeadLetters = { pipeline: new Map(), warehouse: new Map() };

/** The newest letter about a row. */
export interface Letter {
  /** Its offset in the dead-letter topic. */
  readonly id: bigint;
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

/**
 * Reads the whole topic. A letter that was discarded explains its row as before; one that was redriven, or whose row has changed since,
 * explains nothing any more: had the record failed again, it would have another letter. Throws RECONCILE_TOO_MANY_DEAD_LETTERS (fatal).
 */
export async function readDeadLetters(client: LogClient, schemas: SchemaSource): Promise<DeadLetters> {
  const pipeline = new Letters();
  const warehouse = new Letters();
  const from = (await client.offsets(DLQ, [0], 'earliest')).get(0) ?? 0n;
  const end = (await client.offsets(DLQ, [0], 'lastStable')).get(0) ?? 0n;
  const values = engagementChangeDecoder(schemas);
  const changes = changeDecoder(schemas);
  const keys = new FramedDecoder({ source: schemas, compile: (writer) => compileReader(writer, keyShape) });
  const reader = client.reader({ minBytes: 1, maxWaitMs: 200, maxBufferedBytes: 8 << 20 });
  try {
    await readToEnd(reader, { topic: DLQ, partition: 0, from, end }, async ({ records }) => {
      const read = records.map(dlqRecord);
      const letters = read.flatMap((one) => (one.kind === 'letter' ? [one.letter] : []));
      const captured = letters.filter(({ topic }) => topic === CDC_EVENTS);
      await values.prepare(captured.map(({ value }) => value));
      await keys.prepare(captured.map(({ key }) => key));
      await changes.prepare(letters.filter(isOfWarehouse).map(({ value }) => value));
      for (const one of read) {
        if (one.kind === 'resolution' && one.resolution !== 'discarded') {
          pipeline.resolved(one.letterId);
          warehouse.resolved(one.letterId);
        }
        if (one.kind !== 'letter') continue;
        const { letter } = one;
        if (letter.topic === CDC_EVENTS) {
          const change = attempt(() => values.decode(letter.value ?? Buffer.alloc(0)));
          const key = change === null ? attempt(() => keys.decode(letter.key ?? Buffer.alloc(0))) : null;
          pipeline.put(letter, change === null ? key?.id : idOf(change), stateOf(change));
        } else if (isOfWarehouse(letter)) {
          const change = attempt(() => changes.decode(letter.value ?? Buffer.alloc(0)));
          if (change !== null) warehouse.put(letter, (change.after ?? change.before)?.event_id, stateOfChange(change));
        }
      }
      if (pipeline.byRow.size + warehouse.byRow.size > MAX_LETTERS) throw tooMany();
    });
  } finally {
    await reader.close();
  }
  return { pipeline: pipeline.byRow, warehouse: warehouse.byRow };
}

/** The leaderboards read the same topic; what they put aside is not missing in ClickHouse. */
function isOfWarehouse({ topic, stage }: Put): boolean {
  return topic === CHANGES && stage === CLICKHOUSE_SINK;
}

/** The newest letter of each row. */
class Letters {
  readonly byRow = new Map<bigint, Letter>();
  readonly #rows = new Map<bigint, bigint>();

  /** A letter that does not say of which row it is explains none. */
  put({ id, reason }: Put, row: bigint | null | undefined, state: Letter['state']): void {
    if (row === null || row === undefined) return;
    const before = this.byRow.get(row);
    if (before !== undefined) this.#rows.delete(before.id);
    this.byRow.set(row, { id, reason, state });
    this.#rows.set(id, row);
  }

  resolved(letterId: bigint): void {
    const row = this.#rows.get(letterId);
    if (row === undefined) return;
    this.byRow.delete(row);
    this.#rows.delete(letterId);
  }
}

function stateOfChange({ after }: Change): Letter['state'] {
  if (after === null) return null;
  return { contentId: after.content_id, eventMicros: after.event_ts, durationMs: after.duration_ms };
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
