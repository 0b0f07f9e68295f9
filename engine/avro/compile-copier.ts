/**
 * Compiles a copier: of a record that is Avro already it copies the fields that another record has too, without decoding any. A public
 * record that says less than the one the stage keeps costs a fraction of being written again.
 */
import type { ByteWriter } from './byte-writer.ts';
import { CALLS } from './compile-reader.ts';
import type { SchemaNode } from './resolve.ts';
import { SkipCode } from './skip-code.ts';

/** Writes what is wanted of the record at [start, end) behind what the writer holds. Throws UNDECODABLE. */
export type Copier = (writer: ByteWriter, bytes: Buffer, start: number, end: number) => void;

/**
 * @param from the record that is read
 * @param to the record that is written: each of its fields is one of `from`, with the same type, in the same order
 * @throws TypeError when that is not so
 */
export function compileCopier(from: SchemaNode, to: SchemaNode): Copier {
  if (from.type !== 'record' || to.type !== 'record') throw new TypeError('only records are copied');
  const skips = new SkipCode();
  const body: string[] = [];
  let wanted = 0;
  // Neighbours are copied at once: from `s` on, as long as each next field is wanted too.
  let copying = false;
  for (const { name, node } of from.fields) {
    const field = to.fields[wanted];
    const copied = field?.name === name && typeOf(field.node) === typeOf(node);
    if (copied) wanted++;
    if (copied && !copying) body.push('s = p;');
    if (!copied && copying) body.push('w.copy(b, s, p);');
    copying = copied;
    body.push(skips.skip(node));
  }
  if (wanted < to.fields.length)
    throw new TypeError(`${from.name} has no field ${to.fields[wanted]!.name} at its place`);
  if (copying) body.push('w.copy(b, s, p);');
  const source = `'use strict';
    ${skips.functions}
    return function copy(w, b, p, e) {
      const d = 0; let n = 0, s = p;
      ${body.join('\n')}
      if (p !== e) c.trailing();
    };`;
  return new Function('c', source)(CALLS) as Copier;
}

/** The type as bytes see it: whether a long is a number or a bigint with us is not in them. */
function typeOf(node: SchemaNode): string {
  return JSON.stringify(node, (key, value: unknown) => (key === 'bigint' ? undefined : value));
}
