/** What the pipeline and its ClickHouse sink have put aside: which rows, in which state, and why. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { record } from '../../../engine/avro/projection.ts';
import type { LogClient } from '../../../engine/log.ts';
import type { Change } from '../../../schemas/engagement/change.ts';
import type { Letter as Put } from '../../operations/dlq/letter.ts';
import { decodable, LettersByRow, type NewestLetter, readNewestLetters } from '../../operations/reconcile/letters.ts';
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

interface State {
  readonly contentId: string;
  readonly eventMicros: number | null;
  readonly durationMs: number | null;
}

/** The newest letter about a row. */
export type Letter = NewestLetter<State>;

const keyShape = record({ id: { from: 'id', read: 'bigint' } });

/** Reads the whole topic. Throws as `readNewestLetters`. */
export async function readDeadLetters(client: LogClient, schemas: SchemaSource): Promise<DeadLetters> {
  const pipeline = new LettersByRow<bigint, State>();
  const warehouse = new LettersByRow<bigint, State>();
  const values = engagementChangeDecoder(schemas);
  const changes = changeDecoder(schemas);
  const keys = new FramedDecoder({ source: schemas, compile: (writer) => compileReader(writer, keyShape) });
  await readNewestLetters(client, {
    topic: DLQ,
    books: [pipeline, warehouse],
    prepare: async (letters) => {
      const captured = letters.filter(({ topic }) => topic === CDC_EVENTS);
      await values.prepare(captured.map(({ value }) => value));
      await keys.prepare(captured.map(({ key }) => key));
      await changes.prepare(letters.filter(isOfWarehouse).map(({ value }) => value));
    },
    put: (letter) => {
      if (letter.topic === CDC_EVENTS) {
        const change = decodable(() => values.decode(letter.value ?? Buffer.alloc(0)));
        const key = change === null ? decodable(() => keys.decode(letter.key ?? Buffer.alloc(0))) : null;
        pipeline.put(letter, change === null ? key?.id : idOf(change), stateOf(change));
      } else if (isOfWarehouse(letter)) {
        const change = decodable(() => changes.decode(letter.value ?? Buffer.alloc(0)));
        if (change !== null) warehouse.put(letter, (change.after ?? change.before)?.event_id, stateOfChange(change));
      }
    },
  });
  return { pipeline: pipeline.byRow, warehouse: warehouse.byRow };
}

/** The leaderboards read the same topic; what they put aside is not missing in ClickHouse. */
function isOfWarehouse({ topic, stage }: Put): boolean {
  return topic === CHANGES && stage === CLICKHOUSE_SINK;
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
