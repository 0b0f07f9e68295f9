/** The newest indicators of each stock and interval in Redis: the contract of all sinks, and what expires or is read again. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import type { TimedIndicators } from '../../../pipelines/prices/codec/indicators.ts';
import { type IndicatorsReader, indicatorsReader } from '../../../pipelines/prices/indicators-reader.ts';
import { latestIndicatorsSink } from '../../../pipelines/prices/redis-indicators.ts';
import type { Indicators } from '../../../schemas/prices/indicators.ts';
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
import { describeSinkContract } from '../../support/sink-contract.ts';
import { startRedis, type TestRedis } from './server.ts';

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;
/** Ahead of the clock, so that nothing expires while a test runs. */
const LATER = TODAY + 2 * DAY_MS;
const AT = { topic: 'prices.indicators', partition: 0 };

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis(16_560);
}, 60_000);
afterAll(() => server?.stop());

function batchOf(outputs: readonly IndicatorsOutput[], from: number, to: number, generation = 1) {
  const records = outputs.slice(from, to).map((one, index) => indicatorsSinkRecord(one, BigInt(from + index)));
  return { ...AT, from: BigInt(from), to: BigInt(to), generation, records } satisfies SinkBatch<TimedIndicators>;
}

describeSinkContract<TimedIndicators>('redis, indicators', async () => {
  const history = randomIndicators(1, 60, LATER);
  return {
    makeSink: () =>
      latestIndicatorsSink({
        name: 'indicators',
        redis: { url: server.url, commandTimeoutMs: 5_000 },
        maxValuesPerCall: 3,
      }),
    reset: async () => {
      await server.admin.flushall();
    },
    records: (from, to) => batchOf(history, Number(from), Number(to)).records,
    readBack: async () => {
      const seen: Record<string, unknown> = {};
      for (const key of (await server.admin.keys('px:{prices}:indicators:*')).sort()) {
        seen[key] = await server.admin.hgetall(key);
      }
      return seen;
    },
    breakConnection: () => server.kill(),
    restoreConnection: () => server.start(),
    stop: async () => {},
  };
});

