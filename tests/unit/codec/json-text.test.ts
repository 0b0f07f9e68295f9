import avsc from 'avsc';
import { describe, expect, it } from 'vitest';
import { jsonText } from '../../../engine/avro/json-text.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';
import { avscType } from './debezium.ts';

/** In the middle of other bytes, as a column is. */
function text(schema: AvroSchema, body: Buffer): string {
  const bytes = Buffer.concat([Buffer.from([1, 2, 3]), body, Buffer.from([4])]);
  return jsonText(resolveSchema(schema), bytes, { start: 3, end: 3 + body.length });
}

const inner: AvroSchema = { type: 'record', name: 'Inner', fields: [{ name: 'x', type: ['null', 'int'] }] };

const cases: readonly (readonly [name: string, schema: AvroSchema, value: unknown, expected: string])[] = [
  ['null', 'null', null, 'null'],
  ['a boolean', 'boolean', true, 'true'],
  ['an int', 'int', -7, '-7'],
  ['a long beyond 2^53, with all its digits', 'long', 2n ** 62n + 1n, '4611686018427387905'],
  ['a float', 'float', 0.5, '0.5'],
  ['a double', 'double', -1.25e-7, '-1.25e-7'],
  ['a number that JSON does not have', 'double', Number.NaN, '"NaN"'],
  ['bytes', 'bytes', Buffer.from([0, 255]), '"AP8="'],
  ['a fixed', { type: 'fixed', name: 'F', size: 2 }, Buffer.from([1, 2]), '"AQI="'],
  ['a text', 'string', 'größer "x"\n', JSON.stringify('größer "x"\n')],
  ['a symbol', { type: 'enum', name: 'E', symbols: ['A', 'B'] }, 'B', '"B"'],
  ['a branch of a union', ['null', 'string'], { string: 'x' }, '"x"'],
  ['a list', { type: 'array', items: 'int' }, [1, 2], '[1,2]'],
  ['no item of a list', { type: 'array', items: 'int' }, [], '[]'],
  ['a map, sorted', { type: 'map', values: 'int' }, { b: 1, a: 2 }, '{"a":2,"b":1}'],
  ['a record, its NULLs too', inner, { x: null }, '{"x":null}'],
];

describe('jsonText', () => {
  it.each(cases)('writes %s', (_, schema, value, expected) => {
    expect(text(schema, avscType(schema).toBuffer(value))).toBe(expected);
  });

  it('reads blocks that say how long they are', () => {
    // Count −2, size 2, two ints, the end.
    expect(text({ type: 'array', items: 'int' }, Buffer.from([3, 4, 2, 4, 0]))).toBe('[1,2]');
  });

  it.each<readonly [string, AvroSchema, Buffer]>([
    ['a text that ends too early', 'string', Buffer.from([20, 65])],
    ['more than the value', 'int', Buffer.from([2, 2])],
    ['a number that ends too early', 'double', Buffer.alloc(7)],
    ['no such branch', ['null', 'int'], Buffer.from([8])],
    ['more items than bytes', { type: 'array', items: 'null' }, avsc.Type.forSchema('long').toBuffer(2 ** 40)],
  ])('refuses %s', (_, schema, body) => {
    expect(() => text(schema, body)).toThrow(expect.objectContaining({ code: 'UNDECODABLE' }));
  });

  it('refuses values nested without an end', () => {
    const list: AvroSchema = { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] };
    expect(() => text(list, Buffer.alloc(1_000, 2))).toThrow(expect.objectContaining({ code: 'UNDECODABLE' }));
  });
});
