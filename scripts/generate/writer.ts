/** Writes batches of traffic into Postgres: one transaction each, at most four statements, on one connection. */
import { once } from 'node:events';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { postgresError } from '../../connectors/postgres/errors.ts';
import { clientConfig } from '../../connectors/postgres/pool.ts';
import { type Content, uuidText } from '../../pipelines/engagement/traffic/catalogue.ts';
import type { EventUpdate, Traffic, TrafficBatch } from '../../pipelines/engagement/traffic/traffic.ts';
import { COPY_EVENTS, CopyEncoder } from './copy-format.ts';

/** Rows that really changed. */
export interface Written {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly contentEdits: number;
}

/** Ids fetched from the sequence at a time. */
const ID_BLOCK = 20_000n;

const ADD_CONTENTS = `INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts)
  SELECT id, slug, title, content_type, length_seconds, to_timestamp(publish_s)
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[])
    AS c (id, slug, title, content_type, length_seconds, publish_s)
  ON CONFLICT DO NOTHING`;

const EDIT_CONTENTS = `UPDATE content SET slug = c.slug, title = c.title, content_type = c.content_type,
    length_seconds = c.length_seconds
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[])
    AS c (id, slug, title, content_type, length_seconds)
  WHERE content.id = c.id`;

const UPDATE_EVENTS = `UPDATE engagement_events e SET
    duration_ms = CASE WHEN u.has_duration THEN u.duration_ms ELSE e.duration_ms END,
    event_ts = coalesce(timestamptz 'epoch' + u.event_micros * interval '1 microsecond', e.event_ts),
    content_id = coalesce(u.content_id, e.content_id)
  FROM unnest($1::int8[], $2::bool[], $3::int[], $4::int8[], $5::uuid[])
    AS u (id, has_duration, duration_ms, event_micros, content_id)
  WHERE e.id = u.id`;

const DELETE_EVENTS = 'DELETE FROM engagement_events WHERE id = ANY ($1::int8[])';

export class TrafficWriter {
  readonly #client: pg.Client;
  #encoder: CopyEncoder | null = null;
  #nextId = 0n;
  #endOfBlock = 0n;

  constructor(url: string) {
    this.#client = new pg.Client(clientConfig({ url, applicationName: 'sluice-generate', statementTimeoutMs: 60_000 }));
    // A lost connection also rejects the statement under way, which is where it is reported.
    this.#client.on('error', () => undefined);
  }

  async connect(): Promise<void> {
    await this.#guard('connect to Postgres', async () => {
      await this.#client.connect();
      // The table grows faster than its statistics: left to guess, the planner would read all of it for a few rows.
      await this.#client.query('SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off');
    });
  }

  /** Ids of rows that an earlier run left, evenly spread over the table, at most `count`. */
  async existingIds(count: number): Promise<bigint[]> {
    return this.#guard('read existing rows', async () => {
      const result = await this.#client.query<{ id: bigint }>(
        `SELECT e.id FROM (SELECT min(id) AS low, max(id) AS high FROM engagement_events) AS span,
           generate_series(low, high, greatest(1, (high - low) / $1)) AS candidate (id)
           JOIN engagement_events e ON e.id = candidate.id ORDER BY e.id LIMIT $1`,
        [count],
      );
      return result.rows.map((row) => row.id);
    });
  }

  /** Adds the contents that are not there yet. */
  async prepare(traffic: Traffic): Promise<void> {
    this.#encoder = new CopyEncoder(traffic.contents, traffic.users);
    await this.#guard('add contents', async () => {
      for (let at = 0; at < traffic.contents.length; at += 5_000) {
        const part = traffic.contents.slice(at, at + 5_000);
        const publish = part.map((content) => content.publishMicros / 1e6);
        await this.#client.query(ADD_CONTENTS, [...contentColumns(part), publish]);
      }
    });
  }

  /** The next ids of the sequence: other writers use it too, so a block may have gaps. */
  async takeIds(count: number): Promise<BigInt64Array> {
    const ids = new BigInt64Array(count);
    for (let at = 0; at < count; at += 1) {
      if (this.#nextId === this.#endOfBlock) await this.#reserve();
      ids[at] = this.#nextId;
      this.#nextId += 1n;
    }
    return ids;
  }

  /** The bytes of a batch; apart from `write`, so that one batch is encoded while the server works on another. */
  encode(batch: TrafficBatch): Buffer {
    if (this.#encoder === null) throw new Error('prepare() comes first');
    return this.#encoder.encode(batch.inserts);
  }

  async write(batch: TrafficBatch, rows: Buffer, contents: readonly Content[]): Promise<Written> {
    return this.#guard('write a batch of traffic', async () => {
      await this.#client.query('BEGIN');
      const edits = [...batch.contentEdits.values()];
      if (edits.length > 0) await this.#client.query(EDIT_CONTENTS, contentColumns(edits));
      if (batch.inserts.count > 0) await this.#copy(rows);
      const updated = await this.#update(batch.updates, contents);
      const deleted =
        batch.deletes.length === 0 ? 0 : await this.#client.query(DELETE_EVENTS, [batch.deletes.map(String)]);
      await this.#client.query('COMMIT');
      return {
        inserted: batch.inserts.count,
        updated,
        deleted: deleted === 0 ? 0 : (deleted.rowCount ?? 0),
        contentEdits: edits.length,
      };
    });
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }

  async #copy(rows: Buffer): Promise<void> {
    const stream = this.#client.query(copyFrom(COPY_EVENTS));
    const finished = once(stream, 'finish');
    stream.end(rows);
    await finished;
  }

  async #update(updates: ReadonlyMap<bigint, EventUpdate>, contents: readonly Content[]): Promise<number> {
    if (updates.size === 0) return 0;
    const changes = [...updates.values()];
    const result = await this.#client.query(UPDATE_EVENTS, [
      Array.from(updates.keys(), String),
      changes.map((change) => change.durationMs !== undefined),
      changes.map((change) => change.durationMs ?? null),
      changes.map((change) => change.eventMicros ?? null),
      changes.map((change) => (change.content === undefined ? null : uuidText(contents[change.content]!.id))),
    ]);
    return result.rowCount ?? 0;
  }

  async #reserve(): Promise<void> {
    await this.#guard('reserve ids', async () => {
      // The application draws from the same sequence, and what it drew in between must not be used here: of the
      // numbers drawn, only the longest run without a gap is.
      const result = await this.#client.query<{ first: bigint; last: bigint }>(
        `SELECT min(id) AS first, max(id) AS last FROM (
           SELECT id, id - row_number() OVER (ORDER BY id) AS run
           FROM (SELECT nextval('engagement_events_id_seq') AS id FROM generate_series(1, $1::int8)) AS taken
         ) AS runs GROUP BY run ORDER BY count(*) DESC LIMIT 1`,
        [ID_BLOCK],
      );
      const { first, last } = result.rows[0]!;
      this.#nextId = first;
      this.#endOfBlock = last + 1n;
    });
  }

  async #guard<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw postgresError(error, doing);
    }
  }
}

function contentColumns(contents: readonly Content[]): unknown[][] {
  return [
    contents.map((content) => uuidText(content.id)),
    contents.map((content) => content.slug),
    contents.map((content) => content.title),
    contents.map((content) => content.type),
    contents.map((content) => content.lengthSeconds),
  ];
}
