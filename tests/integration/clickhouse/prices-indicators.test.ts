/** Indicators in ClickHouse: the contract of all sinks, what views show against a plain map, and what is behind. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { migrateClickHouse } from '../../../connectors/clickhouse/migrations.ts';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import { NOT_RANKED } from '../../../pipelines/board.ts';
import { indicatorsClickHouseSink } from '../../../pipelines/prices/clickhouse-indicators.ts';
import { decimalText } from '../../../pipelines/prices/codec/decimal-text.ts';
import type { TimedIndicators } from '../../../pipelines/prices/codec/indicators.ts';
import { pricesTtlDays } from '../../../pipelines/prices/retention.ts';
import { changeBp, isPeriod, pivotsOf, scoreOf } from '../../../pipelines/prices/scanner/figures.ts';
import type { Indicators } from '../../../schemas/prices/indicators.ts';
import type { WatchedCandle } from '../../../schemas/prices/movers.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { CLICKHOUSE_SQL, type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import {
  type IndicatorsOutput,
  indicatorsAsOf,
  indicatorsGone,
  indicatorsOf,
  indicatorsOutput,
  indicatorsSinkRecord,
  randomIndicators,
  seriesBehind,
} from '../../support/indicator-records.ts';
import { random } from '../../support/random.ts';
import { describeSinkContract } from '../../support/sink-contract.ts';

const START = Date.UTC(2026, 0, 5);
const DAY_MS = 86_400_000;
const AT = { topic: 'prices.indicators', partition: 3 };

let server: TestClickHouse;
beforeAll(async () => {
  server = await startClickHouse();
}, 60_000);
afterAll(() => server?.stop(), 60_000);

function batchOf(outputs: readonly IndicatorsOutput[], from: number, to: number, generation = 1) {
  const records = outputs.slice(from, to).map((one, index) => indicatorsSinkRecord(one, BigInt(from + index)));
  return { ...AT, from: BigInt(from), to: BigInt(to), generation, records } satisfies SinkBatch<TimedIndicators>;
}

/** What is there, as the views show it. */
async function readBack({ client }: EngagementDatabase) {
  const [rows, behind] = await Promise.all([
    selectRows(
      client,
      `SELECT * EXCEPT source_partition FROM prices_indicators ORDER BY interval, stock_id, start
       SETTINGS output_format_json_quote_decimals = 1`,
    ),
    selectRows(
      client,
      'SELECT stock_id, interval, from, as_of FROM prices_indicators_behind ORDER BY interval, stock_id',
    ),
  ]);
  return { rows, behind };
}

const text = (ms: number) => new Date(ms).toISOString().slice(0, -1).replace('T', ' ');
const price = (e6: bigint | null) => (e6 === null ? null : decimalText(e6));

function shown(row: Indicators, timeMs: number): Readonly<Record<string, unknown>> {
  const { stock_id, symbol, interval, start, end, volume, final, obv, signals } = row;
  const { avg_gain: _gain, avg_loss: _loss, ...rest } = row;
  const prices = Object.entries(rest).flatMap(([name, value]) =>
    name.endsWith('_e6') ? [[name.slice(0, -3), price(value as bigint | null)]] : [],
  );
  const doubles = Object.entries(rest).filter(
    ([name, value]) => !name.endsWith('_e6') && (value === null || typeof value === 'number'),
  );
  return {
    ...Object.fromEntries([...doubles, ...prices]),
    ...{ stock_id: String(stock_id), symbol, interval, start: text(start), end: text(end), volume: String(volume) },
    ...{ final, obv: String(obv), signals, as_of: text(timeMs) },
  };
}

