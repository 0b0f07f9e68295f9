/** The boards of movers in a real Redis, and what an application reads of them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisSink } from '../../../connectors/redis/sink.ts';
import type { SinkRecord } from '../../../engine/sink.ts';
import { NOT_RANKED } from '../../../pipelines/board.ts';
import { moverKey, moversAsOfKey, watchKey } from '../../../pipelines/prices/codec/movers.ts';
import { moversReader } from '../../../pipelines/prices/movers-reader.ts';
import { moversBoards } from '../../../pipelines/prices/redis-movers.ts';
import { BOARDS, PERIODS, scoreOf } from '../../../pipelines/prices/scanner/figures.ts';
import type { Mover, MoversRecord, WatchedCandle } from '../../../schemas/prices/movers.ts';
import { startRedis, type TestRedis } from './server.ts';

const candle: WatchedCandle = {
  ...{ start: 86_400_000, until: 172_800_000, high_e6: 11_000_000n, low_e6: 9_000_000n, close_e6: 10_500_000n },
  ...{ volume: 700n, volume_ratio: 2.5, previous_close_e6: 10_000_000n, previous_high_e6: null, previous_low_e6: null },
  ...{ high_20d_e6: 10_000_000n, low_20d_e6: null, high_52w_e6: null, low_52w_e6: null },
};

function mover(symbol: string, over: Partial<Mover> = {}): Mover {
  return {
    ...{ period: '1d', universe: 'all', stock_id: 7n, symbol, exchange: 'NYSE', sector: null, candle, change_bp: 500n },
    ...{ pivot_e6: 1n, resistance_1_e6: 2n, support_1_e6: 3n, resistance_2_e6: 4n, support_2_e6: 5n },
    boards: ['gainers', 'high_20d', 'most_active', 'unusual_volume'],
    ...over,
  };
}

const value = (offset: number, key: string, body: MoversRecord['body']): SinkRecord<MoversRecord> => ({
  kind: 'upsert',
  offset: BigInt(offset),
  key: Buffer.from(key),
  value: { body },
});
const moved = (offset: number, one: Mover) => value(offset, moverKey(one), { kind: 'Mover', ...one });
const stamped = (offset: number) =>
  value(offset, moversAsOfKey(0), {
    kind: 'MoversAsOf',
    partition: 0,
    stream_time: offset,
    source_lsn: BigInt(offset),
  });

describe('movers in Redis', () => {
  let server: TestRedis;
  beforeAll(async () => {
    server = await startRedis(25_450);
  });
  afterAll(async () => {
    await server.stop();
  });

  it('are read as they were published, and leave with their tombstone', async () => {
    const options = { ...moversBoards(['Energy']), partitions: 1 };
    const sink = redisSink<MoversRecord>({ name: 'movers', redis: { url: server.url }, ...options });
    const reader = moversReader({ url: server.url });
    await sink.connect();
    await reader.connect();
    const at = { topic: 'prices.movers', partition: 0, generation: 1 };
    expect(await sink.position(at)).toEqual({ kind: 'rebuild' });
    const { period, stock_id } = mover('A');
    const state = {
      kind: 'StockWatch',
      stock_id,
      symbol: 'A',
      exchange: 'NYSE',
      sector: null,
      period,
      candles: [candle],
    } as const;
    const strange = mover('A', { universe: 'sector:Tulips' });
    const first = [
      value(0, watchKey(period, stock_id), state),
      moved(1, mover('A')),
      moved(2, mover('B|C', { candle: { ...candle, volume: 900n }, boards: ['most_active'] })),
      moved(3, mover('A', { universe: 'exchange:NYSE' })),
      moved(4, strange),
      stamped(5),
    ];
    for (const record of first) sink.check?.(record);
    await sink.rebuild!({ ...at, from: 0n, to: 6n, records: first });
    const active = { period: '1d', universe: 'all', board: 'most_active' } as const;
    const top = await reader.top(active, 10);
    expect(top.places.map(({ rank, symbol, score }) => [rank, symbol, score])).toEqual([
      [1, 'B|C', 900],
      [2, 'A', 700],
    ]);
    expect(top.places[1]).toEqual({
      ...{ rank: 2, symbol: 'A', stockId: 7n, exchange: 'NYSE', sector: null, score: 700, start: 86_400_000 },
      ...{ close: '10.5', high: '11', low: '9', volume: 700n, changeBp: 500, volumeRatio: 2.5 },
      pivots: {
        ...{ pivot: '0.000001', resistance1: '0.000002', support1: '0.000003' },
        ...{ resistance2: '0.000004', support2: '0.000005' },
      },
    });
    expect(top.asOf).toEqual({ streamTime: 5, sourceLsn: 5n, complete: true });
    const broken = await reader.top({ period: '1d', universe: 'exchange:NYSE', board: 'high_20d' }, 10);
    expect(broken.places.map(({ symbol, score }) => [symbol, score])).toEqual([['A', 1_000]]);
    const gone: SinkRecord<MoversRecord> = { kind: 'tombstone', offset: 6n, key: Buffer.from(moverKey(mover('B|C'))) };
    const next = { ...at, from: 6n, to: 8n, records: [gone, stamped(7)] };
    expect(await sink.write(next, { retry: false })).toBe('written');
    expect((await reader.top(active, 10)).places.map(({ symbol }) => symbol)).toEqual(['A']);
    // A batch of the past is refused: nothing comes back.
    expect(await sink.write({ ...at, from: 0n, to: 6n, records: first }, { retry: true })).not.toBe('written');
    expect((await reader.top(active, 10)).places.map(({ symbol }) => symbol)).toEqual(['A']);
    await sink.close();
    await reader.close();
  });

  it('have every board, by day and week, of all stocks, each exchange and sector', async () => {
    await server.admin.flushall();
    const sink = redisSink<MoversRecord>({
      name: 'movers',
      redis: { url: server.url },
      ...moversBoards(['Energy']),
      partitions: 1,
    });
    const reader = moversReader({ url: server.url });
    await Promise.all([sink.connect(), reader.connect()]);
    const levels = {
      high_20d_e6: 10_000_000n,
      low_20d_e6: 9_500_000n,
      high_52w_e6: 10_900_000n,
      low_52w_e6: 9_100_000n,
    };
    // Pivots 10, resistance 10.5 and 11.5, support 9 and 8.
    const before = { previous_high_e6: 11_000_000n, previous_low_e6: 9_500_000n, previous_close_e6: 9_500_000n };
    const risen: WatchedCandle = { ...candle, ...levels, ...before, close_e6: 10_450_000n };
    const fallen: WatchedCandle = {
      ...candle,
      ...levels,
      ...before,
      close_e6: 8_990_000n,
      low_e6: 8_900_000n,
      volume: 5n,
    };
    const boardsOf = (one: WatchedCandle) => BOARDS.filter((board) => scoreOf[board](one) !== NOT_RANKED);
    const places = { RISE: risen, FALL: fallen };
    expect(new Set(Object.values(places).flatMap(boardsOf))).toEqual(new Set(BOARDS));
    const universes = ['all', 'exchange:NYSE', 'sector:Energy'];
    const movers = PERIODS.flatMap((period) =>
      universes.flatMap((universe) =>
        Object.entries(places).map(([symbol, one]) =>
          mover(symbol, { period, universe, candle: one, sector: 'Energy', boards: boardsOf(one) }),
        ),
      ),
    );
    const records = [...movers.map((one, index) => moved(index, one)), stamped(movers.length)];
    const at = { topic: 'prices.movers', partition: 0, generation: 1 };
    expect(await sink.position(at)).toEqual({ kind: 'rebuild' });
    await sink.rebuild!({ ...at, from: 0n, to: BigInt(records.length), records });
    for (const period of PERIODS) {
      for (const universe of universes) {
        for (const board of BOARDS) {
          const { places: found } = await reader.top({ period, universe, board }, 100);
          const wanted = Object.entries(places)
            .map(([symbol, one]) => [symbol, scoreOf[board](one)] as const)
            .filter(([, score]) => score !== NOT_RANKED)
            .sort(([, a], [, b]) => b - a);
          const shown = found.map(({ symbol, score }) => [symbol, score]);
          expect(shown, `${period} ${universe} ${board}`).toEqual(wanted);
        }
      }
    }
    await Promise.all([sink.close(), reader.close()]);
  });
});
