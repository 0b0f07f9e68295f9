import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { endHold, holdsOf, placeHold } from '../../../connectors/clickhouse/hold.ts';
import { type Months, ShadowBuild } from '../../../connectors/clickhouse/shadow.ts';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import {
  type ChangeRow,
  type EventRow,
  engagementClickHouseSink,
} from '../../../pipelines/engagement/clickhouse-rows.ts';
import { STAGED_COLUMNS, stagedRow } from '../../../pipelines/engagement/replay/clickhouse.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import {
  type EngagementDatabase,
  engagementDatabase,
  expectedFigures,
  readFigures,
} from '../../support/engagement-figures.ts';
import { fixedHistory, type History } from '../../support/engagement-model.ts';

const HISTORY = fixedHistory(120);
const END = HISTORY.records.at(-1)!.offset + 1n;
const MIDDLE = 60n;
const LEASE_MS = 2_000;

let server: TestClickHouse;
let database: EngagementDatabase;
let sink: Sink<ChangeRow>;

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'shadow');
  sink = engagementClickHouseSink({ name: 'shadow.sink', config: database.config, leaseMs: LEASE_MS });
}, 60_000);
afterAll(async () => {
  await sink?.close();
  await database?.close();
  await server?.stop();
}, 60_000);
beforeEach(async () => {
  for (const { run } of await holdsOf(database.client, 'engagement_changes')) {
    await endHold(database.client, 'engagement_changes', { run, keepShadows: false, leaseMs: 0 });
  }
  await command('ALTER TABLE engagement_changes DROP CONSTRAINT IF EXISTS asked_since');
  await database.reset();
  await sink.position({ topic: 't', partition: 0, generation: 1 });
}, 60_000);

const command = (query: string) => database.client.command({ query });

async function write(from: bigint, to: bigint): Promise<void> {
  const records = HISTORY.records.filter(({ offset }) => offset >= from && offset < to);
  const batch: SinkBatch<ChangeRow> = { topic: 't', partition: 0, from, to, generation: 1, records };
  expect(await sink.write(batch, { retry: true })).toBe('written');
}

/** As the engine does: tries again what the hold or the lease refuses. */
async function writeInTheEnd(from: bigint, to: bigint): Promise<void> {
  await expect
    .poll(async () => await write(from, to).then(() => 'written', codeOf), { timeout: 20_000 })
    .toBe('written');
}

const codeOf = (error: unknown): string => (error as { code: string }).code;

let runs = 0;
function build(): ShadowBuild {
  runs += 1;
  return new ShadowBuild(database.client, {
    log: 'engagement_changes',
    key: ['content_id', 'event_id'],
    time: 'event_ts',
    pipeline: 'shadow.sink',
    topic: 't',
    run: `r${runs}`,
    leaseMs: LEASE_MS,
  });
}

/** The rows that are there after the records below an offset, newest state of each, as the public topic has them. */
function statesAt(
  history: History,
  end: bigint,
): { readonly rows: Map<string, EventRow>; readonly gone: Map<string, EventRow> } {
  const rows = new Map<string, EventRow>();
  const gone = new Map<string, EventRow>();
  for (const record of history.records) {
    if (record.offset >= end || record.kind === 'tombstone') continue;
    const { before, after } = record.value;
    if (before !== null) {
      rows.delete(`${before.content_id}/${before.event_id}`);
      gone.set(`${before.content_id}/${before.event_id}`, before);
    }
    if (after !== null) rows.set(`${after.content_id}/${after.event_id}`, after);
  }
  return { rows, gone };
}

async function stage(shadow: ShadowBuild, end: bigint): Promise<void> {
  const { rows, gone } = statesAt(HISTORY, end);
  const cells = [...rows.values()].map((event, index) =>
    stagedRow(
      { kind: 'upsert', event: { ...event, source_lsn: 1n, source_commit_ts: 1_000 } },
      { partition: 0, offset: 1_000n + BigInt(index) },
    ),
  );
  for (const { content_id, event_id } of gone.values()) {
    if (rows.has(`${content_id}/${event_id}`)) continue;
    cells.push(stagedRow({ kind: 'tombstone', key: { content_id, event_id } }, { partition: 0, offset: 5_000n }));
  }
  await shadow.stage(STAGED_COLUMNS, cells.join(''));
}

/** Makes current rows and all sums wrong; the log stays. */
async function spoil(): Promise<void> {
  await command('TRUNCATE TABLE engagement_events_store');
  await command('TRUNCATE TABLE engagement_weekly_store');
  await command('INSERT INTO engagement_daily_store SELECT * FROM engagement_daily_store');
  await command('ALTER TABLE engagement_hourly_store UPDATE plays = plays + 1 WHERE 1 SETTINGS mutations_sync = 2');
}

const ALL: Months = null;

