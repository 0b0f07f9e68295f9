/** Tells the pipeline rows as Postgres has them (operations/tell-truth.ts). */
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { inPaced } from '../../operations/paced.ts';
import { type TellingOptions, type ToldRow, tellTruth } from '../../operations/tell-truth.ts';
import type { CapturedEvent } from '../captured-row.ts';
import { partitionOf } from '../partition.ts';
import type { Row } from '../reconcile/row.ts';
import { showMicros } from '../reconcile/row.ts';
import { CDC_EVENTS } from '../topics.ts';
import { capturedRows } from './captured-rows.ts';
import type { RowToTell } from './plan.ts';

export interface TellOptions extends Omit<TellingOptions, 'topic' | 'origin'> {
  /** Rows a second. */
  readonly rate: number;
  readonly signal: AbortSignal;
  readonly progress: (told: number) => void;
}

/** Telling a row twice changes nothing. Throws as `tellTruth`. */
export async function tellRows(options: TellOptions, rows: readonly RowToTell[]): Promise<void> {
  const telling = { ...options, topic: CDC_EVENTS, origin: 'repair' } as const;
  await inPaced(rows, options, async (piece) => {
    await tellTruth(telling, async (sql, partitions) => await truthOf(sql, piece, partitions));
  });
}

async function truthOf(sql: Sql, rows: readonly RowToTell[], partitions: number): Promise<readonly ToldRow[]> {
  const present = await capturedRows(
    sql,
    rows.map(({ id }) => id),
  );
  return rows.flatMap(({ id, how, held }) => {
    const told = (op: 'upsert' | 'delete', row: CapturedEvent): ToldRow => {
      return { op, row, partition: partitionOf(row.content_id, partitions), force: how === 'publish' };
    };
    const row = present.get(id);
    const elsewhere = held !== null && held.contentId !== row?.content_id;
    return [...(elsewhere ? [told('delete', heldRow(held))] : []), ...(row === undefined ? [] : [told('upsert', row)])];
  });
}

/** What a deletion says of the row that is gone. */
function heldRow({ id, contentId, userId, eventType, eventMicros, durationMs, device }: Row): CapturedEvent {
  return {
    id,
    content_id: contentId,
    user_id: userId,
    event_type: eventType,
    event_ts: showMicros(eventMicros ?? 0n),
    duration_ms: durationMs,
    device,
  };
}
