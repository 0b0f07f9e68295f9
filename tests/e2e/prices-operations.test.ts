/**
 * The operators' commands for prices on the real stack: letters are shown and written back, bars that nobody heard of are brought and taken off, and
 * what was made wrong by hand in ClickHouse and Redis is made anew. After each case everything equals the same SQL over Postgres.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clickHouseClient } from '../../connectors/clickhouse/client.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { appendRecords, type PlainRecord } from '../../connectors/kafka/plain.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { readToEnd } from '../../engine/restore.ts';
import { REPOSITORY } from '../../infra/native/layout.ts';
import { clickHouseConfig, kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import type { LetterCounts } from '../../pipelines/operations/dlq/catalogue.ts';
import type { Described } from '../../pipelines/operations/dlq/describe.ts';
import { operatorRecord, rowOfKey } from '../../pipelines/operations/operator-record.ts';
import { candleKeyDecoder } from '../../pipelines/prices/codec/candle.ts';
import { CANDLES_V1, CDC_PRICES } from '../../pipelines/prices/topics.ts';
import { MONITOR, processesOf } from '../../pipelines/processes.ts';
import { loseSlot } from '../support/lost-slot.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

let pipeline: Pipeline;
let pool: PostgresPool;
let kafka: KafkaClient;
beforeAll(async () => {
  const workers = processesOf(['prices']).filter((name) => name !== MONITOR);
  pipeline = await startPipeline({ instances: 1, workers });
  pool = new PostgresPool({ url: pipeline.env.SLUICE_POSTGRES_URL!, applicationName: 'test' });
  kafka = new KafkaClient(kafkaOptions(loadConfig(pipeline.env), 'test'));
  await pool.query(
    `INSERT INTO stocks (id, symbol, name, exchange)
     VALUES (1, 'ONE', 'One', 'NYSE'), (2, 'TWO', 'Two', 'NASDAQ'), (3, 'THREE', 'Three', 'XETRA')`,
  );
});
afterAll(async () => {
  await Promise.all([pool?.close(), kafka?.close()]);
  await pipeline?.stop();
});

interface Outcome<T> {
  readonly code: number;
  readonly message: string;
  readonly plan: unknown;
  readonly result: T;
}

/** Runs a command; the last line it prints is JSON. */
async function command<T>(script: string, ...args: readonly string[]): Promise<Outcome<T>> {
  const { code, output } = await pipeline.script(script, ...args, '--json');
  const last = output.split('\n').findLast((line) => line.startsWith('{'));
  expect(last, output).toBeDefined();
  return { code, ...(JSON.parse(last!) as Omit<Outcome<T>, 'code'>) };
}

const dlq = async <T>(...args: readonly string[]) => await command<T>('dlq.ts', ...args, '--pipeline', 'prices');

async function comparison(): Promise<string> {
  const { output } = await pipeline.script('reconcile.ts', '--pipeline', 'prices', '--json', '--deadline', '120');
  const last = output.split('\n').findLast((line) => line.startsWith('{'));
  return last === undefined ? output : (JSON.parse(last) as { result: string }).result;
}

/** Bars of one minute each of these stocks, from so many minutes before now; what is there already is changed. */
async function write(stocks: readonly number[], minutes: number, price: number): Promise<void> {
  await pool.query(
    `INSERT INTO stock_prices (stock_id, ts, open, high, low, close, volume)
     SELECT stock, date_trunc('hour', now()) - minute * interval '1 minute',
       $3::int + minute % 5, $3::int + 5.000001, $3::int, $3::int + minute % 4, minute
     FROM unnest($1::bigint[]) AS stock, generate_series(1, $2::int) AS minute
     ON CONFLICT (stock_id, ts) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close`,
    [stocks, minutes, price],
  );
}

/** How many letters there are of each reason, in one state. */
async function reasons(state: string): Promise<Record<string, number>> {
  const { result } = await dlq<readonly LetterCounts[]>('stats', '--state', state);
  return Object.fromEntries(result.map(({ reason, letters }) => [reason, letters]));
}

const settle = { timeout: 120_000, interval: 1_000 };

