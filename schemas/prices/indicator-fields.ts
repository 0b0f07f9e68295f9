/** What the internal and the public record of indicators have in common. */
import type { AvroField } from '../../engine/avro/schema.ts';

type DocumentedField = AvroField & { readonly doc: string };

export const seriesFields = [
  { name: 'stock_id', type: { type: 'long', js: 'bigint' }, doc: 'Primary key of the stock in the source.' },
  { name: 'symbol', type: 'string', doc: 'Symbol of the stock, which never changes.' },
  { name: 'interval', type: 'string', doc: '5m, 15m, 1h, 1d or 1w.' },
  {
    name: 'start',
    type: { type: 'long', logicalType: 'timestamp-millis' },
    doc: 'First instant of the candle: milliseconds since the epoch.',
  },
  {
    name: 'end',
    type: { type: 'long', logicalType: 'timestamp-millis' },
    doc: 'First instant behind the candle: milliseconds since the epoch.',
  },
  { name: 'close_e6', type: { type: 'long', js: 'bigint' }, doc: 'Close of the candle: millionths of the unit.' },
  { name: 'volume', type: { type: 'long', js: 'bigint' }, doc: 'Volume of the candle.' },
  { name: 'final', type: 'boolean', doc: 'As of the candle: no further bar is expected.' },
] as const satisfies readonly DocumentedField[];

/** Of the candles of one stock and interval in time order, up to and including this one. */
export const valueFields = [
  {
    name: 'sma_20',
    type: ['null', 'double'],
    default: null,
    doc: 'Mean of the last 20 closes. Null without enough history.',
  },
  {
    name: 'sma_50',
    type: ['null', 'double'],
    default: null,
    doc: 'Mean of the last 50 closes. Null without enough history.',
  },
  {
    name: 'sma_200',
    type: ['null', 'double'],
    default: null,
    doc: 'Mean of the last 200 closes. Null without enough history.',
  },
  {
    name: 'ema_12',
    type: ['null', 'double'],
    default: null,
    doc: 'Exponential mean of the closes with weight 2 / 13, begun at the first close; null before the twelfth candle.',
  },
  {
    name: 'ema_26',
    type: ['null', 'double'],
    default: null,
    doc: 'Exponential mean of the closes with weight 2 / 27, begun at the first close; null before the 26th candle.',
  },
  {
    name: 'rsi_14',
    type: ['null', 'double'],
    default: null,
    doc: "Wilder's relative strength index over 14 changes of the close. Null without enough history.",
  },
  { name: 'macd', type: ['null', 'double'], default: null, doc: 'ema_12 − ema_26. Null without enough history.' },
  {
    name: 'macd_signal',
    type: ['null', 'double'],
    default: null,
    doc: 'Exponential mean of macd with weight 2 / 10, begun at its first value; null before its ninth.',
  },
  {
    name: 'macd_histogram',
    type: ['null', 'double'],
    default: null,
    doc: 'macd − macd_signal. Null without enough history.',
  },
  {
    name: 'bollinger_upper',
    type: ['null', 'double'],
    default: null,
    doc: 'Mean of the last 20 closes plus two of their standard deviations (of the population). Null without enough history.',
  },
  {
    name: 'bollinger_lower',
    type: ['null', 'double'],
    default: null,
    doc: 'Mean of the last 20 closes minus two of their standard deviations (of the population). Null without enough history.',
  },
  {
    name: 'atr_14',
    type: ['null', 'double'],
    default: null,
    doc: "Wilder's average true range over 14 candles; the first candle's true range is high − low. Null without enough history.",
  },
  {
    name: 'obv',
    type: { type: 'long', js: 'bigint' },
    doc: 'On-balance volume: 0 at the first candle; volume is added where the close rises, taken off where it falls.',
  },
  {
    name: 'volume_ratio',
    type: ['null', 'double'],
    default: null,
    doc: 'Volume divided by the mean volume of the 20 candles before; null where that is 0.',
  },
  {
    name: 'signals',
    type: { type: 'array', items: 'string' },
    doc: 'What holds of this candle, sorted: rsi_overbought, rsi_oversold, macd_cross_up, macd_cross_down, golden_cross, death_cross, bollinger_break_up, bollinger_break_down, unusual_volume.',
  },
] as const satisfies readonly DocumentedField[];