/** What a plain map holds after these outputs. */
function expected(outputs: readonly IndicatorsOutput[]) {
  const newest = new Map(outputs.map((output) => [output.key.toString('hex'), output]));
  const rows: Readonly<Record<string, unknown>>[] = [];
  const behind: Readonly<Record<string, unknown>>[] = [];
  for (const output of newest.values()) {
    if (output.kind === 'tombstone') continue;
    const { body, timeMs } = output.value;
    if (body.kind === 'Indicators') {
      const { kind: _, ...row } = body;
      rows.push(shown(row, timeMs));
    } else if (body.kind === 'IndicatorsBehind') {
      const { stock_id, interval, from } = body;
      behind.push({ stock_id: String(stock_id), interval, from: text(from), as_of: text(timeMs) });
    }
  }
  const order = (row: Readonly<Record<string, unknown>>) => `${row.interval}/${row.stock_id}/${row.start}`;
  const sorted = (list: typeof rows) => list.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  return { rows: sorted(rows), behind: sorted(behind) };
}

const FLAGS = ['unusual_volume', 'high_20d', 'low_20d', 'high_52w', 'low_52w'] as const;

/** What `prices_movers` shows, and the same by the arithmetic of the boards. */
async function readMovers({ client }: EngagementDatabase): Promise<readonly unknown[]> {
  return await selectRows(
    client,
    `SELECT interval, stock_id, toUnixTimestamp64Milli(start) AS start, change_bp, pivot, resistance_1, support_1, resistance_2, support_2,
       [unusual_volume, new_high_20d, new_low_20d, new_high_52w, new_low_52w] AS flags
     FROM prices_movers ORDER BY interval, stock_id, start SETTINGS output_format_json_quote_decimals = 1`,
  );
}

