/**
 * Bars on real servers, from the partitioned table through its root to the public topic: candles equal the same said in SQL over
 * Postgres, with a worker killed while bars are written, changed, deleted and spoilt.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import type { LogRecord } from '../../engine/log.ts';
import { readToEnd } from '../../engine/restore.ts';
import { kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import { candleV1Decoder } from '../../pipelines/prices/codec/candle.ts';
import { CANDLES_V1, DLQ } from '../../pipelines/prices/topics.ts';
import { runScript } from '../../scripts/start/task.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

let pipeline: Pipeline;
let postgres: PostgresPool;
let kafka: KafkaClient;
beforeAll(async () => {
  pipeline = await startPipeline({ instances: 1, workers: ['prices.candles'] });
  const config = loadConfig(
    Object.fromEntries(Object.entries(pipeline.env).filter(([name]) => name.startsWith('SLUICE_'))),
  );
  postgres = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'prices-test' });
  kafka = new KafkaClient(kafkaOptions(config, 'prices-test'));
});
afterAll(async () => {
  await postgres?.close();
  await kafka?.close();
  await pipeline?.stop();
});

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

/** Every candle of one interval as the public topic has it, by stock and start. */
async function candles(interval: string): Promise<string[]> {
  const decoder = candleV1Decoder(new RegistryClient({ url: pipeline.env.SLUICE_REGISTRY_URL! }));
  const newest = new Map<string, Buffer | null>();
  for (const { key, value } of await recordsOf(CANDLES_V1)) newest.set(key!.toString('latin1'), value);
  const values = [...newest.values()].filter((value) => value !== null);
  await decoder.prepare(values);
  return values
    .map((value) => decoder.decode(value))
    .filter((candle) => candle.interval === interval)
    .map((one) =>
      [one.symbol, one.start, one.open_e6, one.high_e6, one.low_e6, one.close_e6, one.volume, one.bars].join(' '),
    )
    .sort();
}

const BUCKETS = {
  '5m': "date_bin('5 minutes', p.ts, 'epoch')",
  '1d': "date_trunc('day', p.ts, 'America/New_York')",
};

/** The same by SQL. */
async function expected(interval: keyof typeof BUCKETS): Promise<string[]> {
  const { rows } = await postgres.query<{ candle: string }>(`
    SELECT concat_ws(' ', s.symbol, (extract(epoch FROM ${BUCKETS[interval]}) * 1000)::bigint,
      ((array_agg(p.open ORDER BY p.ts))[1] * 1000000)::bigint, (max(p.high) * 1000000)::bigint,
      (min(p.low) * 1000000)::bigint, ((array_agg(p.close ORDER BY p.ts DESC))[1] * 1000000)::bigint,
      sum(p.volume), count(*)) AS candle
    FROM stock_prices p JOIN stocks s ON s.id = p.stock_id
    WHERE p.close <> 'NaN' AND p.volume >= 0
    GROUP BY s.symbol, ${BUCKETS[interval]}`);
  return rows.map(({ candle }) => candle).sort();
}

/** Bars of one minute each, of three stocks, over the border of two months, in an order of their own. */
async function write(minutes: number, seed: number): Promise<void> {
  await postgres.query(
    `INSERT INTO stock_prices (stock_id, ts, open, high, low, close, volume)
     SELECT stock, date_trunc('month', now()) - interval '2 hours' + minute * interval '1 minute',
       10 + p, 12.000001 + p, 9 + p, 11 + p, minute * 7
     FROM generate_series(1, 3) AS stock, generate_series(0, $1::int - 1) AS minute,
       LATERAL (SELECT (minute * $2::int % 17) / 8.0 AS p) AS price
     ORDER BY (minute * 31 + stock) % 97
     ON CONFLICT (stock_id, ts) DO UPDATE
       SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close`,
    [minutes, seed],
  );
}

const settle = { timeout: 60_000, interval: 1_000 };

it('equals SQL over Postgres, whatever happens to bars and with the worker killed', async () => {
  await postgres.query(
    `INSERT INTO stocks (id, symbol, name, exchange) VALUES (1, 'ONE', 'One', 'NYSE'), (2, 'TWO', 'Two', 'NASDAQ'), (3, 'THREE', 'Three', 'NYSE')`,
  );
  await write(200, 3);
  const { process } = pipeline.workers[0]!;
  await process.kill('SIGKILL');
  await write(240, 5);
  await process.untilUp(60_000);
  await postgres.query('DELETE FROM stock_prices WHERE stock_id = 2 AND volume % 3 = 0');
  await process.kill('SIGKILL');
  await postgres.query("UPDATE stock_prices SET close = 'NaN' WHERE stock_id = 3 AND volume = 70");
  await postgres.query('UPDATE stock_prices SET volume = -1 WHERE stock_id = 3 AND volume = 77');
  await postgres.query('INSERT INTO stock_prices VALUES (99, date_trunc($1, now()), 1, 1, 1, 1, 1)', ['hour']);
  for (const interval of ['5m', '1d'] as const) {
    const wanted = await expected(interval);
    expect(wanted.length).toBeGreaterThan(2);
    await expect.poll(async () => await candles(interval), settle).toEqual(wanted);
  }
  const letters = async () => {
    const records = await recordsOf(DLQ);
    return records.map(({ headers }) => String(headers.find(({ key }) => key === 'sluice.reason')?.value)).sort();
  };
  await expect.poll(letters, settle).toEqual(['BAD_NUMBER', 'NEGATIVE_VOLUME', 'UNKNOWN_STOCK']);
});

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
  await expect.poll(async () => (await run())?.chunks, settle).toBeGreaterThan(1);
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
  const days = (await candles('1d')).map((candle) => candle.split(' ')[0]!);
  for (const { symbol, bars } of rows) expect(days.filter((one) => one === symbol).length).toBe(Number(bars));
  expect(rows.length).toBe(4);
  expect(rows.reduce((sum, { bars }) => sum + bars, 0n)).toBeGreaterThan(950n);
});
