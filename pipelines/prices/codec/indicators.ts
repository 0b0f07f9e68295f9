/** IndicatorsRecord and PriceSignals. The keys of the one are in `indicators-key.ts`, those of the other are CandleKey. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileCopier } from '../../../engine/avro/compile-copier.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame, FRAME_BYTES } from '../../../engine/avro/framing.ts';
import { branchOf, resolveSchema } from '../../../engine/avro/resolve.ts';
import { type Indicators, type IndicatorsRecord, indicatorsRecordSchema } from '../../../schemas/prices/indicators.ts';
import { type SignalsV1, signalsV1Schema } from '../../../schemas/prices/signals-v1.ts';

const recordSchema = resolveSchema(indicatorsRecordSchema);
const v1Schema = resolveSchema(signalsV1Schema);
const writeRecord = compileWriter<IndicatorsRecord>(recordSchema);
const rowSchema = branchOf(recordSchema, 'Indicators');
const writeRow = compileWriter<Indicators>(rowSchema);
const copyV1 = compileCopier(rowSchema, v1Schema);
/** It is the first branch of the union. */
const ROW_BRANCH = 0;
/** The frame, and the byte that tells which branch of the union follows. */
const BODY_AT = FRAME_BYTES + 1;

/** Encodes a value of `prices.indicators`. The results of both are views of the writer's arena. */
export function encodeIndicators(writer: ByteWriter, schemaId: number, value: IndicatorsRecord): Buffer {
  beginFrame(writer, schemaId);
  writeRecord(writer, value);
  return writer.take();
}

/** As `encodeIndicators` of a row, which needs not be copied for it. */
export function encodeIndicatorsRow(writer: ByteWriter, schemaId: number, row: Indicators): Buffer {
  beginFrame(writer, schemaId);
  writer.byte(ROW_BRANCH);
  writeRow(writer, row);
  return writer.take();
}

/** The value of `prices.signals.v1` that is in indicators of `prices.indicators`, as `encodeIndicators` made them. */
export function signalsV1Of(writer: ByteWriter, schemaId: number, indicators: Buffer): Buffer {
  beginFrame(writer, schemaId);
  copyV1(writer, indicators, BODY_AT, indicators.length);
  return writer.take();
}

/** Decoder of topic `prices.indicators`. */
export function indicatorsDecoder(source: SchemaSource): FramedDecoder<IndicatorsRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<IndicatorsRecord>(writer, recordSchema) });
}

/** A record of `prices.indicators` and the stream time at which it became so, ms since the epoch: the time of its record. */
export interface TimedIndicators {
  readonly body: IndicatorsRecord['body'];
  readonly timeMs: number;
}

/** Decoder of topic `prices.signals.v1`. */
export function signalsV1Decoder(source: SchemaSource): FramedDecoder<SignalsV1> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<SignalsV1>(writer, v1Schema) });
}
