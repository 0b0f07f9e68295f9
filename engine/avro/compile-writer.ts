/** Compiles a schema of ours into a function that writes values of it, in the form that `FromAvro` types. */
import type { ByteWriter } from './byte-writer.ts';
import { type RecordNode, type SchemaNode, simpleName } from './resolve.ts';

/** Writes a value behind what the writer holds. Throws TypeError or RangeError for a value that is none of the schema. */
export type Encoder<T> = (writer: ByteWriter, value: T) => void;

class WriterCode {
  readonly constants: unknown[] = [];
  #variables = 0;

  /** Statements that write `value`, an expression without side effects. */
  value(node: SchemaNode, value: string): string {
    switch (node.type) {
      case 'null':
        return '';
      case 'boolean':
        return `w.byte(${value} ? 1 : 0);`;
      case 'int':
        return `w.long(${value});`;
      case 'long':
        return node.bigint ? `w.bigLong(${value});` : `w.long(${value});`;
      case 'float':
      case 'double':
      case 'bytes':
      case 'string':
        return `w.${node.type}(${value});`;
      case 'enum':
        return this.#symbol(node.symbols, value);
      case 'record':
        return this.#record(node, value);
      case 'union':
        return this.#union(node.branches, value);
      case 'array':
        return this.#array(node.items, value);
      case 'fixed':
      case 'map':
        throw new TypeError(`${node.type} is not used in our schemas`);
      default:
        return node satisfies never;
    }
  }

  #symbol(symbols: readonly string[], value: string): string {
    const index = new Map(symbols.map((symbol, at) => [symbol, at]));
    return `w.long(k[${this.constants.push(index) - 1}].get(${value}));`;
  }

  #record(node: RecordNode, value: string): string {
    const variable = `v${this.#variables++}`;
    const fields = node.fields.map((field) => this.value(field.node, `${variable}[${JSON.stringify(field.name)}]`));
    return `const ${variable} = ${value}; ${fields.join('\n')}`;
  }

  /** One block, then the empty one that ends the array. */
  #array(items: SchemaNode, value: string): string {
    const [list, item] = [`v${this.#variables++}`, `v${this.#variables++}`];
    const each = `for (const ${item} of ${list}) { ${this.value(items, item)} }`;
    return `{ const ${list} = ${value}; if (${list}.length > 0) { w.long(${list}.length); ${each} } w.byte(0); }`;
  }

  #union(branches: readonly SchemaNode[], value: string): string {
    const values = branches.filter((branch) => branch.type !== 'null');
    if (values.length === 1) {
      const index = branches.indexOf(values[0]!);
      const some = `w.byte(${index * 2}); ${this.value(values[0]!, value)}`;
      return branches.length === 1 ? some : `if (${value} === null) w.byte(${2 - index * 2}); else { ${some} }`;
    }
    const cases = branches.map((branch, index) => {
      if (branch.type !== 'record') throw new TypeError('a union of several types must be of records');
      const kind = JSON.stringify(simpleName(branch.name));
      return `case ${kind}: { w.byte(${index * 2}); ${this.value(branch, value)} break; }`;
    });
    return `switch (${value}.kind) { ${cases.join('\n')} default: throw new TypeError('no such branch'); }`;
  }
}

/** Compiles an encoder. */
export function compileWriter<T>(schema: SchemaNode): Encoder<T> {
  const code = new WriterCode();
  const source = `'use strict'; return function write(w, v) { ${code.value(schema, 'v')} };`;
  return new Function('k', source)(code.constants) as Encoder<T>;
}
