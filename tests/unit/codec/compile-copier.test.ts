import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileCopier } from '../../../engine/avro/compile-copier.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';

type Row = Readonly<Record<string, unknown>>;
const TYPES = [
  { type: 'long', value: fc.maxSafeInteger() },
  { type: 'string', value: fc.string({ unit: 'binary' }) },
  { type: ['null', 'double'], value: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })) },
  { type: { type: 'array', items: 'string' }, value: fc.array(fc.string()) },
  { type: 'boolean', value: fc.boolean() },
] as const;
const fields = fc.array(fc.record({ kind: fc.nat(TYPES.length - 1), wanted: fc.boolean() }), { maxLength: 12 });

const named = (kinds: readonly { readonly name: string; readonly kind: number }[]) =>
  resolveSchema({
    type: 'record',
    name: 'R',
    fields: kinds.map(({ name, kind }) => ({ name, type: TYPES[kind]!.type })),
  } as unknown as AvroSchema);

describe('a copier', () => {
  it('writes what decoding and writing the fewer fields would', () => {
    const cases = fields.chain((list) =>
      fc.tuple(fc.constant(list), fc.tuple(...list.map(({ kind }) => TYPES[kind]!.value as fc.Arbitrary<unknown>))),
    );
    fc.assert(
      fc.property(cases, ([list, values]) => {
        const all = list.map((field, at) => ({ name: `f${at}`, ...field }));
        const [from, to] = [named(all), named(all.filter(({ wanted }) => wanted))];
        const row: Row = Object.fromEntries(all.map(({ name }, at) => [name, values[at]]));
        const writer = new ByteWriter();
        writer.begin();
        compileWriter<Row>(from)(writer, row);
        const bytes = Buffer.concat([Buffer.from([7]), writer.take(), Buffer.from([9])]);
        writer.begin();
        compileCopier(from, to)(writer, bytes, 1, bytes.length - 1);
        const copy = writer.take();
        const shown = Object.fromEntries(all.flatMap(({ name, wanted }) => (wanted ? [[name, row[name]]] : [])));
        expect(compileWholeReader<Row>(to, to)(copy, 0, copy.length)).toEqual(shown);
      }),
      { seed: 20_260_104, numRuns: 300 },
    );
  });

  it('refuses a record with a field that is not there, of another type or at another place, and bytes that are none', () => {
    const from = named([
      { name: 'a', kind: 0 },
      { name: 'b', kind: 1 },
    ]);
    for (const to of [
      [{ name: 'c', kind: 0 }],
      [{ name: 'a', kind: 1 }],
      [
        { name: 'b', kind: 1 },
        { name: 'a', kind: 0 },
      ],
    ]) {
      expect(() => compileCopier(from, named(to))).toThrow(TypeError);
    }
    expect(() => compileCopier(from, from)(new ByteWriter(), Buffer.from([2, 2]), 0, 2)).toThrow('Undecodable');
  });
});
