/** Random Avro schemas with values, and what a reader of a random part of them must give. */
import fc, { type GeneratorValue } from 'fast-check';
import type { FieldShape, RecordShape, Shape } from '../../../engine/avro/projection.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';

/** A value in avsc's form, and the shapes it can be read by with what each must give. */
export interface Case {
  readonly schema: AvroSchema;
  /** Names the branch when the schema stands in a union. */
  readonly branch: string;
  readonly value: unknown;
  readonly reads: readonly { readonly shape: Shape; readonly expected: unknown }[];
}

/** Text of every byte length, so that one- and two-byte lengths both occur. */
const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 30, maxLength: 90 }) },
  { weight: 3, arbitrary: fc.constantFrom('play', 'finish', 'äöü', '', '7f3c2c39-6f0e-4e65-9f51-8a1f6d3e6d4a') },
);
const long = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -1000n, max: 1000n }));
const safeLong = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.constantFrom(2 ** 53 - 1, 1 - 2 ** 53, 2 ** 31, 0, -1));

/** A type may carry annotations, as Debezium's do. */
function annotated(g: GeneratorValue, name: string): AvroSchema {
  return g(fc.boolean) ? name : ({ type: name, 'connect.name': 'x', 'connect.version': 1 } as AvroSchema);
}

type Maker = (g: GeneratorValue, names: () => string, depth: number) => Case;

const scalar =
  (type: string, arbitrary: fc.Arbitrary<unknown>, shapes: readonly Shape[]): Maker =>
  (g) => {
    const value = g(() => arbitrary);
    return {
      schema: annotated(g, type),
      branch: type,
      value,
      reads: shapes.map((shape) => ({ shape, expected: value })),
    };
  };

const MAKERS: Readonly<Record<string, Maker>> = {
  null: () => ({ schema: 'null', branch: 'null', value: null, reads: [] }),
  boolean: scalar('boolean', fc.boolean(), ['boolean']),
  int: (g) => {
    const value = g(() => fc.integer());
    const reads = [
      { shape: 'number' as const, expected: value },
      { shape: 'bigint' as const, expected: BigInt(value) },
    ];
    return { schema: annotated(g, 'int'), branch: 'int', value, reads };
  },
  long: scalar('long', long, ['bigint']),
  safeLong: (g) => {
    const number = g(() => safeLong);
    const value = BigInt(number);
    const reads = [
      { shape: 'number' as const, expected: Number(value) },
      { shape: 'bigint' as const, expected: value },
    ];
    return { schema: annotated(g, 'long'), branch: 'long', value, reads };
  },
  float: scalar('float', fc.float({ noNaN: true }), ['number']),
  double: scalar('double', fc.double({ noNaN: true }), ['number']),
  string: scalar('string', text, ['string', 'interned']),
  bytes: scalar(
    'bytes',
    fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
    ['bytes'],
  ),
  enum: (g, names) => {
    const name = names();
    const value = g(() => fc.constantFrom('A', 'B', 'C'));
    const schema = { type: 'enum', name, symbols: ['A', 'B', 'C'] };
    return { schema, branch: name, value, reads: [{ shape: 'string', expected: value }] };
  },
  fixed: (g, names) => {
    const name = names();
    const size = g(() => fc.integer({ min: 0, max: 9 }));
    const value = Buffer.from(g(() => fc.uint8Array({ minLength: size, maxLength: size })));
    return { schema: { type: 'fixed', name, size }, branch: name, value, reads: [{ shape: 'bytes', expected: value }] };
  },
  array: (g, names, depth) => {
    const item = makeCase(g, names, depth + 1);
    const count = g(() => fc.integer({ min: 0, max: 3 }));
    const reads = item.reads.map(({ shape, expected }) => ({
      shape: { kind: 'list', of: shape } as const,
      expected: new Array(count).fill(expected),
    }));
    const value = new Array(count).fill(item.value);
    return { schema: { type: 'array', items: item.schema }, branch: 'array', value, reads };
  },
  map: (g, names, depth) => {
    const item = makeCase(g, names, depth + 1);
    const keys = g(() => fc.uniqueArray(text, { maxLength: 3 })).filter((key) => key !== '__proto__');
    const value = Object.fromEntries(keys.map((key) => [key, item.value]));
    return { schema: { type: 'map', values: item.schema }, branch: 'map', value, reads: [] };
  },
  union: (g, names, depth) => unionCase(g, names, depth),
  record: (g, names, depth) => recordCase(g, names, depth),
};

function makeCase(g: GeneratorValue, names: () => string, depth: number, but: readonly string[] = []): Case {
  const deep = depth >= 3 ? ['array', 'map', 'union', 'record'] : [];
  const kinds = Object.keys(MAKERS).filter((kind) => !deep.includes(kind) && !but.includes(kind));
  return MAKERS[g(() => fc.constantFrom(...kinds))]!(g, names, depth);
}

function unionCase(g: GeneratorValue, names: () => string, depth: number): Case {
  const some = makeCase(g, names, depth + 1, ['union', 'null']);
  const isNull = g(fc.boolean);
  const nullFirst = g(fc.boolean);
  const value = isNull ? null : { [some.branch]: some.value };
  const schema = nullFirst ? ['null', some.schema] : [some.schema, 'null'];
  const reads = some.reads.map(({ shape, expected }) => ({
    shape: { kind: 'nullable', of: shape } as const,
    expected: isNull ? null : expected,
  }));
  return { schema, branch: 'union', value, reads };
}

/** A record of random fields; each is read in no way, in one, or in all of its ways. */
export function recordCase(g: GeneratorValue, names: () => string, depth: number): Case {
  const fields = Array.from({ length: g(() => fc.integer({ min: 0, max: 6 })) }, (_, index) => ({
    name: `f${index}`,
    of: makeCase(g, names, depth + 1),
  }));
  const shape: Record<string, FieldShape> = {};
  const expected: Record<string, unknown> = {};
  for (const { name, of } of fields) {
    const wanted = g(() => fc.constantFrom('none', 'one', 'all'));
    const reads = wanted === 'none' ? [] : wanted === 'one' ? of.reads.slice(0, 1) : of.reads;
    reads.forEach((read, index) => {
      shape[`${name}_${index}`] = { from: name, read: read.shape };
      expected[`${name}_${index}`] = read.expected;
    });
  }
  const name = names();
  const read: RecordShape = { kind: 'record', fields: shape };
  return {
    schema: { type: 'record', name, fields: fields.map((field) => ({ name: field.name, type: field.of.schema })) },
    branch: name,
    value: Object.fromEntries(fields.map((field) => [field.name, field.of.value])),
    reads: [{ shape: read, expected }],
  };
}

/** A fresh source of type names. */
export function typeNames(): () => string {
  let count = 0;
  return () => `T${count++}`;
}
