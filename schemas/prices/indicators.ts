import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';
import { seriesFields, valueFields } from './indicator-fields.ts';

export const indicatorsSchema = {
  type: 'record',
  name: 'Indicators',
  namespace: 'sluice.prices',
  doc: 'One candle of one stock with its indicators, and what continues them from here. Prices are integers: millionths of the unit. Absolute values, never increments.',
  fields: [
    ...seriesFields,
    { name: 'open_e6', type: { type: 'long', js: 'bigint' }, doc: 'Open of the candle.' },
    { name: 'high_e6', type: { type: 'long', js: 'bigint' }, doc: 'High of the candle.' },
    { name: 'low_e6', type: { type: 'long', js: 'bigint' }, doc: 'Low of the candle.' },
    ...valueFields,
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
      name: 'high_20d_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Highest high of the 20 days (1d) or 4 weeks (1w) before; null without them, and for other intervals.',
    },
    {
      name: 'low_20d_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Lowest low of the 20 days (1d) or 4 weeks (1w) before; null without them, and for other intervals.',
    },
    {
      name: 'high_52w_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Highest high of the 364 days before the candle; null where the series does not reach back so far, and for other intervals than 1d and 1w.',
    },
    {
      name: 'low_52w_e6',
      type: ['null', { type: 'long', js: 'bigint' }],
      default: null,
      doc: 'Lowest low of the 364 days before the candle; null where the series does not reach back so far, and for other intervals than 1d and 1w.',
    },
    { name: 'avg_gain', type: ['null', 'double'], default: null, doc: 'Smoothed gain inside rsi_14, to go on from.' },
    { name: 'avg_loss', type: ['null', 'double'], default: null, doc: 'Smoothed loss inside rsi_14, to go on from.' },
  ],
} as const satisfies DocumentedRecord;

const behindSchema = {
  type: 'record',
  name: 'IndicatorsBehind',
  namespace: 'sluice.prices',
  doc: 'A candle in the past was corrected: the indicators of this series from here on are still those from before. A tombstone follows when they are right.',
  fields: [
    { name: 'stock_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the stock.' },
    { name: 'interval', type: 'string', doc: '5m, 15m, 1h, 1d or 1w.' },
    {
      name: 'from',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Start of the first candle that may be wrong: milliseconds since the epoch.',
    },
  ],
} as const satisfies DocumentedRecord;

const asOfSchema = {
  type: 'record',
  name: 'IndicatorsAsOf',
  namespace: 'sluice.prices',
  doc: 'How far one partition has come: the indicators in front of this record are those of everything that Postgres committed before source_lsn.',
  fields: [
    { name: 'partition', type: 'int', doc: 'Partition of prices.candles.' },
    {
      name: 'stream_time',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'Stream time of the candles: milliseconds since the epoch.',
    },
    { name: 'source_lsn', type: { type: 'long', js: 'bigint' }, doc: 'Postgres LSN of the clock.' },
  ],
} as const satisfies DocumentedRecord;

/** Topic `prices.indicators`. */
export const indicatorsRecordSchema = {
  type: 'record',
  name: 'IndicatorsRecord',
  namespace: 'sluice.prices',
  doc: 'The indicators of a candle, or how far they have come.',
  fields: [
    {
      name: 'body',
      type: [indicatorsSchema, behindSchema, asOfSchema],
      doc: 'The indicators, or one of the two notes.',
    },
  ],
} as const satisfies DocumentedRecord;

export type IndicatorsRecord = FromAvro<typeof indicatorsRecordSchema>;
export type Indicators = FromAvro<typeof indicatorsSchema>;