it('shows letters of bars, writes back those whose cause is mended, and reports the superseded', async () => {
  const clickHouse = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
  await clickHouse.command({
    query: `ALTER TABLE prices_candles_log ADD CONSTRAINT no_source CHECK ifNull(source, '') != 'odd'`,
  });
  await write([1, 2, 99], 30, 20);
  await pool.query('UPDATE stock_prices SET high = low - 1 WHERE stock_id = 1 AND volume = 7');
  await pool.query(`UPDATE stock_prices SET volume = -1 WHERE stock_id = 2 AND volume = 8`);
  await pool.query(`UPDATE stock_prices SET source = 'odd' WHERE stock_id = 2 AND volume = 9`);
  const wanted = { UNKNOWN_STOCK: 30, HIGH_BELOW_LOW: 1, NEGATIVE_VOLUME: 1, SINK_REFUSED: 1 };
  await expect.poll(async () => await reasons('open'), settle).toEqual(wanted);
  const { result } = await dlq<{ letters: readonly Described[] }>('list', '--reason', 'HIGH_BELOW_LOW');
  const [shown] = (await dlq<readonly Described[]>('show', result.letters[0]!.id)).result;
  expect(shown!.fault).toEqual({ path: 'after.high', value: '19.000000', expected: 'the low or more' });
  // Without its pipeline a bare id is nobody's.
  expect((await pipeline.script('dlq.ts', 'discard', result.letters[0]!.id, '--yes')).output).toContain(
    'add --pipeline',
  );

  await pool.query(`INSERT INTO stocks (id, symbol, name, exchange) VALUES (99, 'LATE', 'Late', 'LSE')`);
  await pool.query('UPDATE stock_prices SET high = 26, volume = 7 WHERE stock_id = 1 AND volume = 7');
  await pool.query('DELETE FROM stock_prices WHERE stock_id = 2 AND volume = -1');
  await pool.query('DELETE FROM stock_prices WHERE stock_id = 99 AND volume <= 3');
  await clickHouse.command({ query: 'ALTER TABLE prices_candles_log DROP CONSTRAINT no_source' });
  await clickHouse.close();
  const planned = async () => (await dlq('redrive', '--dry-run')).plan;
  await expect.poll(planned, settle).toMatchObject({ redriven: 28, superseded: 5 });
  expect(await dlq('redrive', '--yes')).toMatchObject({ code: 0, result: { redriven: 28, superseded: 5, refused: 0 } });
  expect(await reasons('redriven')).toEqual({ UNKNOWN_STOCK: 27, SINK_REFUSED: 1 });
  expect((await dlq('redrive', '--yes')).plan).toMatchObject({ redriven: 0, superseded: 0 });
  expect(await comparison()).toBe('equal');
  expect(await reasons('open')).toEqual({});
});

interface Backfilled {
  readonly strays: { readonly retracted: number; readonly restored: number };
  readonly compared: { readonly result: string };
}

const BACKFILL = ['--table', 'stock_prices', '--yes'] as const;
const backfill = async (...args: readonly string[]) => await command<Backfilled>('backfill.ts', ...BACKFILL, ...args);

/** Rows that capture told, and those that a command told. */
async function rowsTold(): Promise<{ readonly captured: Set<string>; readonly byCommands: Set<string> }> {
  const told = { captured: new Set<string>(), byCommands: new Set<string>() };
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 8 << 20 });
  const ends = await kafka.offsets(CDC_PRICES, pipeline.partitions, 'lastStable');
  try {
    for (const [partition, end] of ends) {
      await readToEnd(reader, { topic: CDC_PRICES, partition, from: 0n, end }, ({ records }) => {
        for (const record of records) {
          const by = operatorRecord(record) === null ? told.captured : told.byCommands;
          by.add(`${partition} ${rowOfKey(record.key!)}`);
        }
      });
    }
  } finally {
    await reader.close();
  }
  return told;
}

