/**
 * Avro values as JSON text, of any schema and without loss: a long keeps all its digits, bytes become base64, and a number that JSON
 * does not have (NaN, Infinity) becomes a string. Walks the schema for every value: for what is seldom read.
 */
import { undecodable } from './errors.ts';
import { cursor, readBigLong, readLength, readLong } from './primitives.ts';
import type { Span } from './projection.ts';
import type { SchemaNode } from './resolve.ts';

/** A value inside a value: deeper than this is garbage (a recursive schema can ask for any depth). */
const MAX_DEPTH = 64;

/** The value at a span. Throws UNDECODABLE. */
export function jsonText(node: SchemaNode, bytes: Buffer, { start, end }: Span): string {
  cursor.at = start;
  const text = value(node, bytes, end, 0);
  if (cursor.at !== end) throw undecodable('bytes behind the end of the value, or too few of them');
  return text;
}

/** The value at `cursor`, which moves behind it. */
function value(node: SchemaNode, bytes: Buffer, end: number, depth: number): string {
  if (depth > MAX_DEPTH) throw undecodable('values nested too deeply');
  switch (node.type) {
    case 'null':
      return 'null';
    case 'boolean':
      return slice(bytes, 1, end)[0] === 0 ? 'false' : 'true';
    case 'int':
    case 'long':
      return String(readBigLong(bytes, cursor.at));
    case 'float':
      return number(slice(bytes, 4, end).readFloatLE());
    case 'double':
      return number(slice(bytes, 8, end).readDoubleLE());
    case 'bytes':
      return JSON.stringify(sized(bytes, end).toString('base64'));
    case 'fixed':
      return JSON.stringify(slice(bytes, node.size, end).toString('base64'));
    case 'string':
      return JSON.stringify(sized(bytes, end).toString());
    case 'enum':
      return JSON.stringify(one(node.symbols, bytes));
    case 'union':
      return value(one(node.branches, bytes), bytes, end, depth + 1);
    case 'record': {
      const fields = node.fields.map(
        (field) => `${JSON.stringify(field.name)}:${value(field.node, bytes, end, depth + 1)}`,
      );
      return `{${fields.join(',')}}`;
    }
    case 'array':
      return `[${items(bytes, end, () => value(node.items, bytes, end, depth + 1)).join(',')}]`;
    case 'map': {
      const entry = () => `${JSON.stringify(sized(bytes, end).toString())}:${value(node.items, bytes, end, depth + 1)}`;
      // A map has no order of its own; the same map is to give the same text.
      return `{${items(bytes, end, entry).sort().join(',')}}`;
    }
    default:
      return node satisfies never;
  }
}

function number(of: number): string {
  return Number.isFinite(of) ? JSON.stringify(of) : JSON.stringify(String(of));
}

function slice(bytes: Buffer, length: number, end: number): Buffer {
  const start = cursor.at;
  if (length > end - start) throw undecodable('the value ends too early');
  cursor.at = start + length;
  return bytes.subarray(start, start + length);
}

function sized(bytes: Buffer, end: number): Buffer {
  return slice(bytes, readLength(bytes, cursor.at, end), end);
}

function one<T>(choices: readonly T[], bytes: Buffer): T {
  const choice = choices[readLong(bytes, cursor.at)];
  if (choice === undefined) throw undecodable('no such branch of a union, or symbol of an enum');
  return choice;
}

/** The items of an array or a map: blocks, each with its number of items in front. */
function items(bytes: Buffer, end: number, item: () => string): string[] {
  const all: string[] = [];
  for (;;) {
    let count = readLong(bytes, cursor.at);
    if (count === 0) return all;
    if (count < 0) {
      count = -count;
      readLong(bytes, cursor.at); // the block's size in bytes
    }
    // Each takes a byte at least, nulls apart, of which nobody keeps a list: a count beyond that is garbage.
    if (count > end - cursor.at) throw undecodable('more items than there are bytes');
    for (let at = 0; at < count; at++) all.push(item());
  }
}
