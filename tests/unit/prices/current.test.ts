import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CandleRecord, CurrentCandles } from '../../../pipelines/prices/gateway/current.ts';
import { Client, recordOf } from './feed.ts';

/** What a series shows, as a client that asks is told. */
function shown(candles: CurrentCandles, symbol: string): [number, string] | null | undefined {
  const client = new Client(candles);
  client.subscribe([symbol, '5m']);
  client.session.closed();
  return client.values(symbol, '5m').at(-1);
}

const e6 = (text: string) => BigInt(text) * 1_000_000n;

describe('current candles', () => {
  it('show the newest candle, whatever order they come in', () => {
    const candles = new CurrentCandles();
    for (const start of [200, 300, 100]) candles.apply(recordOf('A', '5m', start, BigInt(start)));
    expect(shown(candles, 'A')).toEqual([300, '0.000300']);
  });

  it('show the one before when the newest is deleted', () => {
    const candles = new CurrentCandles();
    for (const start of [100, 200, 300]) candles.apply(recordOf('A', '5m', start, e6('7')));
    candles.apply(recordOf('A', '5m', 300, null));
    expect(shown(candles, 'A')).toEqual([200, '7.000000']);
  });

  it('tell a watcher once of what changed twice, and not of older candles', () => {
    const candles = new CurrentCandles();
    const client = new Client(candles);
    client.subscribe(['A', '5m']);
    candles.apply(recordOf('A', '5m', 200, e6('1')));
    candles.apply(recordOf('A', '5m', 200, e6('2')));
    candles.publish();
    candles.apply(recordOf('A', '5m', 100, e6('3')));
    candles.publish();
    expect(client.values('A', '5m')).toEqual([null, [200, '2.000000']]);
  });

  it('do not keep names that nobody watches any more and that never had a candle', () => {
    const candles = new CurrentCandles();
    const client = new Client(candles);
    client.subscribe(['X', '5m'], ['Y', '1d']);
    expect(candles.size).toBe(2);
    client.unsubscribe(['X', '5m']);
    expect(candles.size).toBe(1);
    client.session.closed();
    expect(candles.size).toBe(0);
  });

  /** A candle of this start, or so many deletions of the newest. */
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ put: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ deletions: fc.integer({ min: 1, max: 10 }) }) },
  );

  it('show what a map of the whole log shows, reading it back when they are exhausted', () => {
    let exhausted = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
        const candles = new CurrentCandles();
        const log: CandleRecord[] = [];
        const model = new Map<number, bigint>();
        const write = (start: number, close: bigint | null) => {
          const record = recordOf('A', '5m', start, close);
          log.push(record);
          if (close === null) model.delete(start);
          else model.set(start, close);
          const series = candles.apply(record);
          if (series?.isExhausted !== true) return;
          exhausted++;
          series.readBack();
          for (const old of log) candles.apply(old);
          candles.endReadBack(series);
        };
        for (const step of steps) {
          if ('put' in step) write(step.put, BigInt(log.length));
          else for (let i = 0; i < step.deletions && model.size > 0; i++) write(Math.max(...model.keys()), null);
          const newest = Math.max(...model.keys());
          const wanted = model.size === 0 ? null : [newest, `0.${String(model.get(newest)).padStart(6, '0')}`];
          expect(shown(candles, 'A')).toEqual(wanted);
        }
      }),
      { seed: 5, numRuns: 200 },
    );
    expect(exhausted).toBeGreaterThan(0);
  });

  it('show nothing, rather than an older candle, while they read back', () => {
    const candles = new CurrentCandles();
    for (let start = 1; start <= 9; start++) candles.apply(recordOf('A', '5m', start, 1n));
    for (let start = 9; start >= 2; start--) candles.apply(recordOf('A', '5m', start, null));
    const series = candles.seriesOf(65n, '5m')!;
    expect(series.isExhausted).toBe(true);
    // A correction of a candle older than what was let go is not the newest.
    candles.apply(recordOf('A', '5m', 0, 2n));
    expect(shown(candles, 'A')).toBeNull();
    series.readBack();
    candles.apply(recordOf('A', '5m', 0, 2n));
    expect(shown(candles, 'A')).toBeNull();
    candles.apply(recordOf('A', '5m', 1, 1n));
    candles.endReadBack(series);
    expect(shown(candles, 'A')).toEqual([1, '0.000001']);
  });
});