it('brings bars that nobody captured, takes off what was deleted unheard, and goes on after SIGKILL', async () => {
  const before = await rowsTold();
  await loseSlot(pipeline, async () => {
    await pool.query(`INSERT INTO stocks (id, symbol, name, exchange) VALUES (4, 'FOUR', 'Four', 'TSE')`);
    await write([3, 4], 2_500, 30);
    await pool.query('UPDATE stock_prices SET close = high WHERE stock_id = 1');
    await pool.query('DELETE FROM stock_prices WHERE stock_id IN (1, 2) AND volume % 3 = 0');
  });
  // Of one stock, and only what it had in the range.
  const tsOf = async (volume: number) => {
    const { rows } = await pool.query<{ ms: bigint }>(
      'SELECT (extract(epoch FROM ts) * 1000)::bigint AS ms FROM stock_prices WHERE stock_id = 2 AND volume = $1',
      [volume],
    );
    return new Date(Number(rows[0]!.ms)).toISOString();
  };
  const range = await backfill('--symbol', 'TWO', '--from', await tsOf(19), '--to', await tsOf(11));
  expect(range.result.strays).toMatchObject({ retracted: 3, restored: 0 });
  // What is missing of other stocks and times is nobody's business.
  expect([range.code, range.result.compared.result], JSON.stringify(range.result.compared)).toEqual([0, 'equal']);
  expect(await comparison()).toBe('different');

  const args = [join(REPOSITORY, 'scripts', 'backfill.ts'), ...BACKFILL, '--rate', '500'];
  const killed = spawn(process.execPath, args, { cwd: REPOSITORY, env: pipeline.env, stdio: 'ignore' });
  const read = async () => {
    const { rows } = await pool.query<{ n: number }>(
      `SELECT (progress ->> 'rowsRead')::int AS n FROM sluice_backfill WHERE status = 'running'`,
    );
    return rows[0]?.n ?? 0;
  };
  await expect.poll(read, { timeout: 120_000, interval: 100 }).toBeGreaterThan(1_000);
  killed.kill('SIGKILL');
  await once(killed, 'close');
  // The rest is one piece of several chunks.
  const { code, result } = await backfill('--rate', '20000');
  expect(result.compared.result, JSON.stringify(result.compared)).toBe('equal');
  expect({ code, ...result.strays }).toMatchObject({ code: 0, retracted: 17, restored: 0 });
  const told = await rowsTold();
  // A command names rows to the letter as capture does, in the same partition: else it could not be ordered behind their changes.
  expect([...told.byCommands].filter((row) => !before.captured.has(row))).toEqual([]);
  expect(told.captured.size - before.captured.size).toBe(5_000);
  expect(await reasons('open')).toEqual({});
});

it('makes ClickHouse and Redis anew from the topics, beside what is read', async () => {
  const clickHouse = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
  const redis = new Redis(pipeline.env.SLUICE_REDIS_URL!);
  try {
    await clickHouse.command({
      query: `INSERT INTO prices_bars_store SELECT * REPLACE (77 AS stock_id) FROM
        (SELECT * FROM prices_bars_store FINAL WHERE stock_id = 1)`,
    });
    await clickHouse.command({
      query: `ALTER TABLE prices_candles_minute_store DELETE WHERE interval = '5m' AND stock_id = 3 SETTINGS mutations_sync = 1`,
    });
    expect(await comparison()).toBe('different');
    const flowing = write([1], 120, 40);
    const replay = async (...args: string[]) =>
      await command<Record<string, { differences: { table: string; missing: number; extra: number }[] | null }>>(
        'replay.ts',
        ...['--pipeline', 'prices', '--sink', 'clickhouse', '--yes', ...args],
      );
    const compared = (await replay('--compare')).result['prices.sink.clickhouse']!.differences!;
    expect(compared.find(({ table }) => table === 'prices_bars_store')!.extra).toBe(20);
    expect(compared.find(({ table }) => table === 'prices_candles_minute_store')!.missing).toBeGreaterThan(400);
    expect(await comparison()).toBe('different');
    expect(await replay()).toMatchObject({ code: 0 });
    await flowing;
    expect(await comparison()).toBe('equal');

    await write([1], 5, 50);
    const price = async () => await redis.hget('px:{prices}:latest:ONE', 'price');
    await expect.poll(price, settle).toMatch(/^5\d/);
    const right = await price();
    await redis.hset('px:{prices}:latest:ONE', 'price', '1');
    const { code, output } = await pipeline.script('replay.ts', '--pipeline', 'prices', '--sink', 'redis', '--yes');
    expect(code, output).toBe(0);
    expect(await price()).toBe(right);
  } finally {
    redis.disconnect();
    await clickHouse.close();
  }
});

interface Repaired {
  readonly before: ComparedSinks;
  readonly after: ComparedSinks;
  readonly done: readonly string[];
}

interface ComparedSinks {
  readonly result: string;
  readonly sinks: Readonly<Record<string, { readonly result: string; readonly differenceCount: number }>>;
}

const different = ({ sinks }: ComparedSinks) =>
  Object.entries(sinks).flatMap(([name, { result }]) => (result === 'equal' ? [] : [name]));

const repair = async (...args: readonly string[]) =>
  await command<Repaired>('reconcile.ts', '--pipeline', 'prices', '--repair', ...args);

