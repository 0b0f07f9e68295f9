/** Bars and candles in ClickHouse: the contract of all sinks, what views show against a plain map, and replays of the topic. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { migrateClickHouse } from '../../../connectors/clickhouse/migrations.ts';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import { candlesClickHouseSink } from '../../../pipelines/prices/clickhouse-candles.ts';
import { bigintOf, bytesOf } from '../../../pipelines/prices/codec/decimal.ts';
import type { Candle, CandleRecord } from '../../../schemas/prices/candle.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { CLICKHOUSE_SQL, type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import {
  type CandleOutput,
  candle,
  candleGone,
  candleKey,
  candleSinkRecord,
  candlesAsOf,
  keyOf,
} from '../../support/price-records.ts';
import { random } from '../../support/random.ts';
import { describeSinkContract } from '../../support/sink-contract.ts';

const START = Date.UTC(2026, 0, 5);
const INTERVALS = ['bar', '5m', '15m', '1h', '1d', '1w'] as const;

/** Few keys, so that most outputs replace or remove one of the outputs before. */
function randomHistory(seed: number, length: number): readonly CandleOutput[] {
  const next = random(seed);
  const below = (limit: number) => Math.floor(next() * limit);
  return Array.from({ length }, (_, index): CandleOutput => {
    const kind = below(10);
    if (kind === 0) {
      return candlesAsOf({
        partition: 3,
        stream_time: START + index * 1_000,
        source_lsn: BigInt(1_000 + index),
        final_to: 0,
      });
    }
    const key = {
      stock_id: BigInt(1 + below(3)),
      interval: INTERVALS[below(INTERVALS.length)]!,
      start: START + below(3) * 31 * 86_400_000,
    };
    if (kind < 3) return candleGone(key);
    const close = BigInt(1 + below(1_000_000_000)) * 1_000_003n;
    const volume = BigInt(below(3));
    return candle(key, close, {
      volume,
      price_volume: bytesOf(3n * close * volume),
      vwap_e6: volume === 0n ? null : close,
      bars: 1 + below(400),
      final: below(2) === 0,
      // A bar may become one of a day, and one of a minute again.
      ...(key.interval === 'bar' && below(2) === 0 ? { source: 'daily', end: key.start + 86_400_000 } : {}),
      source_lsn: BigInt(1_000 + index),
      source_commit_ts: START + index * 1_000,
    });
  });
}

/** What is there, as the views show it. */
async function readBack(database: EngagementDatabase): Promise<readonly unknown[]> {
  return await selectRows(
    database.client,
    `SELECT * FROM (
       SELECT 'bar' AS interval, stock_id, symbol, start, end, toString(close) AS close, volume, toString(price_volume) AS pv,
         toString(vwap) AS vwap, 0 AS bars, 1 AS final, source, lsn, xid FROM prices_bars
       UNION ALL
       SELECT interval, stock_id, symbol, start, end, toString(close), volume, toString(price_volume),
         toString(vwap), bars, final, source, lsn, xid FROM prices_candles
     ) ORDER BY interval, stock_id, start`,
  );
}

const text = (ms: number) => new Date(ms).toISOString().slice(0, -1).replace('T', ' ');

/** As ClickHouse prints a decimal: without zeros behind. */
function decimal(e6: bigint): string {
  return `${e6 / 1_000_000n}.${String(e6 % 1_000_000n).padStart(6, '0')}`.replace(/\.?0+$/, '');
}

function shown({ interval, stock_id, symbol, start, end, close_e6, volume, vwap_e6, ...rest }: Candle): unknown {
  const figures = { close: decimal(close_e6), volume: String(volume), pv: String(bigintOf(rest.price_volume)) };
  const flags = interval === 'bar' ? { bars: 0, final: 1 } : { bars: rest.bars, final: rest.final ? 1 : 0 };
  return {
    ...{ interval, stock_id: String(stock_id), symbol, start: text(start), end: text(end), ...figures },
    ...{ vwap: vwap_e6 === null ? null : decimal(vwap_e6), ...flags, source: rest.source },
    ...{ lsn: String(rest.source_lsn), xid: String(rest.source_xid) },
  };
}

