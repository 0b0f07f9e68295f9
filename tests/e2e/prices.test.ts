/**
 * The whole prices pipeline on real servers: whatever is killed or paused while bars are written, corrected, repeated, deleted and spoilt, every sink
 * says what Postgres says.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import type { LogRecord } from '../../engine/log.ts';
import { readToEnd } from '../../engine/restore.ts';
import { kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import type { ReconcileReport } from '../../pipelines/operations/reconcile/report.ts';
import { candleV1Decoder } from '../../pipelines/prices/codec/candle.ts';
import { CANDLES_V1, DLQ } from '../../pipelines/prices/topics.ts';
import { MONITOR, processesOf } from '../../pipelines/processes.ts';
import type { WorkerChild } from '../../scripts/start/children.ts';
import { runScript } from '../../scripts/start/task.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

const STAGES = ['prices.candles', 'prices.indicators', 'prices.scanner'];
const SINKS = processesOf(['prices']).filter((name) => name !== MONITOR && !STAGES.includes(name));
/** Refers to nothing yet when its first bar comes. */
const STRANGER = 900_001;

let pipeline: Pipeline;
let postgres: PostgresPool;
let kafka: KafkaClient;
beforeAll(async () => {
  pipeline = await startPipeline({
    ...{ instances: 2, workers: STAGES, others: SINKS },
    env: { SLUICE_PIPELINES: 'prices', SLUICE_PRICES_LATENESS_MS: '10000' },
  });
  const config = loadConfig(pipeline.env);
  postgres = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'prices-test' });
  kafka = new KafkaClient(kafkaOptions(config, 'prices-test'));
});
afterAll(async () => {
  await postgres?.close();
  await kafka?.close();
  await pipeline?.stop();
});

/** Bars of the last ten hours and a year of days in front, written for as long as the work takes. */
async function during(work: () => Promise<void>): Promise<void> {
  const traffic = async () => {
    const start = new Date(Date.now() - 10 * 3_600_000).toISOString();
    await pipeline.generate(
      ...['--pipeline', 'prices', '--symbols', '30', '--daily-years', '1', '--always-open', '--start', start],
      ...['--rate', '150', '--seconds', '6', '--updates', '8', '--deletes', '3', '--late', '5'],
      ...['--bad', '1', '--splits', '5'],
    );
  };
  let done = false;
  const flowing = (async () => {
    do await traffic();
    while (!done);
  })();
  try {
    await Promise.race([work(), flowing]);
  } finally {
    done = true;
    await flowing;
  }
}

const one = (name: string, instance: number): WorkerChild =>
  pipeline.workers.filter((worker) => worker.name === name)[instance]!;

const UNTIL = { timeout: 60_000, interval: 100 };

async function ready(name: string, instance: number): Promise<string> {
  const { ok, reason } = await one(name, instance).scraper.ready();
  return ok ? reason : `not ready: ${reason}`;
}

/** Waits until both instances of every stage make progress and share its partitions. */
async function untilWhole(): Promise<void> {
  for (const name of STAGES) {
    const both = async () => [await ready(name, 0), await ready(name, 1)];
    await expect.poll(both, UNTIL).toEqual(['2 partitions', '2 partitions']);
  }
}

async function expectEqual(): Promise<ReconcileReport> {
  const { code, report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
  expect(code).toBe(0);
  return report as ReconcileReport;
}

/** Everything that is committed in a topic. */
async function recordsOf(topic: string): Promise<LogRecord[]> {
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 8 << 20 });
  const records: LogRecord[] = [];
  try {
    for (let partition = 0; partition < (await kafka.partitions(topic)); partition++) {
      const end = (await kafka.offsets(topic, [partition], 'lastStable')).get(partition)!;
      await readToEnd(reader, { topic, partition, from: 0n, end }, (run) => {
        records.push(...run.records);
      });
    }
  } finally {
    await reader.close();
  }
  return records;
}

/** The symbol of every daily candle that the public topic shows. */
async function shownDays(): Promise<string[]> {
  const decoder = candleV1Decoder(new RegistryClient({ url: pipeline.env.SLUICE_REGISTRY_URL! }));
  const newest = new Map<string, Buffer | null>();
  for (const { key, value } of await recordsOf(CANDLES_V1)) newest.set(key!.toString('latin1'), value);
  const values = [...newest.values()].filter((value) => value !== null);
  await decoder.prepare(values);
  return values.flatMap((value) => {
    const { interval, symbol } = decoder.decode(value);
    return interval === '1d' ? [symbol] : [];
  });
}