/** Puts a tombstone over the public record of a candle, by hand. */
async function losePublicRecord(interval: string): Promise<void> {
  const registry = new RegistryClient({ url: pipeline.env.SLUICE_REGISTRY_URL! });
  const keys = candleKeyDecoder(registry);
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 8 << 20 });
  const shown = new Map<string, PlainRecord>();
  try {
    const ends = await kafka.offsets(CANDLES_V1, pipeline.partitions, 'lastStable');
    for (const [partition, end] of ends) {
      await readToEnd(reader, { topic: CANDLES_V1, partition, from: 0n, end }, async ({ records }) => {
        await keys.prepare(records.map(({ key }) => key));
        for (const { key, value, timestampMs } of records) {
          const at = keys.decode(key!);
          if (at.stock_id !== 1n || at.interval !== interval) continue;
          const record = { partition, key: Buffer.from(key!), value: null, headers: [], timestampMs };
          if (value === null) shown.delete(key!.toString('hex'));
          else shown.set(key!.toString('hex'), record);
        }
      });
    }
  } finally {
    await reader.close();
  }
  const [lost] = shown.values();
  await appendRecords(kafkaOptions(loadConfig(pipeline.env), 'test'), CANDLES_V1, [lost!]);
}

it('repairs what was made wrong by hand: each sink alone, and what the pipeline itself has missed', async () => {
  const clickHouse = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
  const redis = new Redis(pipeline.env.SLUICE_REDIS_URL!);
  try {
    // What Redis shows of it does not expire while this goes on.
    await write([1, 2, 3], 130, 60);
    expect(await comparison()).toBe('equal');
    const sync = 'SETTINGS mutations_sync = 1';
    const query = async (text: string) => await clickHouse.command({ query: text });
    await query(`ALTER TABLE prices_bars_store DELETE WHERE stock_id = 1
      AND start = (SELECT min(start) FROM prices_bars_store FINAL WHERE stock_id = 1) ${sync}`);
    await query(`INSERT INTO prices_candles_hour_store SELECT * REPLACE (version + 1 AS version, volume * 2 AS volume)
      FROM prices_candles_hour_store FINAL WHERE stock_id = 3 ORDER BY start LIMIT 1`);
    await query(
      `ALTER TABLE prices_indicators_day_store UPDATE sma_20 = 7 WHERE stock_id = 2 AND interval = '1d' ${sync}`,
    );
    await losePublicRecord('5m');
    await redis.zadd('lb:{prices:1w:all}:most_active', 1, 'ONE');
    await redis.hset('px:{prices}:latest:ONE', 'price', '1');
    await redis.hset('px:{prices}:latest:NOBODY', 'price', '1');
    await redis.del('px:{prices}:indicators:1h:ONE');
    const wrong = [
      ...['clickhouse.bar', 'clickhouse.1h', 'external.5m', 'clickhouse.indicators.1d', 'redis.indicators.1h'],
      ...['redis.movers.1w', 'redis.latest'],
    ];
    const dry = await repair('--dry-run');
    expect(different((dry.plan as { readonly before: ComparedSinks }).before), JSON.stringify(dry.plan)).toEqual(wrong);
    const { code, message, result } = await repair('--yes');
    expect(message).toBe('');
    // Nothing was done before.
    expect(different(result.before), JSON.stringify(result)).toEqual(wrong);
    expect([code, different(result.after), result.after.result], JSON.stringify(result)).toEqual([0, [], 'equal']);
    expect(await redis.exists('px:{prices}:latest:NOBODY')).toBe(0);

    await loseSlot(pipeline, async () => {
      const nth = (n: number) =>
        `(SELECT ts FROM stock_prices WHERE stock_id = 1 ORDER BY ts DESC OFFSET ${n} LIMIT 1)`;
      for (const n of [3, 9])
        await pool.query(`UPDATE stock_prices SET volume = volume + 1000 WHERE stock_id = 1 AND ts = ${nth(n)}`);
      await pool.query(`DELETE FROM stock_prices WHERE stock_id = 1 AND ts = ${nth(6)}`);
    });
    const missed = await repair('--yes');
    expect(missed.message).toBe('');
    expect(missed.result.done[0], JSON.stringify(missed.result)).toBe('told the pipeline 3 bars');
    expect([missed.code, missed.result.after.result], JSON.stringify(missed.result)).toEqual([0, 'equal']);
  } finally {
    redis.disconnect();
    await clickHouse.close();
  }
});