describe('latest indicators in Redis', { timeout: 60_000 }, () => {
  let reader: IndicatorsReader;
  const sinks: Sink<TimedIndicators>[] = [];

  beforeAll(async () => {
    reader = indicatorsReader({ url: server.url });
    await reader.connect();
  });
  afterAll(() => reader?.close());
  beforeEach(async () => {
    await server.admin.flushall();
  });
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  });

  async function open(generation = 1): Promise<Sink<TimedIndicators>> {
    const sink = latestIndicatorsSink({ name: 'indicators', redis: { url: server.url } });
    sinks.push(sink);
    await sink.connect();
    await sink.position({ ...AT, generation });
    return sink;
  }

  type Place = Parameters<typeof indicatorsOf>[0];
  const place = (stock: number, start = TODAY, interval: Place['interval'] = '1d'): Place => {
    return { stock_id: BigInt(stock), interval, start };
  };
  const row = (stock: number, rsi: number, at: { readonly start?: number; readonly timeMs?: number } = {}) =>
    indicatorsOutput(indicatorsOf(place(stock, at.start), 1n, { rsi_14: rsi }), at.timeMs ?? LATER);
  const write = (sink: Sink<TimedIndicators>, batch: SinkBatch<TimedIndicators>) => sink.write(batch, { retry: false });
  const rsiOf = async (stock: number) => (await reader.latest('1d', [`S${stock}`])).indicators[0]?.rsi_14 ?? null;

  it('show what the candle has, exactly, and nothing of a symbol that is not known', async () => {
    const full: Partial<Indicators> = {
      ...{ symbol: 'A:B', high_e6: 2_500_000n, low_e6: 1n, close_e6: 2_000_010n, volume: 2n ** 62n, final: true },
      ...{ sma_20: 0.1 + 0.2, macd: -4.9e-320, rsi_14: 0, obv: -(2n ** 63n), volume_ratio: 1e300 },
      signals: ['golden_cross', 'unusual_volume'],
      ...{ previous_close_e6: 105_000_000n, previous_high_e6: 120_000_000n, previous_low_e6: 90_000_000n },
      high_52w_e6: 130_000_000n,
    };
    const outputs = [
      indicatorsOutput(indicatorsOf(place(1), 1n, full), LATER),
      indicatorsOutput(indicatorsOf(place(1, TODAY, '5m'), 1n, full), LATER),
      indicatorsAsOf(0, LATER + 1, 77n),
    ];
    await write(await open(), batchOf(outputs, 0, 3));
    const { indicators, asOf } = await reader.latest('1d', ['A:B', 'S1']);
    expect(asOf).toEqual({ streamTime: LATER + 1, sourceLsn: 77n });
    expect(indicators[1]).toBeNull();
    const unknown = ['sma_50', 'sma_200', 'ema_12', 'ema_26', 'macd_signal', 'macd_histogram', 'bollinger_upper'];
    const shown = {
      ...Object.fromEntries([...unknown, 'bollinger_lower', 'atr_14'].map((name) => [name, null])),
      ...{ symbol: 'A:B', interval: '1d', stockId: 1n, start: TODAY, end: TODAY + DAY_MS, final: true },
      ...{ close: '2.00001', volume: 2n ** 62n, obv: -(2n ** 63n), sma_20: 0.1 + 0.2, macd: -4.9e-320, rsi_14: 0 },
      ...{ volume_ratio: 1e300, signals: ['golden_cross', 'unusual_volume'], asOf: LATER },
      levels: { previousClose: '105', high20d: null, low20d: null, high52w: '130', low52w: null },
      pivots: { pivot: '105', resistance1: '120', support1: '90', resistance2: '135', support2: '75' },
    };
    expect(indicators[0]).toEqual(shown);
    const intraday = (await reader.latest('5m', ['A:B'])).indicators[0];
    expect(intraday).toEqual({ ...shown, interval: '5m', end: TODAY + 300_000, pivots: null });
  });

  it('expire ten minutes after the stream time that they are of, and at once when they are written later than that', async () => {
    const sink = await open();
    const now = Date.now();
    const outputs = [row(1, 1, { timeMs: now }), row(2, 1, { timeMs: now - 600_001 })];
    await write(sink, batchOf(outputs, 0, 2));
    expect(Number(await server.admin.call('PEXPIRETIME', 'px:{prices}:indicators:1d:S1'))).toBe(now + 600_000);
    expect(await rsiOf(2)).toBeNull();
    await write(sink, batchOf([...outputs, row(1, 9, { timeMs: now - 600_001 })], 2, 3));
    expect(await rsiOf(1)).toBeNull();
  });

  it('are those of the newest candle, as a correction in the past makes them, and leave with it', async () => {
    const sink = await open();
    const series = { stock_id: 1n, interval: '1d' } as const;
    const outputs = [
      row(1, 50),
      indicatorsAsOf(0, LATER, 5n),
      // Yesterday is corrected: its own row at once, today's when the computation has come to it.
      seriesBehind(series, TODAY - DAY_MS, LATER),
      row(1, 10, { start: TODAY - DAY_MS }),
      row(1, 60),
      seriesBehind(series, null),
      indicatorsAsOf(0, LATER + 9, 7n),
      indicatorsGone(place(1, TODAY - DAY_MS)),
      indicatorsGone(place(1)),
    ];
    const told = async (from: number, to: number) => {
      await write(sink, batchOf(outputs, from, to));
      const { indicators, asOf } = await reader.latest('1d', ['S1']);
      return [indicators[0]?.rsi_14 ?? null, asOf?.sourceLsn];
    };
    expect(await told(0, 2)).toEqual([50, 5n]);
    expect(await told(2, 4)).toEqual([50, 5n]);
    expect(await told(4, 7)).toEqual([60, 7n]);
    expect(await told(7, 8)).toEqual([60, 7n]);
    expect(await told(8, 9)).toEqual([null, 7n]);
  });

  it('are there again after Redis has lost everything, and do not go back while the topic is read again', async () => {
    const outputs = [row(1, 1), row(2, 2), row(1, 3), indicatorsGone(place(2)), row(2, 4), row(3, 5)];
    await write(await open(), batchOf(outputs, 0, 6));
    await server.admin.flushall();
    const sink = await open();
    expect(await sink.position({ ...AT, generation: 1 })).toEqual({ kind: 'offset', offset: 0n });
    await write(sink, batchOf(outputs, 0, 6));
    const replay = await open(2);
    for (let from = 0; from < 6; from += 1) {
      await write(replay, batchOf(outputs, from, from + 1, 2));
      expect([await rsiOf(1), await rsiOf(2), await rsiOf(3)]).toEqual([3, 4, 5]);
    }
  });

  it('give every key a time to live, share one slot, and leave the prices alone', async () => {
    await server.admin.hset('px:{prices}:latest:S1', 'price', '1');
    await write(await open(), batchOf([row(1, 1), indicatorsAsOf(0, LATER, 1n)], 0, 2));
    const keys = (await server.admin.keys('*')).filter((key) => !key.includes(':latest:'));
    expect(keys.sort()).toEqual([
      'px:{prices}:indicators:1d:S1',
      'px:{prices}:sink:indicators:asof',
      'px:{prices}:sink:indicators:marks',
      'px:{prices}:sink:indicators:owners',
    ]);
    for (const key of keys) expect(await server.admin.ttl(key), key).toBeGreaterThan(0);
    expect(await server.admin.hgetall('px:{prices}:latest:S1')).toEqual({ price: '1' });
  });
});