it('loads history while the pipeline keeps up, killed on the way', async () => {
  const args = ['load', '--generate', '--symbols', '4', '--years', '1', '--chunk', '100', '--max-lag', '60', '--yes'];
  const killed = new AbortController();
  const first = runScript('history.ts', args, { env: pipeline.env, timeoutMs: 120_000, signal: killed.signal });
  const run = async () => {
    const { rows } = await postgres.query<{ chunks: number; status: string }>(
      'SELECT chunks, status FROM sluice_history',
    );
    return rows[0];
  };
  await expect.poll(async () => (await run())?.chunks, UNTIL).toBeGreaterThan(1);
  killed.abort();
  await first;
  expect(await run()).toMatchObject({ status: 'running' });
  const again = await pipeline.script('history.ts', ...args, '--json');
  expect(again.code, again.output).toBe(0);
  expect(await run()).toMatchObject({ status: 'done' });
  // It ended when the stage had read all of it.
  const { rows } = await postgres.query<{ symbol: string; bars: bigint }>(
    `SELECT symbol, count(*) AS bars FROM stock_prices JOIN stocks ON stocks.id = stock_id WHERE source = 'daily' GROUP BY symbol`,
  );
  const days = await shownDays();
  for (const { symbol, bars } of rows) expect(days.filter((one) => one === symbol).length).toBe(Number(bars));
  expect(rows.length).toBe(4);
  expect(rows.reduce((sum, { bars }) => sum + bars, 0n)).toBeGreaterThan(950n);
});

it('is equal after SIGKILL of every worker and of every server, while bars are written', async () => {
  await postgres.query('INSERT INTO stock_prices VALUES ($1, date_trunc($2, now()), 1, 1, 1, 1, 1)', [
    STRANGER,
    'hour',
  ]);
  await during(async () => {
    await untilWhole();
    for (const name of STAGES) {
      const { process } = one(name, 0);
      await process.kill('SIGKILL');
      await process.untilUp(60_000);
      await one(name, 1).process.kill('SIGKILL');
    }
    for (const name of SINKS) await one(name, 0).process.kill('SIGKILL');
    for (const service of ['connect', 'kafka', 'redis', 'clickhouse'] as const) {
      await pipeline.stack.kill(service, 'SIGKILL');
      await pipeline.stack.untilUp(service);
    }
    await untilWhole();
    const letters = async () => (await kafka.offsets(DLQ, [0], 'lastStable')).get(0)! > 0n;
    await expect.poll(letters, UNTIL).toBe(true);
  });
  // What its stock's row comes too late for is known to the letter alone.
  await postgres.query(`INSERT INTO stocks (id, symbol, name, exchange) VALUES ($1, 'LATE', 'Late', 'NYSE')`, [
    STRANGER,
  ]);
  const { sinks } = await expectEqual();
  expect(sinks['clickhouse.bar']!.deadLettered).toEqual([
    { row: expect.stringContaining(`stock ${STRANGER}`), reason: 'UNKNOWN_STOCK' },
  ]);
  const compared = Object.entries(sinks).filter(([, { rowsCompared }]) => rowsCompared > 0);
  expect(compared.map(([name]) => name)).toEqual(Object.keys(sinks));
});

/** Bars of now, since what Redis shows expires, behind four hours of which some are corrected: what follows is computed again. */
async function correctedHours(symbols: readonly string[]): Promise<void> {
  for (const [index, symbol] of symbols.entries()) {
    const id = STRANGER + 1 + index;
    await postgres.query('INSERT INTO stocks (id, symbol, name, exchange) VALUES ($1, $2, $2, $3)', [
      id,
      symbol,
      'NYSE',
    ]);
    await postgres.query(
      `INSERT INTO stock_prices (stock_id, ts, open, high, low, close, volume)
       SELECT $1, date_trunc('minute', now()) - minute * interval '1 minute', 10 + p, 12.000001 + p, 9 + p, 11 + p, minute * 7
       FROM generate_series(1, 240) AS minute, LATERAL (SELECT (minute * 5 % 17 + $1 % 7) / 8.0 AS p) AS price`,
      [id],
    );
    await postgres.query(
      'UPDATE stock_prices SET close = low, volume = volume + 1 WHERE volume BETWEEN 700 AND 900 AND stock_id = $1',
      [id],
    );
  }
}

it('is equal after paused stages wake up when others have taken over', async () => {
  const symbols = ['ONE', 'TWO', 'THREE'];
  await during(async () => {
    for (const name of STAGES) await one(name, 0).process.kill('SIGSTOP');
    // The session timeout is 6 s: when the other instance owns all four partitions, the paused one is a zombie.
    for (const name of STAGES) await expect.poll(async () => await ready(name, 1), UNTIL).toBe('4 partitions');
    for (const name of STAGES) await one(name, 0).process.kill('SIGCONT');
    await untilWhole();
  });
  await correctedHours(symbols);
  const { sinks } = await expectEqual();
  // What is of now must be shown in Redis, and was looked at.
  for (const interval of ['5m', '15m', '1h', '1d', '1w'])
    expect(sinks[`redis.indicators.${interval}`]!.rowsCompared).toBeGreaterThanOrEqual(symbols.length);
});
