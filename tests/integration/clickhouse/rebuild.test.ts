import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { rebuildFromLog } from '../../../connectors/clickhouse/rebuild.ts';
import type { SinkBatch } from '../../../engine/sink.ts';
import { type ChangeRow, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import {
  type EngagementDatabase,
  engagementDatabase,
  expectedFigures,
  readFigures,
} from '../../support/engagement-figures.ts';
import { fixedHistory } from '../../support/engagement-model.ts';

const HISTORY = fixedHistory(120);
const END = HISTORY.records.at(-1)!.offset + 1n;

let server: TestClickHouse;
let database: EngagementDatabase;

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'rebuild');
}, 60_000);
afterAll(async () => {
  await database?.close();
  await server?.stop();
}, 60_000);
beforeEach(() => database.reset(), 60_000);

async function write(from: bigint, to: bigint, generation = 1): Promise<void> {
  const sink = engagementClickHouseSink({ name: 'rebuild.sink', config: database.config });
  try {
    const records = HISTORY.records.filter(({ offset }) => offset >= from && offset < to);
    const batch: SinkBatch<ChangeRow> = { topic: 't', partition: 0, from, to, generation, records };
    await sink.write(batch, { retry: false });
  } finally {
    await sink.close();
  }
}

const command = (query: string) => database.client.command({ query });
const rebuild = () =>
  rebuildFromLog({ config: database.config, log: 'engagement_changes', current: 'engagement_events' });

describe('rebuildFromLog', { timeout: 60_000 }, () => {
  it('mends rows and rollups that are wrong, and later writes go on from there', async () => {
    await write(0n, 60n);
    await command('TRUNCATE TABLE engagement_events_store');
    await command('TRUNCATE TABLE engagement_weekly_store');
    await command('INSERT INTO engagement_daily_store SELECT * FROM engagement_daily_store');
    const result = await rebuild();
    expect(result.recomputed).toEqual(['engagement_daily_store', 'engagement_hourly_store', 'engagement_weekly_store']);
    expect(result.fed).toEqual(['engagement_content_store', 'engagement_events_store']);
    await write(60n, END);
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
    const tables = await database.client.query({ query: "SHOW TABLES LIKE '%shadow%'", format: 'JSONEachRow' });
    expect(await tables.json()).toEqual([]);
  });

  it('brings back a range in doubt: half in the log, in some rollups and not in others', async () => {
    await write(0n, END);
    const [month] = await selectRows<{ id: string }>(
      database.client,
      'SELECT _partition_id AS id FROM engagement_changes GROUP BY id ORDER BY count() DESC LIMIT 1',
    );
    await command(`ALTER TABLE engagement_changes DROP PARTITION ID '${month!.id}'`);
    await command('TRUNCATE TABLE engagement_weekly_store');
    await command('TRUNCATE TABLE sluice_progress');
    await write(0n, END, 2);
    expect(await readFigures(database.client)).not.toEqual(expectedFigures(HISTORY.rows));
    await rebuild();
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
  });

  it('refuses while a range is not finished', async () => {
    await write(0n, 60n);
    await write(60n, END);
    await command('TRUNCATE TABLE sluice_progress');
    await expect(rebuild()).rejects.toMatchObject({ code: 'CLICKHOUSE_REBUILD_REFUSED', action: 'fatal' });
    await command(
      "INSERT INTO sluice_progress (pipeline, topic, partition, generation, next_offset, lsn, stream_time) VALUES ('rebuild.sink', 't', 0, 1, 60, 0, 0)",
    );
    await expect(rebuild()).rejects.toThrow(/Partitions 0 have a range that is not finished/);
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
  });
});
