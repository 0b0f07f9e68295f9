/** CandleKey, CandleRecord and PriceCandle. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import { type CandleRecord, candleRecordSchema } from '../../../schemas/prices/candle.ts';
import { type CandleKey, candleKeySchema } from '../../../schemas/prices/candle-key.ts';
import { type CandleV1, candleV1Schema } from '../../../schemas/prices/candle-v1.ts';

const keySchema = resolveSchema(candleKeySchema);
const recordSchema = resolveSchema(candleRecordSchema);
const v1Schema = resolveSchema(candleV1Schema);
const writeKey = compileWriter<CandleKey>(keySchema);
const writeRecord = compileWriter<CandleRecord>(recordSchema);
const writeV1 = compileWriter<CandleV1>(v1Schema);

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

/** Encodes a value of `prices.candles.v1`; what else the candle has is left out. */
export function encodeCandleV1(writer: ByteWriter, schemaId: number, value: CandleV1): Buffer {
  beginFrame(writer, schemaId);
  writeV1(writer, value);
  return writer.take();
}

/** Decoder of the keys of both topics. */
export function candleKeyDecoder(source: SchemaSource): FramedDecoder<CandleKey> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<CandleKey>(writer, keySchema) });
}

/** Decoder of topic `prices.candles`. */
export function candleDecoder(source: SchemaSource): FramedDecoder<CandleRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<CandleRecord>(writer, recordSchema) });
}

/** Decoder of topic `prices.candles.v1`. */
export function candleV1Decoder(source: SchemaSource): FramedDecoder<CandleV1> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<CandleV1>(writer, v1Schema) });
}
