import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

/** Topic `prices.candles.v1`. */
export const candleV1Schema = {
  type: 'record',
  name: 'PriceCandle',
  namespace: 'sluice.prices',
  doc: 'The present state of one candle of one stock. The public contract: fields are only ever added, nullable. Prices are integers: millionths of the unit.',
  fields: [
    { name: 'stock_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the stock in the source.' },
    { name: 'symbol', type: 'string', doc: 'Symbol of the stock, which never changes.' },
    { name: 'interval', type: 'string', doc: '5m, 15m, 1h, 1d or 1w.' },
    {
      name: 'start',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'First instant: milliseconds since the epoch. 5m and 15m are aligned to the epoch; hours, days and weeks (from Monday) to the clock at the exchange.',
    },
    {
      name: 'end',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'First instant behind it: milliseconds since the epoch.',
    },
    {
      name: 'open_e6',
      type: { type: 'long', js: 'bigint' },
      doc: 'Open of the first bar by its time, not by arrival.',
    },
    { name: 'high_e6', type: { type: 'long', js: 'bigint' }, doc: 'Highest price.' },
    { name: 'low_e6', type: { type: 'long', js: 'bigint' }, doc: 'Lowest price.' },
    { name: 'close_e6', type: { type: 'long', js: 'bigint' }, doc: 'Close of the last bar by its time.' },
    { name: 'volume', type: { type: 'long', js: 'bigint' }, doc: 'Sum of the volumes.' },
    {
      name: 'vwap_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Volume-weighted average of (high + low + close) / 3 of the bars, rounded half up; null without volume.',
    },
    { name: 'bars', type: 'int', doc: 'Number of bars it is made of.' },
    {
      name: 'final',
      type: 'boolean',
      doc: 'No further bar is expected: stream time has passed the end and the allowed lateness. One that still comes corrects the candle, which is final as before.',
    },
    {
      name: 'source_lsn',
      type: { type: 'long', js: 'bigint' },
      doc: 'Postgres LSN of the newest change that made it what it is.',
    },
    {
      name: 'source_commit_ts',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Commit time of that change: milliseconds since the epoch.',
    },
  ],
} as const satisfies DocumentedRecord;

export type CandleV1 = FromAvro<typeof candleV1Schema>;
