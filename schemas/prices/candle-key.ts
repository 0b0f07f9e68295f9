import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';

/** Key of topics `prices.candles` and `prices.candles.v1`. */
export const candleKeySchema = {
  type: 'record',
  name: 'CandleKey',
  namespace: 'sluice.prices',
  doc: 'Which candle of which stock.',
  fields: [
    {
      name: 'stock_id',
      type: { type: 'long', js: 'bigint' },
      doc: 'Primary key of the stock; it decides the partition.',
    },
    {
      name: 'interval',
      type: 'string',
      doc: '5m, 15m, 1h, 1d or 1w; in prices.candles also bar (a row of the source) and asof (see CandlesAsOf).',
    },
    {
      name: 'start',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'First instant of the candle: milliseconds since 1970-01-01T00:00:00Z.',
    },
  ],
} as const satisfies DocumentedRecord;

export type CandleKey = FromAvro<typeof candleKeySchema>;
