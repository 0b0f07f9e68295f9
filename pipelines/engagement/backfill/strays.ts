/**
 * Rows that the public topic holds in a range and Postgres does not: deleted, moved to another content, or changed out of the range
 * while nobody listened. A snapshot cannot bring what is not there, so they are told by operator records.
 *
 * Invariant: no row that Postgres has is taken off. Whether a row is there is asked of a snapshot whose position in the captured topic
 * is known from before it was taken; what is behind that position in the topic wins over the record (operator-record.ts).
 */
import type { KafkaOptions } from '../../../connectors/kafka/cluster.ts';
import { appendRecords, type PlainRecord } from '../../../connectors/kafka/plain.ts';
import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import { PostgresPool, type Sql } from '../../../connectors/postgres/pool.ts';
import { withExportedSnapshot } from '../../../connectors/postgres/snapshot.ts';
import type { FramedDecoder, SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { pause } from '../../../engine/backoff.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { EngagementEventKey } from '../../../schemas/engagement/event-key.ts';
import type { RowRange } from '../../operations/backfill/condition.ts';
import { operatorHeaders } from '../../operations/operator-record.ts';
import { eventDecoder } from '../codec/event.ts';
import { keyDecoder } from '../codec/key.ts';
import { type NewestSchemas, OperatorEnvelopes, type OperatorRow } from '../codec/operator-envelope.ts';
import { parseProgress } from '../enrich/progress.ts';
import { partitionOf } from '../partition.ts';
import { showMicros } from '../reconcile/row.ts';
import { CDC_EVENTS, EVENTS_V1 } from '../topics.ts';

export interface StraysOptions {
  readonly postgresUrl: string;
  readonly kafka: KafkaOptions;
  readonly log: LogClient;
  readonly schemas: SchemaSource & NewestSchemas;
  readonly runId: string;
  readonly range: RowRange;
  /** The range as SQL; null for all rows. */
  readonly condition: string | null;
  readonly signal: AbortSignal;
  readonly report: (rowsLookedAt: number) => void;
}

export interface StraysFound {
  readonly looked: number;
  /** Taken off: Postgres has them no more, or under another content. */
  readonly retracted: number;
  /** Told anew: Postgres has them, but they have left the range. */
  readonly restored: number;
}

const STAGE = 'engagement.enrich';
/** Strays in memory; more are written in between. */
const MAX_HELD = 20_000;
const RECORDS_PER_APPEND = 500;
const PASS_MS = 300_000;
const POLL_MS = 200;

/** Finds them and writes what is true of them. Resolves when enrich has read it. */
export async function correctStrays(options: StraysOptions): Promise<StraysFound> {
  const pool = new PostgresPool({ url: options.postgresUrl, applicationName: 'sluice-backfill', maxConnections: 2 });
  try {
    return await new Strays(options, pool).correct();
  } finally {
    await pool.close();
  }
}

class Strays {
  readonly #options: StraysOptions;
  readonly #pool: PostgresPool;
  readonly #keys: FramedDecoder<EngagementEventKey>;
  readonly #events: FramedDecoder<EngagementEvent>;
  readonly #held = new Map<string, EngagementEvent>();
  #looked = 0;
  #retracted = 0;
  #restored = 0;

  constructor(options: StraysOptions, pool: PostgresPool) {
    this.#options = options;
    this.#pool = pool;
    this.#keys = keyDecoder(options.schemas);
    this.#events = eventDecoder(options.schemas);
  }

  async correct(): Promise<StraysFound> {
    const { log } = this.#options;
    const partitions = Array.from({ length: await log.partitions(EVENTS_V1) }, (_, partition) => partition);
    await this.#untilEnrichPassed(partitions);
    const from = await log.offsets(EVENTS_V1, partitions, 'earliest');
    const ends = await log.offsets(EVENTS_V1, partitions, 'lastStable');
    const reader = log.reader({ minBytes: 1, maxWaitMs: 200, maxBufferedBytes: 8 << 20 });
    try {
      for (const partition of partitions) {
        const range = { topic: EVENTS_V1, partition, from: from.get(partition) ?? 0n, end: ends.get(partition) ?? 0n };
        await readToEnd(reader, range, async ({ records }) => {
          this.#options.signal.throwIfAborted();
          await this.#look(records);
          if (this.#held.size >= MAX_HELD) await this.#tell();
        });
      }
    } finally {
      await reader.close();
    }
    await this.#tell();
    await this.#untilEnrichRead(partitions);
    return { looked: this.#looked, retracted: this.#retracted, restored: this.#restored };
  }

  /** What the topic has said of each row last, and whether Postgres has it now: what it has now was not missed. */
  async #look(records: readonly LogRecord[]): Promise<void> {
    await this.#keys.prepare(records.map(({ key }) => key));
    await this.#events.prepare(records.map(({ value }) => value));
    const newest = new Map<string, EngagementEvent>();
    for (const { key, value } of records) {
      if (key === null) continue;
      const { content_id: contentId, event_id: id } = this.#keys.decode(key);
      const name = `${contentId}/${id}`;
      newest.delete(name);
      this.#held.delete(name);
      if (value === null) continue;
      const event = this.#events.decode(value);
      if (mayBeIn(this.#options.range, event)) newest.set(name, event);
    }
    this.#looked += newest.size;
    this.#options.report(this.#looked);
    if (newest.size === 0) return;
    for (const name of await this.#missing([...newest.values()])) this.#held.set(name, newest.get(name)!);
  }

  /** Names of those that are in the range as they are held, and not in Postgres's. */
  async #missing(events: readonly EngagementEvent[]): Promise<readonly string[]> {
    const condition = this.#options.condition ?? 'true';
    // Inside the subquery the condition is about e, outside about the row that is held.
    const { rows } = await this.#pool.query<{ name: string }>(
      `SELECT content_id || '/' || id AS name FROM jsonb_populate_recordset(NULL::engagement_events, $1::jsonb) AS held
       WHERE (${condition}) AND NOT EXISTS (SELECT FROM engagement_events e WHERE e.id = held.id AND e.content_id = held.content_id AND (${condition}))`,
      [JSON.stringify(events.map(rowOf), (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))],
    );
    return rows.map(({ name }) => name);
  }

  /** Writes what a snapshot says of the rows in hand. */
  async #tell(): Promise<void> {
    if (this.#held.size === 0) return;
    const { postgresUrl: url, log, kafka, schemas } = this.#options;
    const envelopes = await OperatorEnvelopes.open(schemas);
    const partitions = Array.from({ length: await log.partitions(CDC_EVENTS) }, (_, partition) => partition);
    // Before the snapshot: what is behind is newer than it, or known to it and true as well.
    const scannedTo = await log.offsets(CDC_EVENTS, partitions, 'lastStable');
    const exporting = { url, applicationName: 'sluice-backfill', createTimeoutMs: 120_000 };
    const records = await withExportedSnapshot(exporting, async ({ lsn, snapshotName }) => {
      const work = async (sql: Sql) => {
        const { rows, timeMs } = await rowsById(
          sql,
          [...this.#held.values()].map(({ event_id: id }) => id),
        );
        return this.#changes(rows).map((change): PlainRecord => {
          const partition = partitionOf(change.row.content_id, partitions.length);
          const asked = scannedTo.get(partition) ?? 0n;
          const { runId } = this.#options;
          const headers = operatorHeaders({ origin: 'backfill', runId, scannedTo: asked, force: false });
          return { partition, headers, timestampMs: timeMs, ...envelopes.encode({ ...change, lsn, timeMs }) };
        });
      };
      return await this.#pool.transaction(work, { kind: 'snapshot', snapshotName });
    });
    for (let at = 0; at < records.length; at += RECORDS_PER_APPEND) {
      await appendRecords(kafka, CDC_EVENTS, records.slice(at, at + RECORDS_PER_APPEND));
    }
    this.#held.clear();
  }

  #changes(rows: ReadonlyMap<bigint, OperatorRow>): { readonly op: 'upsert' | 'delete'; readonly row: OperatorRow }[] {
    return [...this.#held.values()].flatMap((event) => {
      const row = rows.get(event.event_id);
      const gone = row?.content_id !== event.content_id;
      if (gone) this.#retracted++;
      if (row !== undefined) this.#restored++;
      return [
        ...(gone ? [{ op: 'delete' as const, row: rowOf(event) }] : []),
        ...(row === undefined ? [] : [{ op: 'upsert' as const, row }]),
      ];
    });
  }

  /** Until the public topic holds all that was committed before this call. */
  async #untilEnrichPassed(partitions: readonly number[]): Promise<void> {
    const { rows } = await this.#pool.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    const lsn = parseLsn(rows[0]!.lsn);
    await this.#until(partitions, async (partition) => {
      const committed = await this.#options.log.committed(STAGE, CDC_EVENTS, partition);
      return (parseProgress(committed?.metadata ?? '')?.mark.lsn ?? 0n) >= lsn;
    });
  }

  /** Until it has read what was written: to the high watermark, since an open transaction of capture may stand in front of our records. */
  async #untilEnrichRead(partitions: readonly number[]): Promise<void> {
    const { log } = this.#options;
    const ends = await log.offsets(CDC_EVENTS, partitions, 'highWatermark');
    await this.#until(partitions, async (partition) => {
      const committed = await log.committed(STAGE, CDC_EVENTS, partition);
      return (committed?.offset ?? 0n) >= (ends.get(partition) ?? 0n);
    });
  }

  async #until(partitions: readonly number[], done: (partition: number) => Promise<boolean>): Promise<void> {
    const sinceMs = performance.now();
    for (const partition of partitions) {
      while (!(await done(partition))) {
        this.#options.signal.throwIfAborted();
        if (performance.now() - sinceMs > PASS_MS) {
          throw new SluiceError(
            `${STAGE} does not come on in partition ${partition}: is it running? Then: npm run backfill -- resume`,
            { code: 'BACKFILL_STAGE_BEHIND', action: 'retry' },
          );
        }
        await pause(POLL_MS, this.#options.signal);
      }
    }
  }
}

