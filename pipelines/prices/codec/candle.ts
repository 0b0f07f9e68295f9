/** CandleKey, CandleRecord and PriceCandle. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileCopier } from '../../../engine/avro/compile-copier.ts';
import { compileReader, compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame, FRAME_BYTES } from '../../../engine/avro/framing.ts';
import { type Projected, record } from '../../../engine/avro/projection.ts';
import { branchOf, resolveSchema } from '../../../engine/avro/resolve.ts';
import { type CandleRecord, candleRecordSchema } from '../../../schemas/prices/candle.ts';
import { type CandleKey, candleKeySchema } from '../../../schemas/prices/candle-key.ts';
import { type CandleV1, candleV1Schema } from '../../../schemas/prices/candle-v1.ts';

const keySchema = resolveSchema(candleKeySchema);
const recordSchema = resolveSchema(candleRecordSchema);
const v1Schema = resolveSchema(candleV1Schema);
const writeKey = compileWriter<CandleKey>(keySchema);
const writeRecord = compileWriter<CandleRecord>(recordSchema);
const copyV1 = compileCopier(branchOf(recordSchema, 'Candle'), v1Schema);
/** The frame, and the byte that tells which branch of the union follows. */
const BODY_AT = FRAME_BYTES + 1;

/** Encodes a key. The results of all three are views of the writer's arena. */
export function encodeCandleKey(writer: ByteWriter, schemaId: number, key: CandleKey): Buffer {
  beginFrame(writer, schemaId);
  writeKey(writer, key);
  return writer.take();
}

/** Encodes a value of `prices.candles`. */
export function encodeCandle(writer: ByteWriter, schemaId: number, value: CandleRecord): Buffer {
  beginFrame(writer, schemaId);
  writeRecord(writer, value);
  return writer.take();
}

/** The value of `prices.candles.v1` that is in a candle of `prices.candles`, as `encodeCandle` made it. */
export function candleV1Of(writer: ByteWriter, schemaId: number, candle: Buffer): Buffer {
  beginFrame(writer, schemaId);
  copyV1(writer, candle, BODY_AT, candle.length);
  return writer.take();
}

/** Decoder of the keys of both topics. */
export function candleKeyDecoder(source: SchemaSource): FramedDecoder<CandleKey> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<CandleKey>(writer, keySchema) });
}

const seriesKey = record({
  stock_id: { from: 'stock_id', read: 'bigint' },
  interval: { from: 'interval', read: 'interned' },
  start: { from: 'start', read: 'number' },
});

/** As `candleKeyDecoder`, for whoever looks the intervals up. */
export function seriesKeyDecoder(source: SchemaSource): FramedDecoder<CandleKey> {
  return new FramedDecoder({ source, compile: (writer) => compileReader(writer, seriesKey) });
}

const seriesCandle = record({
  body: {
    from: 'body',
    read: {
      kind: 'tagged',
      branches: {
        Candle: record({
          symbol: { from: 'symbol', read: 'interned' },
          start: { from: 'start', read: 'number' },
          end: { from: 'end', read: 'number' },
          open_e6: { from: 'open_e6', read: 'bigint' },
          high_e6: { from: 'high_e6', read: 'bigint' },
          low_e6: { from: 'low_e6', read: 'bigint' },
          close_e6: { from: 'close_e6', read: 'bigint' },
          volume: { from: 'volume', read: 'bigint' },
          final: { from: 'final', read: 'boolean' },
          source_commit_ts: { from: 'source_commit_ts', read: 'number' },
        }),
        CandlesAsOf: record({
          stream_time: { from: 'stream_time', read: 'number' },
          source_lsn: { from: 'source_lsn', read: 'bigint' },
        }),
      },
    },
  },
});

/** What indicators need of a value of `prices.candles`. */
export type SeriesCandleRecord = Projected<typeof seriesCandle>;

/** As `candleDecoder`, of less. */
export function seriesCandleDecoder(source: SchemaSource): FramedDecoder<SeriesCandleRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileReader(writer, seriesCandle) });
}

/** Decoder of topic `prices.candles`. */
export function candleDecoder(source: SchemaSource): FramedDecoder<CandleRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<CandleRecord>(writer, recordSchema) });
}

/** Decoder of topic `prices.candles.v1`. */
export function candleV1Decoder(source: SchemaSource): FramedDecoder<CandleV1> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<CandleV1>(writer, v1Schema) });
}
