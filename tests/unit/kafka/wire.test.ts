import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WireReader, WireWriter } from '../../../connectors/kafka/wire.ts';

type Field =
  | { readonly kind: 'int16' | 'int32'; readonly value: number }
  | { readonly kind: 'int64'; readonly value: bigint }
  | { readonly kind: 'string'; readonly value: string | null }
  | { readonly kind: 'bytes'; readonly value: Buffer }
  | { readonly kind: 'array'; readonly value: readonly number[] };

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }).map((value) => ({ kind: 'int16' as const, value })),
  fc.integer().map((value) => ({ kind: 'int32' as const, value })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ kind: 'int64' as const, value })),
  fc.option(fc.string({ unit: 'grapheme', maxLength: 700 })).map((value) => ({ kind: 'string' as const, value })),
  fc.uint8Array({ maxLength: 3_000 }).map((value) => ({ kind: 'bytes' as const, value: Buffer.from(value) })),
  fc.array(fc.integer(), { maxLength: 600 }).map((value) => ({ kind: 'array' as const, value })),
);

function write(writer: WireWriter, one: Field): void {
  if (one.kind === 'array') writer.array(one.value, (w, item) => w.int32(item));
  else if (one.kind === 'int64') writer.int64(one.value);
  else if (one.kind === 'string') writer.string(one.value);
  else if (one.kind === 'bytes') writer.bytes(one.value);
  else writer[one.kind](one.value);
}

const read = (reader: WireReader, { kind }: Field) =>
  kind === 'array' ? reader.array((r) => r.int32()) : reader[kind]();

describe('the wire', () => {
  it('gives back what was written, however the buffer had to grow', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 30 }), (fields) => {
        const writer = new WireWriter();
        for (const one of fields) write(writer, one);
        const reader = new WireReader(writer.finish());
        for (const one of fields) expect(read(reader, one)).toEqual(one.value);
        expect(() => reader.int16()).toThrow(RangeError);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('writes the bytes of the protocol', () => {
    const bytes = new WireWriter()
      .int8(-1)
      .int16(258)
      .int32(-2)
      .int64(3n)
      .string('é')
      .string(null)
      .bytes(Buffer.from([9]))
      .array([1], (w, item) => w.int16(item))
      .finish();
    expect(bytes.toString('hex')).toBe('ff0102fffffffe00000000000000030002c3a9ffff00000001090000000100' + '01');
  });

  it('reads null bytes as none, and an array of length -1 as empty', () => {
    const reader = new WireReader(new WireWriter().int32(-1).int32(-1).finish());
    expect(reader.bytes()).toEqual(Buffer.alloc(0));
    expect(reader.array((r) => r.int32())).toEqual([]);
  });

  it('shows bytes without copying them', () => {
    const raw = new WireWriter().bytes(Buffer.from('abc')).finish();
    const view = new WireReader(raw).bytes();
    raw.write('X', 4);
    expect(view.toString()).toBe('Xbc');
  });

  it('never reads past the end of a response that was cut', () => {
    const whole = new WireWriter()
      .string('abc')
      .bytes(Buffer.alloc(50))
      .array([1, 2, 3], (w, n) => w.int64(BigInt(n)))
      .finish();
    const decode = (bytes: Buffer) => {
      const reader = new WireReader(bytes);
      return [reader.string(), reader.bytes(), reader.array((r) => r.int64())];
    };
    expect(() => decode(whole)).not.toThrow();
    for (let length = 0; length < whole.length; length++)
      expect(() => decode(whole.subarray(0, length))).toThrow(RangeError);
  });
});
