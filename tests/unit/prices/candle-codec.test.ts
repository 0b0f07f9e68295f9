/** Candles and their keys, read back by avsc from the schemas that are registered. */
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import {
  candleDecoder,
  candleKeyDecoder,
  candleV1Decoder,
  candleV1Of,
  encodeCandle,
  encodeCandleKey,
} from '../../../pipelines/prices/codec/candle.ts';
import { bytesOf } from '../../../pipelines/prices/codec/decimal.ts';
import { BAR } from '../../../pipelines/prices/intervals.ts';
import { type Candle, type CandlesAsOf, candleRecordSchema } from '../../../schemas/prices/candle.ts';
import { candleKeySchema } from '../../../schemas/prices/candle-key.ts';
import { candleV1Schema } from '../../../schemas/prices/candle-v1.ts';
import { avscType, schemasById } from '../codec/debezium.ts';

const registry = schemasById({ 1: candleKeySchema, 2: candleRecordSchema, 3: candleV1Schema });
const stock_id = 2n ** 60n;
const candle: Candle = {
  ...{ stock_id, symbol: 'ÄCME', interval: BAR, start: 1_767_600_000_000, end: 1_767_600_060_000 },
  ...{ open_e6: 1n, high_e6: 10n ** 18n, low_e6: 1n, close_e6: 2n, volume: 2n ** 62n },
  ...{ price_volume: bytesOf(2n ** 122n), vwap_e6: null, bars: 1, final: true, source: 'minute' },
  ...{ source_lsn: 2n ** 61n, source_xid: 9n, source_commit_ts: 1_767_600_061_000 },
};
const asOf: CandlesAsOf = { partition: 3, stream_time: 1_767_600_061_000, source_lsn: 2n ** 61n, final_to: 0 };

describe('candles', () => {
  it('are read back as they were written, by us and by another library', async () => {
    const writer = new ByteWriter();
    const decoder = candleDecoder(registry);
    const bodies = [
      { kind: 'Candle', ...candle },
      { kind: 'CandlesAsOf', ...asOf },
    ] as const;
    for (const body of bodies) {
      const bytes = encodeCandle(writer, 2, { body });
      await decoder.prepare([bytes]);
      expect(decoder.decode(bytes)).toEqual({ body });
    }
    const other = avscType(candleRecordSchema).fromBuffer(encodeCandle(writer, 2, { body: bodies[0] }).subarray(5));
    expect(other).toMatchObject({ body: { 'sluice.prices.Candle': { stock_id, price_volume: bytesOf(2n ** 122n) } } });
  });

  it('are the public contract without what is of no use to others', async () => {
    const decoder = candleV1Decoder(registry);
    const writer = new ByteWriter();
    const body = { kind: 'Candle', ...candle, interval: '5m' } as const;
    const bytes = candleV1Of(writer, 3, encodeCandle(writer, 2, { body }));
    await decoder.prepare([bytes]);
    const { price_volume: _, source: __, source_xid: ___, ...shown } = candle;
    expect(decoder.decode(bytes)).toEqual({ ...shown, interval: '5m' });
  });

  it('have keys', async () => {
    const decoder = candleKeyDecoder(registry);
    const key = { stock_id: -1n, interval: 'asof', start: 0 };
    const bytes = encodeCandleKey(new ByteWriter(), 1, key);
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes)).toEqual(key);
  });
});
