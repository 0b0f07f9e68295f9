import type { DocumentedRecord, FromAvro } from '../../engine/avro/schema.ts';
import { seriesFields, valueFields } from './indicator-fields.ts';

/** Topic `prices.signals.v1`. */
export const signalsV1Schema = {
  type: 'record',
  name: 'PriceSignals',
  namespace: 'sluice.prices',
  doc: 'The indicators of one candle of one stock, and the signals in them. The public contract: fields are only ever added, nullable.',
  fields: [...seriesFields, ...valueFields],
} as const satisfies DocumentedRecord;

export type SignalsV1 = FromAvro<typeof signalsV1Schema>;
