import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import {
  encodeIndicators,
  encodeIndicatorsRow,
  indicatorsDecoder,
  signalsV1Decoder,
  signalsV1Of,
} from '../../../pipelines/prices/codec/indicators.ts';
import {
  type Indicators,
  type IndicatorsRecord,
  indicatorsRecordSchema,
  indicatorsSchema,
} from '../../../schemas/prices/indicators.ts';
import { signalsV1Schema } from '../../../schemas/prices/signals-v1.ts';
import { avscType, schemasById } from '../codec/debezium.ts';
import { toAvsc, valuesOf } from '../codec/values.ts';

const registry = schemasById({ 1: indicatorsRecordSchema, 2: signalsV1Schema });
const seeded = { seed: 20260103, numRuns: 300 };

describe('the codec of indicators', () => {
  it('writes what avsc reads, and reads it back', async () => {
    const decoder = indicatorsDecoder(registry);
    const writer = new ByteWriter();
    await fc.assert(
      fc.asyncProperty(valuesOf<IndicatorsRecord>(indicatorsRecordSchema), async (value) => {
        writer.reset();
        const bytes = encodeIndicators(writer, 1, value);
        expect(avscType(indicatorsRecordSchema).fromBuffer(bytes.subarray(5))).toEqual(
          toAvsc(indicatorsRecordSchema, value),
        );
        await decoder.prepare([bytes]);
        expect(decoder.decode(bytes)).toEqual(value);
      }),
      seeded,
    );
  });

  it('copies the public record of signals out of it', async () => {
    const decoder = signalsV1Decoder(registry);
    const writer = new ByteWriter();
    await fc.assert(
      fc.asyncProperty(valuesOf<Indicators>(indicatorsSchema), async (row) => {
        writer.reset();
        const whole = encodeIndicatorsRow(writer, 1, row);
        expect(whole).toEqual(encodeIndicators(writer, 1, { body: { kind: 'Indicators', ...row } }));
        const bytes = signalsV1Of(writer, 2, whole);
        const names = signalsV1Schema.fields.map(({ name }) => name);
        const shown = Object.fromEntries(names.map((name) => [name, row[name]]));
        expect(avscType(signalsV1Schema).fromBuffer(bytes.subarray(5))).toEqual(toAvsc(signalsV1Schema, shown));
        await decoder.prepare([bytes]);
        expect(decoder.decode(bytes)).toEqual(shown);
      }),
      seeded,
    );
  });
});
