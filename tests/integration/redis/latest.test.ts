/** The newest price of each stock in Redis: the contract of all sinks, and what expires, comes late or is read again. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { latestMender } from '../../../connectors/redis/mend-latest.ts';
import type { Sink, SinkBatch } from '../../../engine/sink.ts';
import { type LatestPriceReader, latestPriceReader } from '../../../pipelines/prices/latest-reader.ts';
import { LATEST, latestPriceSink } from '../../../pipelines/prices/redis-latest.ts';
import type { Candle, CandleRecord } from '../../../schemas/prices/candle.ts';
import { type CandleOutput, candle, candleGone, candleSinkRecord, keyOf } from '../../support/price-records.ts';
import { describeSinkContract } from '../../support/sink-contract.ts';
import { startRedis, type TestRedis } from './server.ts';

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;
/** Ahead of the clock, so that nothing expires while a test runs. */
const LATER = TODAY + 2 * DAY_MS;

const day = (stock: number, close: number, start = TODAY, more: Partial<Candle> = {}) =>
  candle({ stock_id: BigInt(stock), interval: '1d', start }, BigInt(close) * 1_000_000n, {
    source_commit_ts: LATER,
    ...more,
  });
const gone = (stock: number, start = TODAY) => candleGone({ stock_id: BigInt(stock), interval: '1d', start });

const AT = { topic: 'prices.candles', partition: 0 };

function batchOf(outputs: readonly CandleOutput[], from: number, to: number, generation = 1): SinkBatch<CandleRecord> {
  const records = outputs.slice(from, to).map((output, index) => candleSinkRecord(output, BigInt(from + index)));
  return { ...AT, from: BigInt(from), to: BigInt(to), generation, records };
}

function outputAt(n: number): CandleOutput {
  const stock = n % 7;
  const start = TODAY - (n % 3) * DAY_MS;
  if (n % 10 === 4) return gone(stock, start);
  if (n % 10 === 9) return candle({ stock_id: BigInt(stock), interval: '5m', start }, 1n);
  return day(stock, n + 1, start);
}

describeSinkContract<CandleRecord>('redis, latest', async () => {
  const server = await startRedis(16_530);
  return {
    makeSink: () =>
      latestPriceSink({
        name: 'latest',
        redis: { url: server.url, commandTimeoutMs: 5_000 },
        keyOf,
        maxValuesPerCall: 3,
      }),
    reset: async () => {
      await server.admin.flushall();
    },
    records: (from, to) =>
      Array.from({ length: Number(to - from) }, (_, n) =>
        candleSinkRecord(outputAt(Number(from) + n), from + BigInt(n)),
      ),
    readBack: async () => {
      const seen: Record<string, unknown> = {};
      for (const key of (await server.admin.keys('px:{prices}:latest:*')).sort()) {
        seen[key] = await server.admin.hgetall(key);
      }
      return seen;
    },
    breakConnection: () => server.kill(),
    restoreConnection: () => server.start(),
    stop: () => server.stop(),
  };
});