function expectedMovers(outputs: readonly IndicatorsOutput[]): readonly unknown[] {
  const newest = new Map(outputs.map((output) => [output.key.toString('hex'), output]));
  const rows = [...newest.values()].flatMap((output) => {
    const body = output.kind === 'upsert' ? output.value.body : null;
    if (body?.kind !== 'Indicators' || !isPeriod(body.interval)) return [];
    const candle: WatchedCandle = { ...body, until: 0 };
    const pivots = Object.entries(pivotsOf(candle)).map(([name, value]) => [name.slice(0, -3), price(value)]);
    const change = changeBp(candle);
    return {
      ...{ interval: body.interval, stock_id: String(body.stock_id), start: String(body.start) },
      ...{ change_bp: change === null ? null : String(change), ...Object.fromEntries(pivots) },
      flags: FLAGS.map((board) => scoreOf[board](candle) !== NOT_RANKED),
    };
  });
  const order = ({ interval, stock_id, start }: (typeof rows)[number]) => `${interval}/${stock_id}/${start}`;
  return rows.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

describeSinkContract<TimedIndicators>('clickhouse, prices.indicators', async () => {
  const database = await engagementDatabase(server.url, 'contract');
  const history = randomIndicators(1, 60, START);
  return {
    makeSink: () => indicatorsClickHouseSink({ name: 'contract.sink', config: database.config }),
    reset: () => database.reset(),
    records: (from, to) => batchOf(history, Number(from), Number(to)).records,
    readBack: async () => ({
      ...(await readBack(database)),
      versions: await selectRows(
        database.client,
        'SELECT source_offset, stock_id, interval, start, gone, as_of FROM prices_indicator_versions ORDER BY source_offset',
      ),
    }),
    breakConnection: () => server.kill(),
    restoreConnection: () => server.restart(),
    stop: () => database.close(),
  };
});

describe('indicators in ClickHouse', { timeout: 120_000 }, () => {
  let database: EngagementDatabase;
  const sinks: Sink<TimedIndicators>[] = [];

  beforeAll(async () => {
    database = await engagementDatabase(server.url, 'indicators');
  }, 60_000);
  afterAll(async () => {
    await Promise.all(sinks.map((sink) => sink.close()));
    await database?.close();
  }, 60_000);
  beforeEach(() => database.reset(), 60_000);

  function newSink(): Sink<TimedIndicators> {
    const sink = indicatorsClickHouseSink({ name: 'test.sink', config: database.config });
    sinks.push(sink);
    return sink;
  }

  const write = (sink: Sink<TimedIndicators>, batch: SinkBatch<TimedIndicators>) => sink.write(batch, { retry: false });

  it.each([2, 3])('are what the newest version of each key says, NULL as NULL (seed %i)', async (seed) => {
    const history = randomIndicators(seed, 150, START);
    const next = random(seed + 1_000);
    const sink = newSink();
    for (let from = 0; from < history.length; ) {
      const to = Math.min(history.length, from + 1 + Math.floor(next() * 60));
      expect(await write(sink, batchOf(history, from, to))).toBe('written');
      from = to;
      expect(await readBack(database)).toEqual(expected(history.slice(0, to)));
    }
    for (const grain of ['minute', 'hour', 'day']) {
      await database.client.command({ query: `OPTIMIZE TABLE prices_indicators_${grain}_store FINAL` });
    }
    expect(await readBack(database)).toEqual(expected(history));
    expect(await readMovers(database)).toEqual(expectedMovers(history));
  });

  it('never go back to an older version when a replay writes again what the log has forgotten', async () => {
    const history = randomIndicators(5, 80, START);
    await write(newSink(), batchOf(history, 0, history.length));
    await database.client.command({
      query: 'DELETE FROM prices_indicators_log WHERE source_offset < 40 SETTINGS lightweight_deletes_sync = 2',
    });
    const replay = newSink();
    expect(await write(replay, batchOf(history, 0, 30, 2))).toBe('written');
    expect(await readBack(database)).toEqual(expected(history));
    expect(await write(replay, batchOf(history, 30, 80, 2))).toBe('written');
    expect(await readBack(database)).toEqual(expected(history));
    const [row] = await selectRows<{ n: string }>(database.client, 'SELECT count() AS n FROM prices_indicators_log');
    expect(Number(row!.n)).toBe(history.length);
  });

  it('say what is behind and how fresh they are: the stamp waits until nothing is', async () => {
    const series = { stock_id: 1n, interval: '1d' } as const;
    const outputs = [
      indicatorsOutput(indicatorsOf({ ...series, start: START }, 5n), START),
      indicatorsAsOf(3, START, 77n),
      seriesBehind(series, START, START + 1),
      seriesBehind(series, START + DAY_MS, START + 2),
      seriesBehind(series, null),
      indicatorsAsOf(3, START + 3, 99n),
    ];
    const sink = newSink();
    const told = async (from: number, to: number) => {
      await write(sink, batchOf(outputs, from, to));
      const [fresh] = await selectRows<{ lsn: string; ms: string }>(
        database.client,
        'SELECT lsn, toUnixTimestamp64Milli(stream_time) AS ms FROM sluice_freshness',
      );
      const { behind } = await readBack(database);
      return [fresh!.lsn, Number(fresh!.ms) - START, behind.map((row) => (row as { from: string }).from)];
    };
    expect(await told(0, 2)).toEqual(['77', 0, []]);
    expect(await told(2, 3)).toEqual(['77', 0, [text(START)]]);
    expect(await told(3, 4)).toEqual(['77', 0, [text(START + DAY_MS)]]);
    expect(await told(4, 6)).toEqual(['99', 3, []]);
    expect(
      await selectRows(
        database.client,
        "SELECT stock_id, lsn, toUnixTimestamp64Milli(as_of) AS ms FROM prices_indicators_log WHERE kind = 'asof' ORDER BY lsn",
      ),
    ).toEqual([
      { stock_id: '-4', lsn: '77', ms: String(START) },
      { stock_id: '-4', lsn: '99', ms: String(START + 3) },
    ]);
  });

  it('hold what a source may come up with, exactly', async () => {
    const at = { stock_id: 2n ** 62n, interval: '1w', start: Date.UTC(1969, 11, 29) } as const;
    const odd = indicatorsOf(at, 999_999_999_999_999_999n, {
      symbol: 'a\tb',
      signals: ["it's", 'back\\slash', 'tab\tand\nline', ''],
      ...{ volume: 2n ** 63n - 1n, obv: -(2n ** 63n), sma_20: 1e300, macd: -4.9e-320, rsi_14: 0 },
      ...{ atr_14: 0.1 + 0.2, low_52w_e6: 1n },
    });
    const outputs = [indicatorsOutput(odd, START)];
    await write(newSink(), batchOf(outputs, 0, 1));
    expect(await readBack(database)).toEqual(expected(outputs));
  });

  it('are kept by grain for the time that is configured', async () => {
    const days = (ago: number) => Math.floor(Date.now() / DAY_MS - ago) * DAY_MS;
    const at = (interval: '5m' | '1h' | '1d', ago: number) =>
      indicatorsOutput(indicatorsOf({ stock_id: 1n, interval, start: days(ago) }, 1n), Date.now());
    const outputs = [at('1d', 400), at('1d', 2_000), at('1h', 100), at('1h', 400), at('5m', 10), at('5m', 100)];
    await write(newSink(), batchOf(outputs, 0, outputs.length));
    const ttlDays = pricesTtlDays({ minute: 90, hour: 365, day: 1_825 });
    const { ttlChanged } = await migrateClickHouse({ config: database.config, directory: CLICKHOUSE_SQL, ttlDays });
    try {
      expect([...ttlChanged].sort()).toEqual(Object.keys(ttlDays).sort());
      const tables = ttlChanged.filter((table) => table.startsWith('prices_indicators'));
      expect(tables).toHaveLength(3);
      for (const table of tables) {
        await database.client.command({ query: `ALTER TABLE ${table} MATERIALIZE TTL SETTINGS mutations_sync = 2` });
      }
      const kept = [outputs[0]!, outputs[2]!, outputs[4]!];
      expect(await readBack(database)).toEqual(expected(kept));
    } finally {
      await migrateClickHouse({ config: database.config, directory: CLICKHOUSE_SQL });
    }
  });

  it('are mended by a letter that is redriven, and never go back by one', async () => {
    const at = (stock: bigint) => ({ stock_id: stock, interval: '1d', start: START }) as const;
    const row = (stock: bigint, rsi: number) => indicatorsOutput(indicatorsOf(at(stock), 1n, { rsi_14: rsi }), START);
    const outputs = [row(1n, 1), row(2n, 2), row(2n, 3), row(1n, 4)];
    const sink = newSink();
    // The first two were refused, and passed over.
    await write(sink, batchOf(outputs, 2, 3));
    await sink.redrive!(batchOf(outputs, 0, 1));
    await sink.redrive!(batchOf(outputs, 0, 1));
    await sink.redrive!(batchOf(outputs, 1, 2));
    const shownNow = async () => (await readBack(database)).rows.map((one) => (one as { rsi_14: number }).rsi_14);
    expect(await shownNow()).toEqual([1, 3]);
    await write(sink, batchOf(outputs, 3, 4));
    expect(await shownNow()).toEqual([4, 3]);
    const [count] = await selectRows<{ n: string }>(database.client, 'SELECT count() AS n FROM prices_indicators_log');
    expect(Number(count!.n)).toBe(4);
  });

  it('show a candle that is gone in the history only', async () => {
    const at = { stock_id: 1n, interval: '5m', start: START } as const;
    const outputs = [indicatorsOutput(indicatorsOf(at, 5_000_000n, { rsi_14: 50 }), START + 1), indicatorsGone(at)];
    await write(newSink(), batchOf(outputs, 0, 2));
    expect((await readBack(database)).rows).toEqual([]);
    expect(
      await selectRows(
        database.client,
        'SELECT source_offset AS o, symbol, gone, close, rsi_14 FROM prices_indicator_versions ORDER BY o',
      ),
    ).toEqual([
      { o: '0', symbol: 'S1', gone: false, close: 5, rsi_14: 50 },
      { o: '1', symbol: '', gone: true, close: 0, rsi_14: null },
    ]);
  });
});
