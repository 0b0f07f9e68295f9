import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

const candleSchema = {
  type: 'record',
  name: 'Candle',
  namespace: 'sluice.prices',
  doc: 'The present state of one bar or candle of one stock. Prices are integers: millionths of the unit. Absolute values, never increments; all but the last three fields are its contribution.',
  fields: [
    { name: 'stock_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the stock.' },
    { name: 'symbol', type: 'string', doc: 'Symbol of the stock, which never changes.' },
    { name: 'interval', type: 'string', doc: 'bar, 5m, 15m, 1h, 1d or 1w.' },
    {
      name: 'start',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'First instant: milliseconds since the epoch. Days and weeks begin at midnight at the exchange.',
    },
    {
      name: 'end',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'First instant behind it: milliseconds since the epoch.',
    },
    { name: 'open_e6', type: { type: 'long', js: 'bigint' }, doc: 'Open of the first bar by its time.' },
    { name: 'high_e6', type: { type: 'long', js: 'bigint' }, doc: 'Highest price.' },
    { name: 'low_e6', type: { type: 'long', js: 'bigint' }, doc: 'Lowest price.' },
    { name: 'close_e6', type: { type: 'long', js: 'bigint' }, doc: 'Close of the last bar by its time.' },
    { name: 'volume', type: { type: 'long', js: 'bigint' }, doc: 'Sum of the volumes.' },
    {
      name: 'price_volume',
      type: 'bytes',
      doc: 'Sum of (high_e6 + low_e6 + close_e6) · volume over the bars: big-endian, two’s complement, as few bytes as hold it.',
    },
    {
      name: 'vwap_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'price_volume / (3 · volume), rounded half up; null without volume.',
    },
    { name: 'bars', type: 'int', doc: 'Number of base bars.' },
    {
      name: 'final',
      type: 'boolean',
      doc: 'Whether stream time has passed the end and the allowed lateness. A later correction of it is final too. A bar always is.',
    },
    {
      name: 'source',
      type: ['null', 'string'],
      default: null,
      doc: 'Of a bar, and of a day that is made of a daily bar: where that bar is from. Null for what is made of bars of minutes, and for weeks.',
    },
    {
      name: 'source_lsn',
      type: { type: 'long', js: 'bigint' },
      doc: 'Postgres LSN of the newest change that made it what it is; of the clock where only final has changed.',
    },
    {
      name: 'source_xid',
      type: { type: 'long', js: 'bigint' },
      doc: 'Top-level transaction id of that change; 0 when not known.',
    },
    {
      name: 'source_commit_ts',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Commit time of that change: milliseconds since the epoch.',
    },
  ],
} as const satisfies DocumentedRecord;

const asOfSchema = {
  type: 'record',
  name: 'CandlesAsOf',
  namespace: 'sluice.prices',
  doc: 'How far the candles of one partition have come: everything that Postgres committed before source_lsn is in front of this record.',
  fields: [
    { name: 'partition', type: 'int', doc: 'Partition of prices.candles.' },
    {
      name: 'stream_time',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Stream time: milliseconds since the epoch.',
    },
    {
      name: 'source_lsn',
      type: { type: 'long', js: 'bigint' },
      doc: 'Postgres LSN of the clock; 0 in front of its first reading.',
    },
    {
      name: 'final_to',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Stream time less the allowed lateness: every candle that ends at or before it is final.',
    },
  ],
} as const satisfies DocumentedRecord;

/** Topic `prices.candles`. */
export const candleRecordSchema = {
  type: 'record',
  name: 'CandleRecord',
  namespace: 'sluice.prices',
  doc: 'A bar or candle, or how far they have come.',
  fields: [{ name: 'body', type: [candleSchema, asOfSchema], doc: 'The candle or the as-of stamp.' }],
} as const satisfies DocumentedRecord;

export type CandleRecord = FromAvro<typeof candleRecordSchema>;
/** A bar or candle as its topic has it. */
export type Candle = FromAvro<typeof candleSchema>;
export type CandlesAsOf = FromAvro<typeof asOfSchema>;
