/**
 * A known history: transactions on Postgres, and what a perfect pipeline would make of them, written through the real sinks,
 * the real broker and the real leaderboards.
 */

import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { redisSink } from '../../../connectors/redis/sink.ts';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { frame } from '../../../engine/avro/framing.ts';
import { deadLetterHeaders } from '../../../engine/dead-letter.ts';
import { memorySegments } from '../../../engine/lmdb-segments.ts';
import type { OutputBatch, TransactionalWriter } from '../../../engine/log.ts';
import { segmentedStore } from '../../../engine/segmented-store.ts';
import type { Sink, SinkRecord } from '../../../engine/sink.ts';
import { clickHouseConfig } from '../../../pipelines/config.ts';
import { type ChangeRow, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { encodeEventValue } from '../../../pipelines/engagement/codec/event.ts';
import { encodeKey } from '../../../pipelines/engagement/codec/key.ts';
import { LeaderboardState } from '../../../pipelines/engagement/leaderboard/leaderboard.ts';
import { storedCodec } from '../../../pipelines/engagement/leaderboard/stored.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';
import { engagementPctBp } from '../../../pipelines/engagement/semantics.ts';
import { CDC_EVENTS, CHANGES, DLQ, EVENTS_V1 } from '../../../pipelines/engagement/topics.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { type CapturedRow, capturedInsert, capturedKey } from './letters.ts';
import { IDS, PARTITIONS, type Servers } from './servers.ts';

type State = Omit<EngagementEvent, 'source_lsn' | 'source_commit_ts'>;

interface PartitionState {
  readonly boards: LeaderboardState;
  pending: ChangeRow[];
  boardOffset: bigint;
}

export class History {
  readonly #servers: Servers;
  readonly #clickHouse: Sink<ChangeRow>;
  readonly #redis: Sink<LeaderboardRecord>;
  readonly #writer: TransactionalWriter;
  readonly #emitted = new Map<bigint, State>();
  readonly #partitions: readonly PartitionState[] = Array.from({ length: PARTITIONS }, () => ({
    boards: new LeaderboardState(segmentedStore({ base: memorySegments(), codec: storedCodec })),
    pending: [],
    boardOffset: 0n,
  }));

  constructor(servers: Servers) {
    this.#servers = servers;
    const { config, log } = servers;
    this.#clickHouse = engagementClickHouseSink({
      name: 'engagement.sink.clickhouse',
      config: clickHouseConfig(config),
    });
    this.#redis = redisSink({
      name: 'engagement.sink.redis',
      redis: { url: config.SLUICE_REDIS_URL },
      leaderboards: ENGAGEMENT_LEADERBOARDS,
      map: mapLeaderboardRecord,
      partitions: PARTITIONS,
    });
    this.#writer = log.writer('test-history');
  }

  async open(): Promise<void> {
    await Promise.all([this.#clickHouse.connect(), this.#redis.connect(), this.#writer.fence()]);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await this.#clickHouse.position({ topic: CHANGES, partition, generation: 1 });
      const at = { topic: 'engagement.leaderboards', partition, generation: 1 };
      await this.#redis.position(at);
      await this.#redis.rebuild!({ ...at, from: 0n, to: 0n, records: [] });
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#clickHouse.close(), this.#redis.close(), this.#writer.close()]);
  }

  /**
   * Runs a transaction; `work` returns the ids of the events that it touched (of the events of the contents it edited, for
   * a correction). What they became is captured. `ignore` leaves it out of the pipeline: a fault.
   */
  async transaction(
    work: (sql: Sql) => Promise<readonly bigint[]>,
    options: { readonly kind?: 'correct'; readonly ignore?: boolean } = {},
  ): Promise<readonly bigint[]> {
    const captured = await this.#servers.pool.transaction(async (sql) => {
      const ids = await work(sql);
      const after = await statesOf(sql, ids);
      const { rows } = await sql.query<{ xid: string; lsn: string }>(
        'SELECT pg_current_xact_id()::text AS xid, pg_current_wal_insert_lsn()::text AS lsn',
      );
      return { ids, after, xid: BigInt(rows[0]!.xid), lsn: parseLsn(rows[0]!.lsn) };
    });
    if (options.ignore !== true) this.#emit(captured, options.kind);
    return captured.ids;
  }

  /** Writes everything that was captured, and a mark behind it, to every sink. */
  async flush(): Promise<void> {
    const { rows } = await this.#servers.pool.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    const mark = {
      kind: 'mark',
      lsn: parseLsn(rows[0]!.lsn),
      xid: 0n,
      commit_ts: Date.now(),
      before: null,
      after: null,
    } as const;
    for (const [partition, state] of this.#partitions.entries()) {
      const changes = [...state.pending, mark];
      state.pending = [];
      const { from, to } = await this.#publish(partition, changes);
      const records = changes.map((value, index): SinkRecord<ChangeRow> => {
        return { kind: 'upsert', offset: from + BigInt(index), key: null, value };
      });
      const batch = { topic: CHANGES, partition, generation: 1, from, to, records };
      await this.#clickHouse.write(batch, { retry: false });
      await this.#rank(partition, changes, to);
    }
  }

  /** Removes a record from the external topic, or puts it there again. */
  async external(id: bigint, what: 'lost' | 'present'): Promise<void> {
    const state = this.#emitted.get(id)!;
    const partition = partitionOf(state.content_id);
    const batch = this.#writer.batch(EVENTS_V1, partition);
    append(batch, state, what === 'present' ? { ...state, source_lsn: 0n, source_commit_ts: 0 } : null);
    await this.#commit([batch]);
  }

  /** Puts a row aside, as the stage would have: the row is in Postgres already. */
  async deadLetter(row: CapturedRow, reason: string): Promise<void> {
    const batch = this.#writer.batch(DLQ, 0);
    const value = capturedInsert(IDS.cdcValue, row, Date.now());
    const record = { offset: 7n, timestampMs: Date.now(), key: capturedKey(IDS.cdcKey, row), value, headers: [] };
    const letter = { reason, message: reason, stage: 'engagement.enrich', topic: CDC_EVENTS, partition: 0 };
    batch.append(record.key, record.value, record.timestampMs, deadLetterHeaders(record, letter));
    await this.#commit([batch]);
  }

  #emit(
    captured: {
      readonly ids: readonly bigint[];
      readonly after: ReadonlyMap<bigint, State>;
      readonly xid: bigint;
      readonly lsn: bigint;
    },
    kind?: 'correct',
  ): void {
    const { lsn, xid } = captured;
    const source = { lsn, xid, commit_ts: Date.now() };
    for (const id of captured.ids) {
      const before = this.#emitted.get(id) ?? null;
      const after = captured.after.get(id) ?? null;
      const add = (
        change: Pick<ChangeRow, 'kind'> & { readonly before: State | null; readonly after: State | null },
      ) => {
        const content = (change.after ?? change.before)!.content_id;
        this.#partitions[partitionOf(content)]!.pending.push({ ...source, ...change });
      };
      if (before !== null && after !== null && before.content_id !== after.content_id) {
        add({ kind: 'delete', before, after: null });
        add({ kind: 'insert', before: null, after });
      } else if (before !== null || after !== null) {
        add({ kind: kind ?? (before === null ? 'insert' : after === null ? 'delete' : 'update'), before, after });
      }
      if (after === null) this.#emitted.delete(id);
      else this.#emitted.set(id, after);
    }
  }

  /** Writes the changes and the present states in one transaction; the range of offsets that it covers. */
  async #publish(partition: number, changes: readonly ChangeRow[]): Promise<{ from: bigint; to: bigint }> {
    const { log } = this.#servers;
    const from = (await log.offsets(CHANGES, [partition], 'highWatermark')).get(partition)!;
    const changed = this.#writer.batch(CHANGES, partition);
    const states = this.#writer.batch(EVENTS_V1, partition);
    for (const change of changes) {
      changed.append(null, Buffer.from(change.kind), change.commit_ts);
      const after = change.after as State | null;
      const state = after ?? (change.before as State | null);
      if (state === null) continue;
      const value = after === null ? null : { ...after, source_lsn: change.lsn, source_commit_ts: change.commit_ts };
      append(states, state, value);
    }
    await this.#commit([changed, ...(states.count === 0 ? [] : [states])]);
    // The records and the marker that ends their transaction.
    return { from, to: from + BigInt(changes.length) + 1n };
  }

  async #commit(batches: readonly OutputBatch[]): Promise<void> {
    const offsets = { group: 'test-history', topic: CHANGES, partition: 0, offset: 0n, metadata: '' };
    await this.#writer.commit(batches, offsets);
  }

  async #rank(partition: number, changes: readonly ChangeRow[], nextOffset: bigint): Promise<void> {
    const state = this.#partitions[partition]!;
    const side = (event: ChangeRow['before']) =>
      event === null
        ? null
        : {
            contentId: event.content_id,
            eventType: event.event_type,
            eventTsMicros: event.event_ts,
            durationMs: event.duration_ms,
            pctBp: event.engagement_pct_bp,
            slug: event.content_slug,
            title: event.content_title,
            contentType: event.content_type,
          };
    for (const { kind, lsn, commit_ts, before, after } of changes) {
      state.boards.apply({ kind, lsn, commitTs: commit_ts, before: side(before), after: side(after) });
    }
    const outputs = state.boards.publish({ partition, nextOffset });
    const from = state.boardOffset;
    const to = from + BigInt(outputs.length);
    const records = outputs.map((output, index): SinkRecord<LeaderboardRecord> => {
      const at = { offset: from + BigInt(index), key: Buffer.from(output.key) };
      return output.kind === 'upsert' ? { kind: 'upsert', ...at, value: output.value } : { kind: 'tombstone', ...at };
    });
    const batch = { topic: 'engagement.leaderboards', partition, generation: 1, from, to, records };
    await this.#redis.write(batch, { retry: false });
    state.boardOffset = to;
  }
}

