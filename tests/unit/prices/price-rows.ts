/** What Debezium writes for the tables of prices. */
import { avscType, bigLong, envelopeSchema, framed, plainSource } from '../codec/debezium.ts';

export const PRICE_SCHEMA_ID = 21;
export const STOCK_SCHEMA_ID = 22;

const zoned = { type: 'string', 'connect.version': 1, 'connect.name': 'io.debezium.time.ZonedTimestamp' };
const optional = (type: unknown) => ({ type: ['null', type], default: null });

export const priceColumns = [
  { name: 'stock_id', type: 'long' },
  { name: 'ts', type: zoned },
  { name: 'open', type: 'string' },
  { name: 'high', type: 'string' },
  { name: 'low', type: 'string' },
  { name: 'close', type: 'string' },
  { name: 'volume', type: 'long' },
  { name: 'source', type: { type: 'string', 'connect.default': 'minute' }, default: 'minute' },
] as const;

export const stockColumns = [
  { name: 'id', type: { type: 'long', 'connect.default': 0 }, default: 0 },
  { name: 'symbol', type: 'string' },
  { name: 'name', type: 'string' },
  { name: 'exchange', type: 'string' },
  { name: 'sector', ...optional('string') },
  { name: 'industry', ...optional('string') },
  { name: 'market_cap', ...optional('long') },
  { name: 'active', type: { type: 'boolean', 'connect.default': true }, default: true },
] as const;

export const PRICE_SCHEMA = envelopeSchema('stock_prices', priceColumns);
export const STOCK_SCHEMA = envelopeSchema('stocks', stockColumns);
const priceType = avscType(PRICE_SCHEMA);
const stockType = avscType(STOCK_SCHEMA);

/** A row of stock_prices as Debezium has it: decimals and times are text. */
export interface PriceColumns {
  readonly stock_id: bigint;
  readonly ts: string;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: bigint;
  readonly source: string;
}

export interface Block {
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

export type Op = 'c' | 'u' | 'd' | 'r' | 't';

function rest(op: Op, { lsn, xid, commitTsMs }: Block, table: string): object {
  return {
    source: {
      ...plainSource,
      table,
      ts_ms: BigInt(commitTsMs),
      snapshot: { string: op === 'r' ? 'incremental' : 'false' },
      txId: { long: xid },
      lsn: { long: lsn },
    },
    transaction: null,
    op,
    ts_ms: { long: BigInt(commitTsMs) },
    ts_us: null,
    ts_ns: null,
  };
}

const priceValue = (row: PriceColumns | null) => (row === null ? null : { 'cdc.public.stock_prices.Value': row });

export function priceEnvelope(op: Op, before: PriceColumns | null, after: PriceColumns | null, block: Block): Buffer {
  const rows = { before: priceValue(before), after: priceValue(after) };
  return framed(PRICE_SCHEMA_ID, priceType.toBuffer({ ...rows, ...rest(op, block, 'stock_prices') }));
}

/** Debezium's key of a bar. */
export function priceKey({ stock_id, ts }: Pick<PriceColumns, 'stock_id' | 'ts'>): Buffer {
  return Buffer.concat([bigLong.toBuffer(stock_id), Buffer.from(ts)]);
}

export function stockEnvelope(
  stock: { readonly id: bigint; readonly symbol: string; readonly exchange: string; readonly sector?: string | null },
  op: Op,
  block: Block,
): Buffer {
  const { sector = null, ...listing } = stock;
  const named = { ...listing, name: `${stock.symbol} Inc.`, sector: sector === null ? null : { string: sector } };
  const row = { ...named, industry: null, market_cap: null, active: true };
  const value = { 'cdc.public.stocks.Value': row };
  const images = op === 'd' ? { before: value, after: null } : { before: null, after: value };
  return framed(STOCK_SCHEMA_ID, stockType.toBuffer({ ...images, ...rest(op, block, 'stocks') }));
}
