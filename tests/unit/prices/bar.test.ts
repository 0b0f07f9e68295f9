import { describe, expect, it } from 'vitest';
import { barOf } from '../../../pipelines/prices/bar.ts';
import { priceChangeDecoder, stockChangeDecoder } from '../../../pipelines/prices/codec/cdc.ts';
import { Zone } from '../../../pipelines/prices/zone.ts';
import { schemasById } from '../codec/debezium.ts';
import {
  PRICE_SCHEMA,
  PRICE_SCHEMA_ID,
  type PriceColumns,
  priceEnvelope,
  STOCK_SCHEMA,
  STOCK_SCHEMA_ID,
  stockEnvelope,
} from './price-rows.ts';

const registry = schemasById({ [PRICE_SCHEMA_ID]: PRICE_SCHEMA, [STOCK_SCHEMA_ID]: STOCK_SCHEMA });
const block = { lsn: 5n, xid: 7n, commitTsMs: Date.UTC(2026, 0, 5, 15, 1) };
const row: PriceColumns = {
  stock_id: 2n ** 60n,
  ts: '2026-01-05T15:00:00.000000Z',
  ...{ open: '10.000000', high: '12.500000', low: '9.999999', close: '11.000000' },
  volume: 2n ** 62n,
  source: 'minute',
};
const newYork = Zone.of('America/New_York');

async function bar(change: Partial<PriceColumns>, zone: Zone | null = newYork, commitTsMs = block.commitTsMs) {
  const decoder = priceChangeDecoder(registry);
  const bytes = priceEnvelope('c', null, { ...row, ...change }, block);
  await decoder.prepare([bytes]);
  return barOf(decoder.decode(bytes).after!, bytes, zone, commitTsMs);
}

describe('a row of stock_prices', () => {
  it('is a bar of a minute, exact', async () => {
    const start = Date.UTC(2026, 0, 5, 15);
    const prices = { open: 10_000_000n, high: 12_500_000n, low: 9_999_999n, close: 11_000_000n };
    expect(await bar({})).toEqual({ start, end: start + 60_000, ...prices, volume: 2n ** 62n, source: 'minute' });
  });

  it('is a bar of a day when its source says so, and of a day of 25 hours too', async () => {
    const start = Date.UTC(2026, 10, 1, 4);
    const change = { ts: '2026-11-01T04:00:00Z', source: 'daily:vendor' };
    expect(await bar(change, newYork, start)).toMatchObject({ start, end: start + 25 * 3_600_000 });
    // The name alone does not make it daily.
    expect(await bar({ ...change, source: 'daily-vendor' }, newYork, start)).toMatchObject({ end: start + 60_000 });
  });

  it.each<[string, Partial<PriceColumns>]>([
    ['BAD_NUMBER', { close: 'NaN' }],
    ['PRICE_NOT_POSITIVE', { open: '0.000000' }],
    ['PRICE_NOT_POSITIVE', { low: '-1.000000' }],
    ['HIGH_BELOW_LOW', { high: '9.000000', low: '9.000001' }],
    ['OPEN_OUTSIDE_RANGE', { open: '12.500001' }],
    ['OPEN_OUTSIDE_RANGE', { open: '9.999998' }],
    ['CLOSE_OUTSIDE_RANGE', { close: '12.500001' }],
    ['CLOSE_OUTSIDE_RANGE', { close: '9.999998' }],
    ['NEGATIVE_VOLUME', { volume: -1n }],
    ['MISALIGNED_TIME', { ts: '2026-01-05T15:00:01.000000Z' }],
    ['MISALIGNED_TIME', { ts: '2026-01-05T15:00:00.000001Z' }],
    ['MISALIGNED_TIME', { ts: '2026-01-05T00:00:00.000000Z', source: 'daily' }],
    ['MISALIGNED_TIME', { ts: 'infinity' }],
    ['MISALIGNED_TIME', { ts: '1969-12-31T23:59:00Z' }],
    ['MISALIGNED_TIME', { ts: '2200-01-01T00:00:00Z' }],
    ['FUTURE_BAR', { ts: '2026-01-06T15:02:00Z' }],
  ])('is %s with %o', async (code, change) => {
    await expect(bar(change)).rejects.toMatchObject({ code, action: 'dead-letter' });
  });

  it('counts at each edge', async () => {
    const flat = { open: '0.000001', high: '0.000001', low: '0.000001', close: '0.000001', volume: 0n };
    await expect(bar({ ...flat, ts: '2026-01-06T15:01:00Z' })).resolves.toMatchObject({
      high: 1n,
      low: 1n,
      volume: 0n,
    });
    await expect(bar({ ts: '1970-01-01T00:00:00Z' })).resolves.toMatchObject({ start: 0 });
  });

  it('is of no use without its stock', async () => {
    await expect(bar({}, null)).rejects.toMatchObject({ code: 'UNKNOWN_STOCK' });
  });
});

describe('a row of stocks', () => {
  it('is read as far as candles need it', async () => {
    const decoder = stockChangeDecoder(registry);
    const stock = { id: 2n ** 60n, symbol: 'ACME', exchange: 'NYSE' };
    const bytes = stockEnvelope(stock, 'r', block);
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes)).toMatchObject({
      op: 'r',
      after: stock,
      lsn: 5n,
      xid: 0n,
      commitTsMs: block.commitTsMs,
    });
  });
});
