/**
 * Tells the pipeline rows as Postgres has them: operator records in the captured topic (docs/architecture.md).
 *
 * Invariant: the end of each partition is asked before the snapshot is taken that the rows are read from. So a change that the records do
 * not know of stands behind that end, and the stage lets the record go in its favour.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KafkaOptions } from '../../../connectors/kafka/cluster.ts';
import { appendRecords, type PlainRecord } from '../../../connectors/kafka/plain.ts';
import type { LogClient } from '../../../engine/log.ts';
import { type NewestSchemas, OperatorEnvelopes } from '../../capture/operator-envelope.ts';
import { operatorHeaders } from '../../operations/operator-record.ts';
import type { CapturedEvent } from '../captured-row.ts';
import { partitionOf } from '../partition.ts';
import type { Row } from '../reconcile/row.ts';
import { showMicros } from '../reconcile/row.ts';
import { CDC_EVENTS } from '../topics.ts';
import { readCapturedRows } from './captured-rows.ts';
import type { RowToTell } from './plan.ts';

export interface TellOptions {
  readonly postgresUrl: string;
  readonly kafka: KafkaOptions;
  readonly log: LogClient;
  readonly registry: NewestSchemas;
  readonly runId: string;
  /** Rows a second. */
  readonly rate: number;
  readonly signal: AbortSignal;
  readonly progress: (told: number) => void;
}

const ROWS_AT_ONCE = 500;

/** Returns how many rows were told. Telling one twice changes nothing. */
export async function tellRows(options: TellOptions, rows: readonly RowToTell[]): Promise<number> {
  const envelopes = await OperatorEnvelopes.open(options.registry, CDC_EVENTS);
  const size = Math.max(1, Math.min(ROWS_AT_ONCE, options.rate));
  let told = 0;
  while (told < rows.length) {
    options.signal.throwIfAborted();
    const piece = rows.slice(told, told + size);
    await appendRecords(options.kafka, CDC_EVENTS, await recordsOf(options, envelopes, piece));
    told += piece.length;
    options.progress(told);
    if (told < rows.length) await sleep((piece.length / options.rate) * 1_000, undefined, { signal: options.signal });
  }
  return told;
}

async function recordsOf(
  { log, postgresUrl, runId }: TellOptions,
  envelopes: OperatorEnvelopes,
  rows: readonly RowToTell[],
): Promise<readonly PlainRecord[]> {
  const partitions = await log.partitions(CDC_EVENTS);
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  const ends = await log.offsets(CDC_EVENTS, all, 'lastStable');
  const {
    rows: present,
    lsn,
    timeMs,
  } = await readCapturedRows(
    postgresUrl,
    rows.map(({ id }) => id),
  );
  return rows.flatMap(({ id, how, held }) => {
    const record = (op: 'upsert' | 'delete', row: CapturedEvent): PlainRecord => {
      const partition = partitionOf(row.content_id, partitions);
      const scannedTo = ends.get(partition) ?? 0n;
      const headers = operatorHeaders({ origin: 'repair', runId, scannedTo, force: how === 'publish' });
      return { partition, headers, timestampMs: timeMs, ...envelopes.encode({ op, row, lsn, timeMs }) };
    };
    const row = present.get(id);
    const elsewhere = held !== null && held.contentId !== row?.content_id;
    return [
      ...(elsewhere ? [record('delete', heldRow(held))] : []),
      ...(row === undefined ? [] : [record('upsert', row)]),
    ];
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
