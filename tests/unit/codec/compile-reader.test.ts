import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { nullable, record, type Shape } from '../../../engine/avro/projection.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { recordCase, typeNames } from './avro-cases.ts';
import { avscType } from './debezium.ts';

const runs = (numRuns: number) => ({ seed: 20260102, numRuns });

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof SluiceError && error.action === 'dead-letter') return error.code;
    throw error;
  }
  return 'none';
}

function bytesOf(schema: AvroSchema, value: unknown): Buffer {
  return avscType(schema).toBuffer(value);
}

/** A recursive type, which only a chain of bytes as long as itself can end. */
const chain: AvroSchema = {
  type: 'record',
  name: 'Chain',
  fields: [{ name: 'next', type: ['null', 'Chain'] }],
};

describe('compileReader', { timeout: 60_000 }, () => {
  it('reads any part of any record that avsc has written', () => {
    fc.assert(
      fc.property(fc.gen(), fc.nat(5), fc.nat(5), (g, front, behind) => {
        const { schema, value, reads } = recordCase(g, typeNames(), 0);
        const body = bytesOf(schema, value);
        const bytes = Buffer.concat([Buffer.alloc(front, 255), body, Buffer.alloc(behind, 255)]);
        const read = compileReader(resolveSchema(schema), reads[0]!.shape);
        expect(read(bytes, front, front + body.length)).toEqual(reads[0]!.expected);
      }),
      runs(2000),
    );
  });

  it('finds the bytes of any value, whatever stands around it', () => {
    fc.assert(
      fc.property(fc.gen(), (g) => {
        const { schema, value } = recordCase(g, typeNames(), 0);
        const node = resolveSchema(schema);
        if (node.type !== 'record') throw new Error('not a record');
        const shape: Shape = {
          kind: 'record',
          fields: Object.fromEntries(node.fields.map(({ name }) => [name, { from: name, read: 'span' }])),
        };
        const bytes = bytesOf(schema, value);
        const spans = compileReader(node, shape)(bytes, 0, bytes.length) as Record<
          string,
          { start: number; end: number }
        >;
        // Each field ends where the next starts, and the field's own type reads its bytes to their end.
        let at = 0;
        for (const field of node.fields) {
          const span = spans[field.name]!;
          expect(span.start).toBe(at);
          compileReader(field.node, 'span')(bytes, span.start, span.end);
          at = span.end;
        }
        expect(at).toBe(bytes.length);
      }),
      runs(500),
    );
  });

  it('refuses every record that is cut short or goes on', () => {
    fc.assert(
      fc.property(fc.gen(), (g) => {
        const { schema, value, reads } = recordCase(g, typeNames(), 0);
        const bytes = bytesOf(schema, value);
        const read = compileReader(resolveSchema(schema), reads[0]!.shape);
        for (let end = 0; end < bytes.length; end++) {
          expect(codeOf(() => read(Buffer.from(bytes.subarray(0, end)), 0, end))).toBe('UNDECODABLE');
          expect(codeOf(() => read(bytes, 0, end))).toBe('UNDECODABLE');
        }
        const longer = Buffer.concat([bytes, Buffer.alloc(1)]);
        expect(codeOf(() => read(longer, 0, longer.length))).toBe('UNDECODABLE');
      }),
      runs(300),
    );
  });

  it('ends on any garbage, with a value or a reason', () => {
    fc.assert(
      fc.property(fc.gen(), fc.uint8Array({ maxLength: 200 }), (g, noise) => {
        const { schema, value, reads } = recordCase(g, typeNames(), 0);
        const read = compileReader(resolveSchema(schema), reads[0]!.shape);
        const bytes = bytesOf(schema, value);
        for (const [index, byte] of noise.entries()) if (bytes.length > 0) bytes[(index * 7) % bytes.length] = byte;
        expect(['none', 'UNDECODABLE', 'MISSING_FIELD']).toContain(codeOf(() => read(bytes, 0, bytes.length)));
        const garbage = Buffer.from(noise);
        expect(['none', 'UNDECODABLE', 'MISSING_FIELD']).toContain(codeOf(() => read(garbage, 0, garbage.length)));
      }),
      runs(2000),
    );
  });

  it.each([
    ['a string longer than the record', 'string', [0xfe, 0xff, 0xff, 0xff, 0x0f, 1]],
    ['a string of negative length', 'string', [0x01]],
    [
      'an array of 2^40 items that take no bytes',
      { type: 'array', items: 'null' },
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x40],
    ],
    [
      'an array of 2^40 items that take bytes',
      { type: 'array', items: 'int' },
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 2],
    ],
    ['an array block of negative size', { type: 'array', items: 'int' }, [0x01, 0x01, 0]],
    ['a number of 80 bits', 'long', [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]],
    ['a chain a thousand deep', chain, new Array<number>(1000).fill(2)],
  ])('refuses %s', (_, type, bytes) => {
    const schema = { type: 'record', name: 'R', fields: [{ name: 'x', type: type as AvroSchema }] } as AvroSchema;
    const read = compileReader(
      resolveSchema(schema),
      record(type === 'long' ? { x: { from: 'x', read: 'bigint' } } : {}),
    );
    expect(codeOf(() => read(Buffer.from(bytes), 0, bytes.length))).toBe('UNDECODABLE');
  });

  it('passes over array blocks that give their size, and over a recursive value', () => {
    const schema: AvroSchema = {
      type: 'record',
      name: 'R',
      fields: [
        { name: 'a', type: { type: 'array', items: 'int' } },
        { name: 'c', type: chain },
        { name: 'x', type: 'int' },
      ],
    };
    // A block of −2 items in 2 bytes, the end; a chain of three; 21.
    const bytes = Buffer.from([3, 4, 8, 8, 0, 2, 2, 0, 42]);
    const read = compileReader(resolveSchema(schema), record({ x: { from: 'x', read: 'number' } }));
    expect(read(bytes, 0, bytes.length)).toEqual({ x: 21 });
  });

  it('refuses to round a long beyond 2^53 to a number', () => {
    const schema: AvroSchema = { type: 'record', name: 'R', fields: [{ name: 'x', type: 'long' }] };
    const bytes = bytesOf(schema, { x: 2n ** 53n });
    const number = compileReader(resolveSchema(schema), record({ x: { from: 'x', read: 'number' } }));
    const bigint = compileReader(resolveSchema(schema), record({ x: { from: 'x', read: 'bigint' } }));
    expect(codeOf(() => number(bytes, 0, bytes.length))).toBe('UNDECODABLE');
    expect(bigint(bytes, 0, bytes.length)).toEqual({ x: 2n ** 53n });
  });

  it('says which field is missing, null or of another type', () => {
    const schema = (type: AvroSchema) =>
      resolveSchema({ type: 'record', name: 'R', fields: [{ name: 'x', type }] } as AvroSchema);
    const wanted = record({ x: { from: 'x', read: 'number' } });
    const compile = (type: AvroSchema) => compileReader(schema(type), wanted);
    expect(() => compile('string')).toThrow('R.x is string');
    expect(() => compileReader(resolveSchema({ type: 'record', name: 'R', fields: [] }), wanted)).toThrow(
      'R.x is not in',
    );
    expect(() => compile(['null', 'int'])(Buffer.from([0]), 0, 1)).toThrow('R.x is null');
    expect(() => compile(['string', 'int'])(Buffer.from([0, 0]), 0, 2)).toThrow('R.x has another type');
    expect(codeOf(() => compile('string'))).toBe('MISSING_FIELD');
  });

  it('gives the fallback of a field that the writer does not have', () => {
    const node = resolveSchema({ type: 'record', name: 'R', fields: [] });
    const shape = record({
      a: { from: 'a', read: nullable('number'), fallback: null },
      b: { from: 'b', read: 'string', fallback: 'x"y' },
    });
    expect(compileReader(node, shape)(Buffer.alloc(0), 0, 0)).toEqual({ a: null, b: 'x"y' });
  });
});