describe('ShadowBuild', { timeout: 60_000 }, () => {
  it('makes everything right again from present states and the log behind them, while the sink goes on', async () => {
    await write(0n, MIDDLE);
    await spoil();
    const shadow = build();
    await shadow.begin();
    // The source is ahead of the sink: the log is staged over it once the sink has come there.
    await stage(shadow, 90n);
    await write(MIDDLE, 100n);
    const filled = await shadow.written();
    await shadow.stageLog(new Map([[0, 30n]]), filled);
    await shadow.fill(ALL);
    await write(100n, 110n);
    const held = await shadow.held(filled, 60, async () => {
      await expect(write(110n, END)).rejects.toMatchObject({ code: 'CLICKHOUSE_HELD', action: 'retry' });
      const differences = await shadow.compare(ALL);
      await shadow.swap(ALL);
      return differences;
    });
    for (const store of ['hourly', 'daily', 'weekly']) {
      const { missing, extra, changed } = held!.result.find(({ table }) => table === `engagement_${store}_store`)!;
      expect(missing + extra + changed, store).toBeGreaterThan(0);
    }
    await writeInTheEnd(110n, END);
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
    expect(await selectRows(database.client, "SHOW TABLES LIKE '%shadow%'")).toEqual([]);
  });

  it('finds no difference, and changes nothing, where nothing is wrong', async () => {
    await write(0n, END);
    const before = await readFigures(database.client);
    const shadow = build();
    await shadow.begin();
    const filled = await shadow.written();
    // Without a source: the whole log says the same.
    await shadow.stageLog(new Map(), filled);
    await shadow.fill(ALL);
    const held = await shadow.held(filled, 60, async () => await shadow.compare(ALL));
    // A content without events keeps its name only until the tables are rebuilt from events.
    const wrong = held!.result.map(({ table, missing, extra, changed }) => {
      return missing + changed + (table === 'engagement_content_store' ? 0 : extra);
    });
    expect(wrong).toEqual([0, 0, 0, 0, 0]);
    expect(await readFigures(database.client)).toEqual(before);
  });

  it('replaces only the months asked for', async () => {
    await write(0n, END);
    await spoil();
    const wrong = await readFigures(database.client);
    const shadow = build();
    await shadow.begin();
    const filled = await shadow.written();
    await shadow.stageLog(new Map(), filled);
    const months = { from: new Date('2026-02-01T00:00:00Z'), to: new Date('2026-03-01T00:00:00Z') };
    await shadow.fill(months);
    await shadow.held(filled, 60, async () => await shadow.swap(months));
    const right = expectedFigures(HISTORY.rows);
    const found = await readFigures(database.client);
    for (const view of ['engagement_hourly', 'engagement_daily', 'engagement_weekly']) {
      const ofMonth = (row: { key: string }) => row.key.startsWith('["2026-02');
      expect(found.rollups[view]!.filter(ofMonth), view).toEqual(right.rollups[view]!.filter(ofMonth));
      const other = (row: { key: string }) => !ofMonth(row);
      expect(found.rollups[view]!.filter(other), view).toEqual(wrong.rollups[view]!.filter(other));
    }
  });

  it('refuses a writer that has not looked since the exchange', async () => {
    await write(0n, MIDDLE);
    const shadow = build();
    await shadow.begin();
    const filled = await shadow.written();
    await shadow.stageLog(new Map(), filled);
    await shadow.fill(ALL);
    await shadow.held(filled, 60, async () => await shadow.swap(ALL));
    // A process that slept since its last look repeats the batch: its token is known to the log only.
    const lease = Math.floor(Date.now() / 1_000) + LEASE_MS / 1_000 - 1;
    const repeat = command(
      `INSERT INTO engagement_changes SELECT * REPLACE (toDateTime(${lease}, 'UTC') AS write_before) FROM engagement_changes`,
    );
    await expect(repeat).rejects.toThrow(/asked_since/);
    await writeInTheEnd(MIDDLE, END);
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
  });

  it('lets a sink finish its range first', async () => {
    await write(0n, MIDDLE);
    const shadow = build();
    await shadow.begin();
    const filled = await shadow.written();
    await shadow.stageLog(new Map(), filled);
    await shadow.fill(ALL);
    await write(MIDDLE, 90n);
    await command('ALTER TABLE sluice_progress DELETE WHERE next_offset = 90 SETTINGS mutations_sync = 2');
    await command(
      "INSERT INTO sluice_progress (pipeline, topic, partition, generation, next_offset, lsn, stream_time) VALUES ('shadow.sink', 't', 0, 1, 60, 0, 0)",
    );
    expect(await shadow.held(filled, 60, async () => 'swapped')).toBeNull();
    expect(await holdsOf(database.client, 'engagement_changes')).toEqual([]);
  });

  it('is undone by the sink when its owner is gone, and an exchange that comes late fails', async () => {
    await write(0n, MIDDLE);
    const shadow = build();
    await shadow.begin();
    const filled = await shadow.written();
    await shadow.stageLog(new Map(), filled);
    await shadow.fill(ALL);
    const late = shadow.held(filled, 0, async () => {
      // Asleep beyond the hold: the sink goes on.
      await writeInTheEnd(MIDDLE, END);
      await shadow.swap(ALL);
    });
    await expect(late).rejects.toThrow(/doesn't exist/);
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
    expect(await selectRows(database.client, "SHOW TABLES LIKE '%shadow%'")).toEqual([]);
  });

  it('refuses to hold what another holds', async () => {
    const shadow = build();
    await shadow.begin();
    await placeHold(database.client, 'engagement_changes', { run: 'other', seconds: 60, leaseMs: LEASE_MS });
    await expect(shadow.held(new Map(), 60, async () => 'swapped')).rejects.toMatchObject({ code: 'CLICKHOUSE_HELD' });
    await shadow.end();
    expect(await holdsOf(database.client, 'engagement_changes')).toMatchObject([{ run: 'other' }]);
  });
});
