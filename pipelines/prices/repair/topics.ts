/** The topics that repairs read, and what their keys name: `kind stock start`. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { candleKeyDecoder } from '../codec/candle.ts';
import { decodeIndicatorsKey } from '../codec/indicators-key.ts';
import { AS_OF } from '../intervals.ts';
import { CANDLES, INDICATORS } from '../topics.ts';
import type { KeyedTopic } from './newest-records.ts';

export function keyedCandles(schemas: SchemaSource): KeyedTopic {
  const keys = candleKeyDecoder(schemas);
  return {
    topic: CANDLES,
    prepare: async (records) => await keys.prepare(records.map(({ key }) => key)),
    nameOf: (key) => {
      const { stock_id: stockId, interval, start } = keys.decode(key);
      return interval === AS_OF ? null : { name: `${interval} ${stockId} ${start}`, stockId };
    },
  };
}

export function keyedIndicators(): KeyedTopic {
  return {
    topic: INDICATORS,
    prepare: async () => {},
    nameOf: (key) => {
      const at = decodeIndicatorsKey(key);
      return at.kind === 'candle' ? { name: `${at.interval} ${at.stockId} ${at.start}`, stockId: at.stockId } : null;
    },
  };
}
