import avsc from 'avsc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { beginFrame, frame, schemaIdOf } from '../../../engine/avro/framing.ts';
import { bigLong } from './debezium.ts';

const seeded = { seed: 20260102, numRuns: 2000 };

function written(write: (writer: ByteWriter) => void, chunkBytes = 16): Buffer {
  const writer = new ByteWriter({ chunkBytes });
  writer.begin();
  write(writer);
  return writer.take();
}

describe('ByteWriter', { timeout: 60_000 }, () => {
  it('writes longs as avsc does, to the last bit', () => {
    const any = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger().map(BigInt));
    const edges = [31n, 32n, 52n, 53n, 62n].flatMap((bit) => [
      2n ** bit,
      2n ** bit - 1n,
      -(2n ** bit),
      -(2n ** bit) - 1n,
    ]);
    const checkOne = (value: bigint) => {
      const expected = bigLong.toBuffer(value);
      expect(written((writer) => writer.bigLong(value))).toEqual(expected);
      if (Number.isSafeInteger(Number(value))) {
        expect(written((writer) => writer.long(Number(value)))).toEqual(expected);
      }
    };
    edges.forEach(checkOne);
    fc.assert(fc.property(any, checkOne), seeded);
  });

  it('writes strings as avsc does, of any length and language', () => {
    const type = avsc.Type.forSchema('string');
    const lengths = [0, 1, 20, 21, 31, 32, 62, 63, 64, 65, 8191, 8192].map((length) => 'x'.repeat(length));
    for (const text of [...lengths, 'ä'.repeat(32), '😀'.repeat(16)]) {
      expect(written((writer) => writer.string(text))).toEqual(type.toBuffer(text));
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(written((writer) => writer.string(text))).toEqual(type.toBuffer(text));
      }),
      seeded,
    );
  });

  it.each([1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('refuses %d as a long', (value) => {
    expect(() => written((writer) => writer.long(value))).toThrow(RangeError);
  });

  it.each([2n ** 63n, -(2n ** 63n) - 1n])('refuses %d as a 64-bit long', (value) => {
    expect(() => written((writer) => writer.bigLong(value))).toThrow(RangeError);
  });

  it('keeps what was taken, however often the arena grows', () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 40 });
    fc.assert(
      fc.property(pieces, (parts) => {
        const writer = new ByteWriter({ chunkBytes: 32 });
        const taken = parts.map((part) => {
          writer.begin();
          writer.copy(part, 0, part.length);
          return writer.take();
        });
        expect(taken.map((view) => [...view])).toEqual(parts.map((part) => [...part]));
      }),
      seeded,
    );
  });

  it('drops a record that was begun and not taken, and reuses its memory after reset', () => {
    const writer = new ByteWriter({ chunkBytes: 64 });
    writer.begin();
    writer.string('half');
    beginFrame(writer, 7);
    writer.byte(1);
    const whole = writer.take();
    expect([...whole]).toEqual([0, 0, 0, 0, 7, 1]);
    writer.reset();
    writer.begin();
    writer.byte(9);
    expect(writer.take().buffer).toBe(whole.buffer);
    expect(whole[0]).toBe(9);
  });

  it('refuses a record beyond its limit, and goes on with the next', () => {
    const writer = new ByteWriter({ chunkBytes: 8, maxRecordBytes: 100 });
    writer.begin();
    expect(() => writer.string('x'.repeat(101))).toThrow(expect.objectContaining({ code: 'RECORD_TOO_LARGE' }));
    writer.begin();
    writer.byte(5);
    expect([...writer.take()]).toEqual([5]);
  });

  it('frames a body under a schema id that is found again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), fc.uint8Array(), (id, body) => {
        const value = frame(new ByteWriter(), id, body);
        expect(schemaIdOf(value)).toBe(id);
        expect([...value.subarray(5)]).toEqual([...body]);
      }),
      { seed: 20260102, numRuns: 200 },
    );
  });

  it.each([[[]], [[0, 0, 0, 1]], [[1, 0, 0, 0, 1, 2]]])('finds no schema id in %j', (bytes) => {
    expect(() => schemaIdOf(Buffer.from(bytes))).toThrow(expect.objectContaining({ code: 'UNDECODABLE' }));
  });
});