/** What a plain map holds after these outputs. */
function expected(outputs: readonly CandleOutput[]): readonly unknown[] {
  const rows = new Map<string, { readonly order: string; readonly row: unknown }>();
  for (const output of outputs) {
    const { stock_id, interval, start } = candleKey(output);
    const order = `${interval}/${stock_id}/${start}`;
    if (output.kind === 'tombstone') rows.delete(order);
    else if (output.body.kind === 'Candle') rows.set(order, { order, row: shown(output.body) });
  }
  return [...rows.values()].sort((a, b) => (a.order < b.order ? -1 : 1)).map(({ row }) => row);
}

const AT = { topic: 'prices.candles', partition: 3 };

function batchOf(outputs: readonly CandleOutput[], from: number, to: number, generation = 1): SinkBatch<CandleRecord> {
  const records = outputs.slice(from, to).map((output, index) => candleSinkRecord(output, BigInt(from + index)));
  return { ...AT, from: BigInt(from), to: BigInt(to), generation, records };
}

describeSinkContract<CandleRecord>('clickhouse, prices.candles', async () => {
  const server = await startClickHouse();
  const database = await engagementDatabase(server.url, 'contract');
  const history = randomHistory(1, 60);
  return {
    makeSink: () => candlesClickHouseSink({ name: 'contract.sink', config: database.config, keyOf }),
    reset: () => database.reset(),
    records: (from, to) => batchOf(history, Number(from), Number(to)).records,
    readBack: async () => ({
      present: await readBack(database),
      versions: await selectRows(
        database.client,
        'SELECT source_offset, stock_id, interval, start, gone FROM prices_candle_versions ORDER BY source_offset',
      ),
    }),
    breakConnection: () => server.kill(),
    restoreConnection: () => server.restart(),
    stop: async () => {
      await database.close();
      await server.stop();
    },
  };
});