/** Any rule will do here: everything about one content is in one partition. */
export function partitionOf(contentId: string): number {
  return Number.parseInt(contentId.slice(-1), 16) % PARTITIONS;
}

function append(batch: OutputBatch, key: State, value: EngagementEvent | null): void {
  const writer = new ByteWriter({ chunkBytes: 4096 });
  const keyBytes = encodeKey(writer, IDS.key, key.content_id, key.event_id);
  if (value === null) {
    batch.append(keyBytes, null, Date.now());
    return;
  }
  writer.begin();
  encodeEventValue(writer, value);
  batch.append(keyBytes, frame(writer, IDS.event, writer.take()), Date.now());
}

async function statesOf(sql: Sql, ids: readonly bigint[]): Promise<ReadonlyMap<bigint, State>> {
  const { rows } = await sql.query<Omit<State, 'event_ts' | 'engagement_pct_bp'> & { readonly us: bigint }>(
    `SELECT e.id AS event_id, e.content_id::text, e.user_id::text, e.event_type, (extract(epoch FROM e.event_ts) * 1000000)::bigint AS us,
       e.duration_ms, e.device, NULL AS duration_ms_wide, NULL AS extra, NULL AS content_length_seconds_wide,
       c.slug AS content_slug, c.title AS content_title, c.content_type,
       c.length_seconds AS content_length_seconds
     FROM engagement_events e JOIN content c ON c.id = e.content_id WHERE e.id = ANY($1::bigint[])`,
    [ids],
  );
  return new Map(
    rows.map(({ us, ...row }) => {
      const engagement_pct_bp = engagementPctBp(row.duration_ms, row.content_length_seconds);
      return [row.event_id, { ...row, event_ts: Number(us), engagement_pct_bp }];
    }),
  );
}
