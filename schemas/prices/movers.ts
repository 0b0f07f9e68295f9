import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

const candleSchema = {
  type: 'record',
  name: 'WatchedCandle',
  namespace: 'sluice.prices',
  doc: 'A candle that is on the boards, or may come on them. Prices are integers: millionths of the unit.',
  fields: [
    {
      name: 'start',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'First instant: milliseconds since the epoch.',
    },
    {
      name: 'until',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'When it leaves the boards: of a day the next weekday at the exchange, of a week its end. Milliseconds since the epoch.',
    },
    { name: 'high_e6', type: { type: 'long', js: 'bigint' }, doc: 'High of the candle.' },
    { name: 'low_e6', type: { type: 'long', js: 'bigint' }, doc: 'Low of the candle.' },
    { name: 'close_e6', type: { type: 'long', js: 'bigint' }, doc: 'Close of the candle.' },
    { name: 'volume', type: { type: 'long', js: 'bigint' }, doc: 'Volume of the candle.' },
    {
      name: 'previous_close_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Close of the candle before; null at the first.',
    },
    {
      name: 'previous_high_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'High of the candle before; null at the first.',
    },
    {
      name: 'previous_low_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Low of the candle before; null at the first.',
    },
    {
      name: 'volume_ratio',
      type: ['null', 'double'],
      default: null,
      doc: 'Volume divided by the mean of the 20 candles before; null without them.',
    },
    {
      name: 'high_20d_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Highest high of the 20 days before; null without them.',
    },
    {
      name: 'low_20d_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Lowest low of the 20 days before; null without them.',
    },
    {
      name: 'high_52w_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Highest high of the 52 weeks before; null without them.',
    },
    {
      name: 'low_52w_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Lowest low of the 52 weeks before; null without them.',
    },
  ],
} as const satisfies DocumentedRecord;

const watchSchema = {
  type: 'record',
  name: 'StockWatch',
  namespace: 'sluice.prices',
  doc: 'What the scanner knows of one stock in one period: its own state, on no board by itself.',
  fields: [
    { name: 'stock_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the stock.' },
    { name: 'symbol', type: 'string', doc: 'Symbol of the stock, which never changes.' },
    { name: 'exchange', type: 'string', doc: 'Exchange of the stock, which never changes.' },
    { name: 'sector', type: ['null', 'string'], default: null, doc: 'Sector of the stock, where it has one.' },
    { name: 'period', type: 'string', doc: 'Of the day or of the week: 1d or 1w.' },
    {
      name: 'candles',
      type: { type: 'array', items: candleSchema },
      doc: 'Its candles that have not left, in the order of time.',
    },
  ],
} as const satisfies DocumentedRecord;

const moverSchema = {
  type: 'record',
  name: 'Mover',
  namespace: 'sluice.prices',
  doc: 'One stock on boards of one period and universe of its partition. Absolute values, never increments.',
  fields: [
    { name: 'period', type: 'string', doc: 'Of the day or of the week: 1d or 1w.' },
    { name: 'universe', type: 'string', doc: 'Of what the boards are: all, exchange:NAME or sector:NAME.' },
    { name: 'stock_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the stock.' },
    { name: 'symbol', type: 'string', doc: 'Symbol of the stock, which never changes.' },
    { name: 'exchange', type: 'string', doc: 'Exchange of the stock, which never changes.' },
    { name: 'sector', type: ['null', 'string'], default: null, doc: 'Sector of the stock, where it has one.' },
    { name: 'candle', type: 'sluice.prices.WatchedCandle', doc: 'The candle that it is ranked by.' },
    {
      name: 'change_bp',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Close against the close before: basis points, rounded half up; null without one.',
    },
    {
      name: 'pivot_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: '(high + low + close) / 3 of the candle before, rounded half up as all five; null without one.',
    },
    {
      name: 'resistance_1_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: '2 · pivot − low before.',
    },
    {
      name: 'support_1_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: '2 · pivot − high before.',
    },
    {
      name: 'resistance_2_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'pivot + high − low before.',
    },
    {
      name: 'support_2_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'pivot − high + low before.',
    },
    {
      name: 'boards',
      type: { type: 'array', items: 'string' },
      doc: 'The boards on whose top it is in this partition, sorted.',
    },
  ],
} as const satisfies DocumentedRecord;

const asOfSchema = {
  type: 'record',
  name: 'MoversAsOf',
  namespace: 'sluice.prices',
  doc: 'How far one partition has come: the boards in front of this record are those of everything that Postgres committed before source_lsn.',
  fields: [
    { name: 'partition', type: 'int', doc: 'Partition of prices.indicators.' },
    {
      name: 'stream_time',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Stream time: milliseconds since the epoch.',
    },
    { name: 'source_lsn', type: { type: 'long', js: 'bigint' }, doc: 'Postgres LSN of the clock.' },
  ],
} as const satisfies DocumentedRecord;

/** Topic `prices.movers`. */
export const moversRecordSchema = {
  type: 'record',
  name: 'MoversRecord',
  namespace: 'sluice.prices',
  doc: 'A stock on the boards, or what the scanner needs to know of one, or how far the boards have come.',
  fields: [{ name: 'body', type: [watchSchema, moverSchema, asOfSchema], doc: 'One of the three.' }],
} as const satisfies DocumentedRecord;

export type WatchedCandle = FromAvro<typeof candleSchema>;
type Named = { readonly 'sluice.prices.WatchedCandle': WatchedCandle };
export type Mover = FromAvro<typeof moverSchema, Named>;
export type MoversRecord = FromAvro<typeof moversRecordSchema, Named>;
