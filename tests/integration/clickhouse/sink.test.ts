/** What only the ClickHouse sink promises, beside the contract of all sinks. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { type Column, NativeBlock, type Value } from '../../../connectors/clickhouse/native-block.ts';
import { textCells } from '../../../connectors/clickhouse/tab-separated.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import { type ChangeRow, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import {
  type EngagementDatabase,
  engagementDatabase,
  expectedFigures,
  readFigures,
} from '../../support/engagement-figures.ts';
import { fixedHistory, play } from '../../support/engagement-model.ts';

const AT = { topic: 'engagement.changes', partition: 5 };
const HISTORY = fixedHistory(120);
const END = HISTORY.records.at(-1)!.offset + 1n;

let server: TestClickHouse;
let database: EngagementDatabase;
const sinks: Sink<ChangeRow>[] = [];

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'sink');
}, 60_000);
afterAll(async () => {
  await Promise.all(sinks.map((sink) => sink.close()));
  await database?.close();
  await server?.stop();
}, 60_000);
beforeEach(() => database.reset(), 60_000);

function newSink(options: { readonly leaseMs?: number; readonly now?: () => number } = {}): Sink<ChangeRow> {
  const sink = engagementClickHouseSink({ name: 'test.sink', config: database.config, ...options });
  sinks.push(sink);
  return sink;
}

function batch(from: bigint, to: bigint): SinkBatch<ChangeRow> {
  const records = HISTORY.records.filter(({ offset }) => offset >= from && offset < to);
  return { ...AT, from, to, generation: 1, records };
}

async function failure(work: Promise<unknown>): Promise<SluiceError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SluiceError)) throw new Error(`Expected a SluiceError, got ${String(error)}`);
  return error;
}

const command = (query: string) => database.client.command({ query });
const logRows = async () =>
  Number((await selectRows<{ n: string }>(database.client, 'SELECT count() AS n FROM engagement_changes'))[0]!.n);

describe('a retry', { timeout: 60_000 }, () => {
  it('completes a rollup that the first attempt missed', async () => {
    // The log has its rows and the server dies before a view has fed its table: no progress, one rollup empty.
    await command('DETACH TABLE engagement_weekly_feed');
    await newSink().write(batch(0n, END), { retry: false });
    await command('ATTACH TABLE engagement_weekly_feed');
    await command('TRUNCATE TABLE sluice_progress');
    expect(await readFigures(database.client)).not.toEqual(expectedFigures(HISTORY.rows));
    const rows = await logRows();
    expect(await newSink().write(batch(0n, END), { retry: true })).toBe('written');
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
    expect(await logRows()).toBe(rows);
  });

  it('is still recognised by a server that was killed in between', async () => {
    await newSink().write(batch(0n, END), { retry: false });
    await command('TRUNCATE TABLE sluice_progress');
    await server.restart();
    expect(await newSink().write(batch(0n, END), { retry: true })).toBe('written');
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
  });

  it('stops when the server may have forgotten the token and nothing says that the rollups are complete', async () => {
    await newSink().write(batch(0n, 40n), { retry: false });
    await command('TRUNCATE TABLE sluice_progress');
    // Thousands of later inserts of other partitions, as the log would show them.
    await command(`INSERT INTO engagement_changes
      SELECT * EXCEPT number REPLACE (9 AS source_partition, now64(3) + toIntervalMillisecond(number) AS inserted_at)
      FROM (SELECT *, number FROM engagement_changes CROSS JOIN numbers(6000) AS n WHERE source_offset = 0)`);
    const error = await failure(newSink().write(batch(0n, 40n), { retry: true }));
    expect(error).toMatchObject({ code: 'CLICKHOUSE_RANGE_IN_DOUBT', action: 'fatal' });
  });
});

describe('records that were refused', { timeout: 60_000 }, () => {
  // Every fifth: rows that were changed again behind them are among these.
  const refused = HISTORY.records.filter((_, index) => index % 5 === 0);

  async function passOver(): Promise<void> {
    const all = batch(0n, END);
    await newSink().write({ ...all, records: all.records.filter((one) => !refused.includes(one)) }, { retry: false });
    expect(await readFigures(database.client)).not.toEqual(expectedFigures(HISTORY.rows));
  }

  const redrive = async (record: (typeof refused)[number]) =>
    await newSink().redrive!({ ...batch(record.offset, record.offset + 1n), records: [record] });

  it('count when they are redriven, newest first and each twice, as if they had come in their turn', async () => {
    await passOver();
    for (const record of [...refused].reverse()) {
      await redrive(record);
      await redrive(record);
    }
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
  });

  it('are completed when a redrive has missed a rollup', async () => {
    await passOver();
    await command('DETACH TABLE engagement_weekly_feed');
    for (const record of refused) await redrive(record);
    await command('ATTACH TABLE engagement_weekly_feed');
    for (const record of refused) await redrive(record);
    expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
  });

  it('are left alone when a later reading of the topic has written them', async () => {
    await newSink().write({ ...batch(0n, END), generation: 2 }, { retry: false });
    const rows = await logRows();
    for (const record of refused.slice(0, 3)) await redrive(record);
    expect(await logRows()).toBe(rows);
  });
});

describe('a writer that was stopped', { timeout: 60_000 }, () => {
  it('is refused by the server when its lease is over', async () => {
    // The lease began before the pause, however long ago that was.
    const zombie = newSink({ leaseMs: -60_000 });
    const error = await failure(zombie.write(batch(0n, END), { retry: false }));
    expect(error).toMatchObject({ code: 'CLICKHOUSE_LEASE_OVER', action: 'retry' });
    expect(await logRows()).toBe(0);
    expect(await newSink().write(batch(0n, END), { retry: true })).toBe('written');
  });

  it('asks before it writes when it was away for half its lease, though the server has forgotten its token', async () => {
    let clock = 0;
    const zombie = newSink({ leaseMs: 600_000, now: () => clock });
    await zombie.write(batch(0n, 10n), { retry: false });
    await newSink().write(batch(10n, 20n), { retry: true });
    await newSink().write(batch(20n, END), { retry: false });
    for (const table of [
      'engagement_changes',
      'engagement_hourly_store',
      'engagement_daily_store',
      'engagement_weekly_store',
    ]) {
      await command(`ALTER TABLE ${table} MODIFY SETTING non_replicated_deduplication_window = 0`);
    }
    try {
      clock += 300_001;
      expect(await zombie.write(batch(10n, 20n), { retry: false })).toBe('stale');
      expect(await readFigures(database.client)).toEqual(expectedFigures(HISTORY.rows));
    } finally {
      for (const table of [
        'engagement_changes',
        'engagement_hourly_store',
        'engagement_daily_store',
        'engagement_weekly_store',
      ]) {
        await command(`ALTER TABLE ${table} MODIFY SETTING non_replicated_deduplication_window = 10000`);
      }
    }
  });

  it('hears that the target has lost its data', async () => {
    const sink = newSink({ leaseMs: 600_000 });
    await sink.write(batch(0n, 10n), { retry: false });
    await database.reset();
    expect(await sink.write(batch(10n, 20n), { retry: true })).toBe('lost');
    expect(await sink.position({ ...AT, generation: 1 })).toEqual({ kind: 'offset', offset: 0n });
  });
});

describe('a batch', { timeout: 60_000 }, () => {
  it('with a row that ClickHouse cannot read is refused whole, for the engine to halve', async () => {
    const good = batch(0n, 40n);
    const bad = good.records.map((record) =>
      record.kind === 'upsert' && record.value.after !== null && record.offset > 20n
        ? { ...record, value: { ...record.value, after: { ...record.value.after, content_id: 'no uuid' } } }
        : record,
    );
    const error = await failure(newSink().write({ ...good, records: bad }, { retry: false }));
    expect(error).toMatchObject({ code: 'CLICKHOUSE_CANNOT_PARSE_UUID', action: 'dead-letter' });
    expect(await logRows()).toBe(0);
  });

  it('of several months is one part a month, all under one token, however large', async () => {
    // More rows than the server puts into a block of its own accord.
    const rounds = Math.ceil(66_000 / HISTORY.records.length);
    const records = Array.from({ length: rounds }, (_, round) =>
      HISTORY.records.map((record) => ({ ...record, offset: record.offset + BigInt(round) * END })),
    ).flat();
    await newSink().write({ ...batch(0n, 0n), to: BigInt(rounds) * END, records }, { retry: false });
    expect(await logRows()).toBeGreaterThan(65_536);
    const [row] = await selectRows<{ blocks: string; months: string; times: string }>(
      database.client,
      'SELECT uniqExact(_part) AS blocks, uniqExact(toYYYYMM(event_ts)) AS months, uniqExact(inserted_at) AS times FROM engagement_changes',
    );
    expect(Number(row!.months)).toBeGreaterThan(2);
    expect(row).toEqual({ blocks: row!.months, months: row!.months, times: '1' });
  });

  it('as a block of columns says what its text says', async () => {
    const columns = [
      { name: 'small', type: 'Int8' },
      { name: 'long', type: 'Nullable(Int64)' },
      { name: 'unsigned', type: 'UInt64' },
      { name: 'id', type: 'UUID' },
      { name: 'text', type: 'Nullable(String)' },
      { name: 'kind', type: 'String' },
      { name: 'second', type: 'DateTime' },
      { name: 'milli', type: 'DateTime64(3)' },
      { name: 'micro', type: 'DateTime64(6)' },
    ] as const satisfies readonly Column[];
    const numbers = [
      0n,
      1n,
      -1n,
      2n ** 31n,
      -(2n ** 31n),
      2n ** 32n - 1n,
      2n ** 53n + 1n,
      2n ** 63n - 1n,
      -(2n ** 63n),
    ];
    const texts = ['', '\\N', '\t\n\r\\\0', 'ünï €', 'x'.repeat(20_000), 'a'];
    const block = new NativeBlock(columns);
    let text = '';
    for (let row = 0; row < 200; row += 1) {
      const long = numbers[row % numbers.length]!;
      const values: Value[] = [
        (row % 256) - 128,
        row % 5 === 0 ? null : row % 2 === 0 && Number.isSafeInteger(Number(long)) ? Number(long) : long,
        BigInt.asUintN(64, long),
        randomUUID(),
        row % 7 === 0 ? null : texts[row % texts.length]!,
        ['insert', 'delete'][row % 2]!,
        row * 20_000_000,
        row * 31_556_952_123,
        row * 31_556_952_123_457,
      ];
      block.add(values, []);
      text += `${textCells(columns, values)}\n`;
    }
    const names = columns.map(({ name }) => name).join(', ');
    const insert = (table: string, format: string, body: Buffer) =>
      fetch(`${server.url}/?${new URLSearchParams({ query: `INSERT INTO ${table} (${names}) FORMAT ${format}` })}`, {
        method: 'POST',
        body,
      });
    for (const table of ['default.as_block', 'default.as_text']) {
      // Wider, in another zone, or a dictionary: what the migrations may make of a column.
      await command(
        `CREATE OR REPLACE TABLE ${table} (small Int32, long Nullable(Int64), unsigned UInt64, id UUID, text Nullable(String),
           kind Enum8('insert' = 1, 'delete' = 2), second DateTime('UTC'), milli DateTime64(3, 'UTC'), micro DateTime64(6, 'UTC'))
         ENGINE = MergeTree ORDER BY small`,
      );
    }
    expect((await insert('default.as_block', 'Native', block.take())).status).toBe(200);
    expect((await insert('default.as_text', 'TabSeparated', Buffer.from(text))).status).toBe(200);
    const [counts] = await selectRows(
      database.client,
      `SELECT count() AS rows, uniqExact(id) AS ids FROM
         (SELECT * FROM default.as_block INTERSECT DISTINCT SELECT * FROM default.as_text)`,
    );
    expect(counts).toEqual({ rows: '200', ids: '200' });
  });

  it('says how fresh the partition is, and only by marks', async () => {
    const at = {
      event: 1,
      content: 0,
      eventType: 'play',
      eventTs: 1_770_000_000_000_000,
      durationMs: null,
      device: null,
    } as const;
    const { records } = play([
      { ...at, what: 'upsert' },
      { ...at, what: 'mark' },
      { ...at, what: 'upsert' },
    ]);
    const fresh = () =>
      selectRows(
        database.client,
        'SELECT pipeline, topic, partition, generation, next_offset, lsn, toUnixTimestamp64Milli(stream_time) AS ms FROM sluice_freshness',
      );
    const sink = newSink();
    const place = { pipeline: 'test.sink', topic: AT.topic, partition: AT.partition, generation: 1 };
    const mark = records[1]!;
    if (mark.kind !== 'upsert') throw new Error('the history has a mark');
    const seen = { lsn: String(mark.value.lsn), ms: String(mark.value.commit_ts) };
    await sink.write({ ...AT, from: 0n, to: 1n, generation: 1, records: records.slice(0, 1) }, { retry: false });
    expect(await fresh()).toEqual([{ ...place, next_offset: '1', lsn: '0', ms: '0' }]);
    await sink.write({ ...AT, from: 1n, to: 2n, generation: 1, records: records.slice(1, 2) }, { retry: false });
    expect(await fresh()).toEqual([{ ...place, next_offset: '2', ...seen }]);
    await newSink().write({ ...AT, from: 2n, to: 3n, generation: 1, records: records.slice(2) }, { retry: false });
    expect(await fresh()).toEqual([{ ...place, next_offset: '3', ...seen }]);
  });
});

describe('connect', { timeout: 60_000 }, () => {
  it('says which table is missing', async () => {
    const sink = engagementClickHouseSink({ name: 'x', config: { ...database.config, database: 'default' } });
    sinks.push(sink);
    expect(await failure(sink.connect())).toMatchObject({ code: 'CLICKHOUSE_UNKNOWN_TABLE', action: 'fatal' });
  });
});