describe('candles in ClickHouse', { timeout: 120_000 }, () => {
  let server: TestClickHouse;
  let database: EngagementDatabase;
  const sinks: Sink<CandleRecord>[] = [];

  beforeAll(async () => {
    server = await startClickHouse();
    database = await engagementDatabase(server.url, 'candles');
  }, 60_000);
  afterAll(async () => {
    await Promise.all(sinks.map((sink) => sink.close()));
    await database?.close();
    await server?.stop();
  }, 60_000);
  beforeEach(() => database.reset(), 60_000);

  function newSink(): Sink<CandleRecord> {
    const sink = candlesClickHouseSink({ name: 'test.sink', config: database.config, keyOf });
    sinks.push(sink);
    return sink;
  }

  const write = (sink: Sink<CandleRecord>, batch: SinkBatch<CandleRecord>) => sink.write(batch, { retry: false });

  it.each([2, 3, 4])('are what the newest version of each key says (seed %i)', async (seed) => {
    const history = randomHistory(seed, 120);
    const next = random(seed + 1_000);
    const sink = newSink();
    for (let from = 0; from < history.length; ) {
      const to = Math.min(history.length, from + 1 + Math.floor(next() * 60));
      expect(await write(sink, batchOf(history, from, to))).toBe('written');
      from = to;
      expect(await readBack(database)).toEqual(expected(history.slice(0, to)));
    }
    await database.client.command({ query: 'OPTIMIZE TABLE prices_candles_minute_store FINAL' });
    await database.client.command({ query: 'OPTIMIZE TABLE prices_bars_store FINAL' });
    expect(await readBack(database)).toEqual(expected(history));
  });

  it('never go back to an older version when a replay writes again what the log has forgotten', async () => {
    const history = randomHistory(5, 80);
    await write(newSink(), batchOf(history, 0, history.length));
    await database.client.command({
      query: 'DELETE FROM prices_candles_log WHERE source_offset < 40 SETTINGS lightweight_deletes_sync = 2',
    });
    const replay = newSink();
    for (const [from, to] of [
      [0, 30],
      [30, 80],
    ] as const) {
      expect(await write(replay, batchOf(history, from, to, 2))).toBe('written');
      expect(await readBack(database)).toEqual(expected(history));
    }
    const [row] = await selectRows<{ n: string }>(database.client, 'SELECT count() AS n FROM prices_candles_log');
    expect(Number(row!.n)).toBe(history.length);
  });

  it('are read again from the beginning when the tables were emptied', async () => {
    const history = randomHistory(6, 40);
    await write(newSink(), batchOf(history, 0, 40));
    await database.reset();
    const sink = newSink();
    expect(await sink.position({ ...AT, generation: 1 })).toEqual({ kind: 'offset', offset: 0n });
    // What compaction has left of it.
    const newest = new Map(history.map((output, index) => [JSON.stringify(Object.values(keyText(output))), index]));
    const whole = batchOf(history, 0, 40);
    const kept = new Set([...newest.values()].map(BigInt));
    await write(sink, { ...whole, records: whole.records.filter(({ offset }) => kept.has(offset)) });
    expect(await readBack(database)).toEqual(expected(history));
  });

  it('hold the largest and the smallest figures that the source can have, exactly', async () => {
    const key = { stock_id: 2n ** 62n, interval: '1w', start: Date.UTC(1969, 11, 29) };
    const huge = 999_999_999_999_999_999n;
    const volume = 2n ** 63n - 1n;
    const extremes = [
      candle(key, huge, { volume, price_volume: bytesOf(3n * huge * volume * 10_000n), open_e6: 1n }),
      candle({ ...key, interval: 'bar', start: 0 }, 1n, { symbol: 'a\tb', source: 'x\ny', volume: 0n, vwap_e6: null }),
    ];
    await write(newSink(), batchOf(extremes, 0, 2));
    expect(await readBack(database)).toEqual(expected(extremes));
    const rows = await selectRows(database.client, 'SELECT toString(open) AS open FROM prices_candles');
    expect(rows).toEqual([{ open: '0.000001' }]);
  });

  it('say how fresh they are by stamps, and keep the stamps in the log', async () => {
    const stamp = { partition: 3, stream_time: START, source_lsn: 77n, final_to: 0 };
    const outputs = [candle({ stock_id: 1n, interval: '5m', start: START }, 5n), candlesAsOf(stamp)];
    const fresh = () =>
      selectRows(
        database.client,
        'SELECT next_offset, lsn, toUnixTimestamp64Milli(stream_time) AS ms FROM sluice_freshness',
      );
    const sink = newSink();
    await write(sink, batchOf(outputs, 0, 1));
    expect(await fresh()).toEqual([{ next_offset: '1', lsn: '0', ms: '0' }]);
    await write(sink, batchOf(outputs, 1, 2));
    expect(await fresh()).toEqual([{ next_offset: '2', lsn: '77', ms: String(START) }]);
    expect(
      await selectRows(
        database.client,
        "SELECT stock_id, lsn, toUnixTimestamp64Milli(commit_ts) AS ms FROM prices_candles_log WHERE interval = 'asof'",
      ),
    ).toEqual([{ stock_id: '-4', lsn: '77', ms: String(START) }]);
  });

  it('are kept by grain for the time that is configured', async () => {
    const days = (ago: number) => Math.floor(Date.now() / 86_400_000 - ago) * 86_400_000;
    const daily = { source: 'daily', end: days(100) + 86_400_000 };
    const at = (interval: string, ago: number, more: Partial<Candle> = {}) =>
      candle({ stock_id: 1n, interval, start: days(ago) }, 1n, more);
    const outputs = [
      ...[at('bar', 100), at('bar', 10), at('5m', 100), at('5m', 10), at('1h', 100), at('1h', 400), at('1d', 400)],
      ...[at('1d', 2_000), candle({ stock_id: 2n, interval: 'bar', start: days(100) }, 1n, daily)],
    ];
    await write(newSink(), batchOf(outputs, 0, outputs.length));
    const ttlDays = {
      prices_bars_store: 90,
      prices_candles_minute_store: 90,
      prices_candles_hour_store: 365,
      prices_candles_day_store: 1_825,
    };
    await migrateClickHouse({ config: database.config, directory: CLICKHOUSE_SQL, ttlDays });
    try {
      for (const table of Object.keys(ttlDays)) {
        await database.client.command({ query: `ALTER TABLE ${table} MATERIALIZE TTL SETTINGS mutations_sync = 2` });
      }
      const kept = [at('1d', 400), at('1h', 100), at('5m', 10), at('bar', 10), outputs.at(-1)!];
      expect(await readBack(database)).toEqual(expected(kept));
    } finally {
      await migrateClickHouse({ config: database.config, directory: CLICKHOUSE_SQL });
    }
  });
});

function keyText(output: CandleOutput): Readonly<Record<string, string>> {
  const { stock_id, interval, start } = candleKey(output);
  return { stock: String(stock_id), interval, start: String(start) };
}
