/** IndicatorsRecord and PriceSignals. The keys of the one are in `indicators/key.ts`, those of the other are CandleKey. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import { type IndicatorsRecord, indicatorsRecordSchema } from '../../../schemas/prices/indicators.ts';
import { type SignalsV1, signalsV1Schema } from '../../../schemas/prices/signals-v1.ts';

const recordSchema = resolveSchema(indicatorsRecordSchema);
const v1Schema = resolveSchema(signalsV1Schema);
const writeRecord = compileWriter<IndicatorsRecord>(recordSchema);
const writeV1 = compileWriter<SignalsV1>(v1Schema);

/** Encodes a value of `prices.indicators`. The results of both are views of the writer's arena. */
export function encodeIndicators(writer: ByteWriter, schemaId: number, value: IndicatorsRecord): Buffer {
  beginFrame(writer, schemaId);
  writeRecord(writer, value);
  return writer.take();
}

/** Encodes a value of `prices.signals.v1`; what else the row has is left out. */
export function encodeSignalsV1(writer: ByteWriter, schemaId: number, value: SignalsV1): Buffer {
  beginFrame(writer, schemaId);
  writeV1(writer, value);
  return writer.take();
}

/** Decoder of topic `prices.indicators`. */
export function indicatorsDecoder(source: SchemaSource): FramedDecoder<IndicatorsRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<IndicatorsRecord>(writer, recordSchema) });
}

/** Decoder of topic `prices.signals.v1`. */
export function signalsV1Decoder(source: SchemaSource): FramedDecoder<SignalsV1> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<SignalsV1>(writer, v1Schema) });
}
