import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { bigintOf, bytesOf, decimalE6 } from '../../../pipelines/prices/codec/decimal.ts';

const SEED = 20_260_102;

function read(text: string): bigint | null {
  const writer = new ByteWriter({ chunkBytes: 256 });
  writer.begin();
  writer.long(7);
  writer.string(text);
  writer.long(7);
  const bytes = writer.take();
  return decimalE6(bytes, { start: 1, end: bytes.length - 1 });
}

describe('decimalE6', () => {
  it('is exact for every number of the column', () => {
    const digits = fc.bigInt({ min: -(10n ** 18n) + 1n, max: 10n ** 18n - 1n });
    fc.assert(
      fc.property(digits, fc.nat(6), (unscaled, scale) => {
        const whole = unscaled < 0n ? -unscaled : unscaled;
        const text = String(whole).padStart(scale + 1, '0');
        const plain = scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`;
        expect(read(unscaled < 0n ? `-${plain}` : plain)).toBe(unscaled * 10n ** BigInt(6 - scale));
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  it.each(['NaN', 'Infinity', '', '-', '.', '1.', '.5', '1.2.3', '1e3', '1.0000001', '+1', ' 1', '1'.repeat(64)])(
    'says that %j is none',
    (text) => {
      expect(read(text)).toBeNull();
    },
  );
});

describe('bytesOf', () => {
  it('is what bigintOf reads, and nothing shorter is', () => {
    const values = fc.oneof(...[140n, 64n, 40n].map((bits) => fc.bigInt({ min: -(2n ** bits), max: 2n ** bits })));
    const edges = fc.constantFrom(
      ...[0n, 7n, 8n, 31n, 32n, 39n, 40n, 63n, 64n, 127n].flatMap((bits) => [
        2n ** bits,
        2n ** bits - 1n,
        -(2n ** bits),
      ]),
    );
    fc.assert(
      fc.property(fc.oneof(values, edges), (value) => {
        const bytes = bytesOf(value);
        expect(bigintOf(bytes)).toBe(value);
        if (bytes.length > 1) expect(bigintOf(bytes.subarray(1))).not.toBe(value);
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  it('is big-endian two’s complement', () => {
    expect([...bytesOf(0n)]).toEqual([0]);
    expect([...bytesOf(127n)]).toEqual([0x7f]);
    expect([...bytesOf(128n)]).toEqual([0, 0x80]);
    expect([...bytesOf(-1n)]).toEqual([0xff]);
    expect([...bytesOf(2n ** 64n)]).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
});