/** Whether a row may be in the range: all but its SQL condition, which only Postgres can tell. */
function mayBeIn({ from, to, groups, ids }: RowRange, event: EngagementEvent): boolean {
  const { event_id: id, content_id: contentId, event_ts: micros } = event;
  return (
    (from === null || micros >= from.getTime() * 1_000) &&
    (to === null || micros < to.getTime() * 1_000) &&
    (groups.length === 0 || groups.includes(contentId)) &&
    (ids.length === 0 || ids.includes(id))
  );
}

function rowOf(event: EngagementEvent): OperatorRow {
  return {
    id: event.event_id,
    content_id: event.content_id,
    user_id: event.user_id,
    event_type: event.event_type,
    event_ts: showMicros(BigInt(event.event_ts)),
    duration_ms: event.duration_ms ?? event.duration_ms_wide,
    device: event.device,
  };
}

async function rowsById(
  sql: Sql,
  ids: readonly bigint[],
): Promise<{ readonly rows: ReadonlyMap<bigint, OperatorRow>; readonly timeMs: number }> {
  // Each column that the table has now, time as Debezium writes it.
  const found = await sql.query<OperatorRow>(
    `SELECT e.*, to_char(e.event_ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS event_ts
     FROM engagement_events e WHERE e.id = ANY($1::bigint[])`,
    [ids],
  );
  const now = await sql.query<{ ms: bigint }>('SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms');
  return { rows: new Map(found.rows.map((row) => [row.id, row])), timeMs: Number(now.rows[0]!.ms) };
}