describe('latest prices in Redis', { timeout: 60_000 }, () => {
  let server: TestRedis;
  let reader: LatestPriceReader;
  const sinks: Sink<CandleRecord>[] = [];

  beforeAll(async () => {
    server = await startRedis(16_540);
    reader = latestPriceReader({ url: server.url });
    await reader.connect();
  }, 60_000);
  afterAll(async () => {
    await reader?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    await server.admin.flushall();
  });
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  });

  async function open(generation = 1): Promise<Sink<CandleRecord>> {
    const sink = latestPriceSink({ name: 'latest', redis: { url: server.url }, keyOf });
    sinks.push(sink);
    await sink.connect();
    await sink.position({ ...AT, generation });
    return sink;
  }

  const write = (sink: Sink<CandleRecord>, batch: SinkBatch<CandleRecord>) => sink.write(batch, { retry: false });
  const priceOf = async (stock: number) => (await reader.latest([`S${stock}`]))[0]?.price ?? null;

  it('show the day, exact, and nothing of a symbol that is not known', async () => {
    const sink = await open();
    const figures = {
      open_e6: 1n,
      high_e6: 2_500_000n,
      low_e6: 1n,
      close_e6: 2_000_010n,
      volume: 2n ** 62n,
      vwap_e6: null,
    };
    await write(sink, batchOf([day(1, 2, TODAY, figures)], 0, 1));
    expect(await reader.latest(['S1', 'S2'])).toEqual([
      {
        ...{ symbol: 'S1', stockId: 1n, price: '2.00001', open: '0.000001', high: '2.5', low: '0.000001' },
        ...{ volume: 2n ** 62n, vwap: null, dayStart: TODAY, dayEnd: TODAY + DAY_MS, asOf: LATER, sourceLsn: 100n },
      },
      null,
    ]);
  });

  it('expire five minutes after the commit that they are of, and at once when they are written later than that', async () => {
    const sink = await open();
    const now = Date.now();
    const outputs = [
      day(1, 1, TODAY, { source_commit_ts: now }),
      day(2, 1, TODAY, { source_commit_ts: now - 300_001 }),
    ];
    await write(sink, batchOf(outputs, 0, 2));
    expect(Number(await server.admin.call('PEXPIRETIME', 'px:{prices}:latest:S1'))).toBe(now + 300_000);
    expect(await priceOf(2)).toBeNull();
    // What takes the place of a price must not leave the old one there, even when it is itself too old to be shown.
    await write(sink, batchOf([...outputs, day(1, 9, TODAY, { source_commit_ts: now - 300_001 })], 2, 3));
    expect(await priceOf(1)).toBeNull();
  });

  it('are never of a day before the newest, also when that is no longer shown', async () => {
    const sink = await open();
    const outputs = [
      day(1, 5, TODAY, { source_commit_ts: Date.now() - 300_001 }),
      day(1, 4, TODAY - DAY_MS),
      day(2, 5),
      day(2, 4, TODAY - DAY_MS),
    ];
    await write(sink, batchOf(outputs, 0, 4));
    expect(await priceOf(1)).toBeNull();
    expect(await priceOf(2)).toBe('5');
    await write(sink, batchOf([...outputs, gone(2, TODAY - DAY_MS)], 4, 5));
    expect(await priceOf(2)).toBe('5');
    await write(sink, batchOf([...outputs, gone(2), gone(2)], 4, 6));
    expect(await priceOf(2)).toBeNull();
  });

  it('are there again after Redis has lost everything, and do not go back while the topic is read again', async () => {
    const outputs = [day(1, 1), day(2, 2), day(1, 3), gone(2), day(2, 4), day(3, 5)];
    await write(await open(), batchOf(outputs, 0, 6));
    await server.admin.flushall();
    const sink = await open();
    expect(await sink.position({ ...AT, generation: 1 })).toEqual({ kind: 'offset', offset: 0n });
    await write(sink, batchOf(outputs, 0, 6));
    const replay = await open(2);
    for (let from = 0; from < 6; from += 1) {
      await write(replay, batchOf(outputs, from, from + 1, 2));
      expect([await priceOf(1), await priceOf(2), await priceOf(3)]).toEqual(['3', '4', '5']);
    }
  });

  it('are put right from the record that the mark names, unless the sink has written another since', async () => {
    const sink = await open();
    const outputs = [day(1, 3), day(2, 4), day(2, 5), gone(2)];
    await write(sink, batchOf(outputs, 0, 2));
    const mender = latestMender({ url: server.url }, LATEST);
    await mender.connect();
    try {
      const value = (close: number) => ({
        ...({ kind: 'value', series: '1', time: TODAY, name: 'S1', momentMs: LATER } as const),
        fields: () => ({ price: close, as_of: LATER }),
      });
      const [one, two] = [(await mender.marks()).get('1')!, (await mender.marks()).get('2')!];
      expect([one.time, one.offset, one.key]).toEqual([TODAY, 0n, 'px:{prices}:latest:S1']);
      await server.admin.hset(one.key, { price: '9', stray: 'x' });
      expect(await mender.mend('1', one, value(3))).toBe(true);
      expect(await mender.shown('S1')).toEqual({ price: '3', as_of: String(LATER) });
      expect(await server.admin.pttl(one.key)).toBeGreaterThan(0);
      // What is of a moment too long ago is not shown as new.
      expect(await mender.mend('1', one, { ...value(3), momentMs: Date.now() - 300_000 })).toBe(true);
      expect(await mender.shown('S1')).toEqual({});
      await write(sink, batchOf(outputs, 2, 3));
      expect(await mender.mend('2', two, { ...value(4), series: '2' })).toBe(false);
      expect(await priceOf(2)).toBe('5');
      // Of a value that has gone, what somebody else has put there is taken off.
      await write(sink, batchOf(outputs, 3, 4));
      await server.admin.hset(two.key, { price: '7' });
      expect(await mender.mend('2', (await mender.marks()).get('2')!, null)).toBe(true);
      expect(await mender.shown('S2')).toEqual({});
      await server.admin.hset('px:{prices}:latest:NOBODY', { price: '1' });
      expect(await mender.takeOff('NOBODY', { price: '2' })).toBe(false);
      expect(await mender.takeOff('NOBODY', { price: '1' })).toBe(true);
      expect(await mender.takeOff('NOBODY', {})).toBe(false);
    } finally {
      await mender.close();
    }
  });

  it('give every key a time to live, and share one slot', async () => {
    await write(await open(), batchOf([day(1, 1)], 0, 1));
    const keys = await server.admin.keys('*');
    expect(keys.length).toBeGreaterThan(3);
    for (const key of keys) {
      expect(await server.admin.ttl(key), key).toBeGreaterThan(0);
      expect(key).toContain('{prices}');
    }
  });
});
