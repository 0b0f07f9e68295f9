import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CurrentCandles } from '../../../pipelines/prices/gateway/current.ts';
import { FEED_INTERVALS } from '../../../pipelines/prices/gateway/protocol.ts';
import { Client, LIMITS, recordOf } from './feed.ts';

const many = (count: number) => Array.from({ length: count }, (_, i) => [`S${i}`, '5m'] as const);

describe('a session', () => {
  it('begins with hello and the status', () => {
    const { told } = new Client(new CurrentCandles());
    expect(told).toEqual([
      { type: 'hello', version: 1, heartbeatMs: 15_000, maxSubscriptions: 100, maxFrameBytes: 16_384 },
      { type: 'status', state: 'live', asOf: 1 },
    ]);
  });

  it('answers a subscription, then tells the current value, then what changes', () => {
    const candles = new CurrentCandles();
    candles.apply(recordOf('A', '1d', 100, 12_345_678n));
    const client = new Client(candles);
    client.ask({ type: 'subscribe', id: 7, series: [{ symbol: 'A', interval: '1d' }] });
    candles.apply(recordOf('A', '1d', 100, 12_000_000n));
    candles.apply(recordOf('A', '5m', 100, 1n));
    candles.publish();
    const prices = { open: '12.345678', high: '12.345678', low: '12.345678', close: '12.345678', vwap: '12.345678' };
    expect(client.told.slice(2)).toMatchObject([
      { type: 'subscribed', id: 7, subscriptions: 1 },
      {
        type: 'value',
        symbol: 'A',
        interval: '1d',
        candle: { start: 100, end: 101, ...prices, volume: '1', bars: 1, final: false, commitTime: 5 },
      },
      { type: 'value', candle: { close: '12.000000' } },
    ]);
    expect(client.told).toHaveLength(5);
  });

  it('says that a series without a candle has none, and tells the first one', () => {
    const candles = new CurrentCandles();
    const client = new Client(candles);
    client.subscribe(['A', 'bar']);
    candles.apply(recordOf('A', 'bar', 1, 1n));
    candles.publish();
    expect(client.values('A', 'bar')).toEqual([null, [1, '0.000001']]);
  });

  it('tells nothing more after unsubscribing, and of closed ones nothing is kept', () => {
    const candles = new CurrentCandles();
    const client = new Client(candles);
    client.subscribe(['A', '5m'], ['B', '5m']);
    client.unsubscribe(['A', '5m'], ['C', '5m']);
    expect(client.ofType('unsubscribed')).toEqual([{ type: 'unsubscribed', subscriptions: 1 }]);
    client.session.closed();
    const before = client.told.length;
    for (const symbol of ['A', 'B']) candles.apply(recordOf(symbol, '5m', 1, 1n));
    candles.publish();
    client.subscribe(['A', '5m']);
    client.session.statusChanged();
    expect(client.told).toHaveLength(before);
    expect(client.session.subscriptions).toBe(0);
  });

  it('refuses a frame that would pass the limit as a whole, and counts a series once', () => {
    const client = new Client(new CurrentCandles());
    client.subscribe(...many(99));
    client.subscribe(...many(100).slice(98), ['S0', '5m']);
    expect(client.session.subscriptions).toBe(100);
    client.ask({ type: 'subscribe', id: 'x', series: [{ symbol: 'T', interval: '1h' }] });
    expect(client.told.at(-1)).toMatchObject({ type: 'error', id: 'x', code: 'TOO_MANY_SUBSCRIPTIONS' });
    client.unsubscribe(['S0', '5m']);
    client.subscribe(['T', '1h']);
    expect(client.session.subscriptions).toBe(100);
  });

  const series = [{ symbol: 'A', interval: '5m' }];
  it.each([
    ['BAD_JSON', '{'],
    ['BAD_FRAME', 'null'],
    ['BAD_FRAME', '[]'],
    ['UNKNOWN_TYPE', '{}'],
    ['UNKNOWN_TYPE', JSON.stringify({ type: 'sub', series })],
    ['BAD_FRAME', JSON.stringify({ type: 'subscribe' })],
    ['BAD_FRAME', JSON.stringify({ type: 'subscribe', series: [] })],
    ['BAD_FRAME', JSON.stringify({ type: 'subscribe', series, more: 1 })],
    ['BAD_FRAME', JSON.stringify({ type: 'subscribe', series: Array.from({ length: 101 }, () => series[0]) })],
    ['BAD_SYMBOL', JSON.stringify({ type: 'subscribe', series: [{ symbol: '', interval: '5m' }] })],
    ['BAD_SYMBOL', JSON.stringify({ type: 'subscribe', series: [{ symbol: 'A'.repeat(33), interval: '5m' }] })],
    ['BAD_SYMBOL', JSON.stringify({ type: 'subscribe', series: [{ symbol: 'A|B', interval: '5m' }] })],
    ['BAD_INTERVAL', JSON.stringify({ type: 'subscribe', series: [{ symbol: 'A', interval: '2m' }] })],
  ])('answers %s to %s and goes on', (code, text) => {
    const client = new Client(new CurrentCandles());
    client.session.message(text);
    expect(client.told.at(-1)).toMatchObject({ type: 'error', code });
    client.subscribe(['A', '5m']);
    expect(client.ofType('subscribed')).toHaveLength(1);
    expect(client.closedWith).toBeNull();
  });

  it('gives the id of a bad frame back when it has one', () => {
    const client = new Client(new CurrentCandles());
    client.ask({ type: 'nothing', id: 'a' });
    client.ask({ type: 'nothing', id: { b: 1 } });
    expect(client.ofType('error').map(({ id }) => id)).toEqual(['a', undefined]);
  });

  it('sends away who sends binary frames', () => {
    const client = new Client(new CurrentCandles());
    client.session.binary();
    expect(client.told.at(-1)).toMatchObject({ code: 'BINARY_FRAME' });
    expect(client.closedWith?.code).toBe(1003);
  });

  it('lets a burst come, then a rate, and sends away who passes it; pings count', () => {
    const client = new Client(new CurrentCandles(), { limits: { burst: 4 } });
    client.subscribe(['A', '5m']);
    client.subscribe(['B', '5m']);
    for (let i = 0; i < 2; i++) client.session.pinged();
    client.nowMs = 1_000 / LIMITS.framesPerSecond;
    client.subscribe(['C', '5m']);
    expect(client.closedWith).toBeNull();
    client.session.pinged();
    expect(client.closedWith?.code).toBe(1008);
    expect(client.told.at(-1)).toMatchObject({ type: 'error', code: 'RATE_LIMITED' });
    expect(client.session.subscriptions).toBe(0);
  });

  it('gives a client that does not read the newest value of each series when it does, in the order they changed', () => {
    const candles = new CurrentCandles();
    const client = new Client(candles, { reads: false, limits: { conflateBytes: 1 } });
    client.subscribe(['A', '5m'], ['B', '5m']);
    for (let close = 1n; close <= 50n; close++) {
      for (const symbol of ['B', 'A']) candles.apply(recordOf(symbol, '5m', 1, close));
      candles.publish();
    }
    expect(client.ofType('value')).toHaveLength(0);
    expect(client.conflated).toBe(100);
    while (client.drain());
    expect(client.values('A', '5m')).toEqual([[1, '0.000050']]);
    expect(client.values('B', '5m')).toEqual([[1, '0.000050']]);
  });

  it('tells the newest status only', () => {
    const client = new Client(new CurrentCandles(), { reads: false, limits: { conflateBytes: 1 } });
    for (const asOf of [2, 3]) {
      client.status = { state: 'delayed', asOf };
      client.session.statusChanged();
    }
    while (client.drain());
    expect(client.ofType('status')).toEqual([{ type: 'status', state: 'delayed', asOf: 3 }]);
  });

  const symbol = fc.constantFrom('A', 'B', 'C');
  const interval = fc.constantFrom(...FEED_INTERVALS.slice(0, 2));
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('put' as const), symbol, interval, start: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), symbol, interval, start: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('subscribe' as const), symbol, interval }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('unsubscribe' as const), symbol, interval }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('publish' as const) }) },
  );

  it('has told the newest value of each subscription once all is read, and never buffers more than its bound', () => {
    const conflateBytes = 600;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const candles = new CurrentCandles();
        const clients = [
          new Client(candles, { limits: { conflateBytes } }),
          new Client(candles, { reads: false, limits: { conflateBytes } }),
        ];
        const subscribed = new Set<string>();
        for (const [index, what] of steps.entries()) {
          switch (what.do) {
            case 'put':
              candles.apply(recordOf(what.symbol, what.interval, what.start, BigInt(index)));
              break;
            case 'delete':
              candles.apply(recordOf(what.symbol, what.interval, what.start, null));
              break;
            case 'subscribe':
              subscribed.add(`${what.symbol}|${what.interval}`);
              for (const client of clients) client.subscribe([what.symbol, what.interval]);
              break;
            case 'unsubscribe':
              subscribed.delete(`${what.symbol}|${what.interval}`);
              for (const client of clients) client.unsubscribe([what.symbol, what.interval]);
              break;
            case 'drain':
              clients[1]!.drain();
              break;
            case 'publish':
              candles.publish();
              break;
            default:
              what satisfies never;
          }
        }
        candles.publish();
        while (clients[1]!.drain());
        for (const name of subscribed) {
          const [of, at] = name.split('|') as [string, (typeof FEED_INTERVALS)[number]];
          const asked = new Client(candles);
          asked.subscribe([of, at]);
          for (const client of clients) expect(client.values(of, at).at(-1)).toEqual(asked.values(of, at).at(-1));
          asked.session.closed();
        }
        // Answers are sent whatever is buffered (they are rate limited); values are not.
        const answers = clients[1]!.told.filter(({ type }) => type !== 'value');
        const bound = conflateBytes + 400 + Buffer.byteLength(JSON.stringify(answers));
        expect(clients[1]!.maxBuffered).toBeLessThan(bound);
      }),
      { seed: 6, numRuns: 300 },
    );
  });
});
