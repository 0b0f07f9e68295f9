/** A migrated ClickHouse database for engagement tests, and what its readers see. */
import { fileURLToPath } from 'node:url';
import type { ClickHouseClient } from '@clickhouse/client';
import { type ClickHouseConfig, clickHouseClient, selectRows } from '../../connectors/clickhouse/client.ts';
import { migrateClickHouse } from '../../connectors/clickhouse/migrations.ts';
import type { EventRow } from '../../pipelines/engagement/clickhouse-rows.ts';
import { type Bucket, rollup, type Sums } from './engagement-model.ts';

export const CLICKHOUSE_SQL = fileURLToPath(new URL('../../sql/clickhouse', import.meta.url));

export interface EngagementDatabase {
  readonly config: ClickHouseConfig;
  readonly client: ClickHouseClient;
  /** Empties every table, so that the next test starts from nothing. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function engagementDatabase(url: string, database: string): Promise<EngagementDatabase> {
  const config = { url, database, username: 'default', password: '', requestTimeoutMs: 30_000 };
  await migrateClickHouse({ config, directory: CLICKHOUSE_SQL });
  const client = clickHouseClient(config);
  return {
    config,
    client,
    async reset() {
      const tables = await selectRows<{ name: string }>(
        client,
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'sluice_migrations'",
      );
      for (const { name } of tables) await client.command({ query: `TRUNCATE TABLE ${name}` });
    },
    close: () => client.close(),
  };
}

const BUCKETS: readonly (readonly [view: string, bucket: Bucket])[] = [
  ['engagement_hourly', 'hour'],
  ['engagement_daily', 'day'],
  ['engagement_weekly', 'week'],
];

export interface Figures {
  readonly rows: readonly unknown[];
  readonly rollups: Readonly<Record<string, readonly (Sums & { readonly key: string })[]>>;
}

const ROW_COLUMNS = [
  'toString(event_id) AS event_id',
  'content_id',
  'user_id',
  'event_type',
  'toUnixTimestamp64Micro(event_ts) AS event_ts',
  'duration_ms',
  'device',
  'content_slug',
  'content_title',
  'content_type',
  'content_length_seconds',
  'engagement_pct_bp',
  'extra',
];

/** What analysts see: current rows and all rollups. */
export async function readFigures(client: ClickHouseClient): Promise<Figures> {
  const query = async <T>(sql: string): Promise<T[]> => {
    const result = await client.query({
      query: sql,
      format: 'JSONEachRow',
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
    });
    return result.json<T>();
  };
  const rollups: Record<string, readonly (Sums & { key: string })[]> = {};
  for (const [view, bucket] of BUCKETS) {
    type Row = Sums & { bucket: string; content_id: string; content_type: string; device: string | null };
    const rows = await query<Row>(
      `SELECT toString(${bucket}) AS bucket, content_id, content_type, device, events, plays, pauses, finishes, clicks,
        duration_ms_sum, duration_samples, pct_bp_sum, pct_samples FROM ${view}`,
    );
    rollups[view] = rows
      .map(({ bucket, content_id, content_type, device, ...sums }) => ({
        key: JSON.stringify([bucket, content_id, content_type, device]),
        ...sums,
      }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }
  return {
    rows: await query(`SELECT ${ROW_COLUMNS.join(', ')} FROM engagement_events ORDER BY event_id, content_id`),
    rollups,
  };
}

/** What the model says that they see. */
export function expectedFigures(rows: readonly EventRow[]): Figures {
  const sorted = rows
    .map(({ duration_ms_wide, content_length_seconds_wide, ...row }) => ({
      ...row,
      event_id: String(row.event_id),
      duration_ms: row.duration_ms ?? duration_ms_wide,
      content_length_seconds: row.content_length_seconds ?? content_length_seconds_wide,
    }))
    .sort((a, b) =>
      a.event_id < b.event_id ? -1 : a.event_id > b.event_id ? 1 : a.content_id < b.content_id ? -1 : 1,
    );
  return {
    rows: sorted,
    rollups: Object.fromEntries(BUCKETS.map(([view, bucket]) => [view, rollup(rows, bucket)])),
  };
}
