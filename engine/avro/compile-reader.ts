/**
 * Compiles a writer's schema and a shape into a function that reads just that from a record's bytes.
 *
 * Code is generated (as avsc does), because a walk over the schema for each record costs several times the reading.
 * Names from schemas enter the code only through JSON.stringify, all else as constants.
 */
import { missingField, undecodable } from './errors.ts';
import { cursor, internedString, readBigLong, readLength, readLong } from './primitives.ts';
import {
  type FieldShape,
  type Projected,
  type RecordShape,
  type ScalarShape,
  type Shape,
  wholeRecord,
} from './projection.ts';
import { type RecordNode, type SchemaNode, simpleName } from './resolve.ts';
import { leastBytes, SkipCode } from './skip-code.ts';
import { parseMicros } from './timestamp.ts';

/** Reads the value at [start, end). Throws UNDECODABLE, MISSING_FIELD. */
export type Reader<T> = (bytes: Buffer, start: number, end: number) => T;

/** What generated code calls, as `c`. */
export const CALLS = {
  cursor,
  readLong,
  readBigLong,
  readLength,
  internedString,
  micros: (bytes: Buffer, start: number, end: number) => {
    const micros = parseMicros(bytes, start, end);
    return Number.isFinite(micros) ? micros : null;
  },
  text: (bytes: Buffer, start: number, end: number) => bytes.toString('utf8', start, end),
  badLength: () => fail('a length beyond the end of the record'),
  badBranch: () => fail('no such branch of a union'),
  badSymbol: () => fail('no such symbol of an enum'),
  badBoolean: () => fail('neither true nor false'),
  badInt: () => fail('a number of more than 32 bits'),
  beyondEnd: () => fail('the record ends too early'),
  trailing: () => fail('bytes behind the end of the record, or too few of them'),
  tooDeep: () => fail('values nested too deeply'),
  isNull: (path: string) => {
    throw missingField(`${path} is null`);
  },
  otherType: (path: string) => {
    throw missingField(`${path} has another type`);
  },
} as const;

function fail(what: string): never {
  throw undecodable(what);
}

/** The types a scalar shape can be read from. */
const SOURCES: Readonly<Record<ScalarShape, readonly SchemaNode['type'][]>> = {
  number: ['int', 'long', 'float', 'double'],
  bigint: ['int', 'long'],
  boolean: ['boolean'],
  string: ['string', 'enum'],
  interned: ['string', 'enum'],
  bytes: ['bytes', 'fixed'],
  micros: ['string'],
  stringSpan: ['string'],
  longSpan: ['int', 'long'],
  // Taken before anything is matched: it fits every type.
  span: [],
};

class ReaderCode {
  readonly constants: unknown[] = [];
  readonly skips = new SkipCode();
  #variables = 0;

  variable(): string {
    return `v${this.#variables++}`;
  }

  constant(value: unknown): string {
    return `k[${this.constants.push(value) - 1}]`;
  }

  /** Statements that read a value of the type at `p` into `target`. */
  value(node: SchemaNode, shape: Shape, target: string, path: string): string {
    if (shape === 'span') return this.#span(node, target);
    if (node.type === 'union') return this.#union(node.branches, shape, target, path);
    const inner = isNullable(shape) ? shape.of : shape;
    if (!fits(node, inner)) throw missingField(`${path} is ${node.type} in the writer's schema`);
    if (typeof inner === 'string') return this.#scalar(node, inner, target);
    if (inner.kind === 'list' && node.type === 'array') return this.#list(node.items, inner.of, target, path);
    if (inner.kind === 'record' && node.type === 'record') return this.#record(node, inner, target, path, '');
    throw missingField(`${path} is ${node.type} in the writer's schema`);
  }

  #union(branches: readonly SchemaNode[], shape: Shape, target: string, path: string): string {
    const inner = isNullable(shape) ? shape.of : shape;
    if (!branches.some((branch) => fits(branch, inner))) throw missingField(`${path} has another type`);
    const at = JSON.stringify(path);
    return this.skips.branch(branches, (branch) => {
      if (branch.type === 'null') return isNullable(shape) ? `${target} = null;` : `c.isNull(${at});`;
      if (!fits(branch, inner)) return `c.otherType(${at});`;
      if (typeof inner !== 'string' && inner.kind === 'tagged' && branch.type === 'record') {
        const kind = simpleName(branch.name);
        return this.#record(branch, inner.branches[kind]!, target, path, `kind: ${JSON.stringify(kind)}, `);
      }
      return this.value(branch, inner, target, path);
    });
  }

  #record(node: RecordNode, shape: RecordShape, target: string, path: string, tag: string): string {
    const wanted = Object.entries(shape.fields).map(([to, field]) => ({ to, field, variable: this.variable() }));
    const statements = node.fields.map(({ name, node: type }) => {
      const uses = wanted.filter(({ field }) => field.from === name);
      if (uses.length === 0) return this.skips.skip(type);
      const reads = uses.map(({ field, variable }) => this.value(type, field.read, variable, `${path}.${name}`));
      // The same field read in several ways: from the same place again.
      return reads.length === 1 ? reads[0] : `{ const s = p; ${reads.join(' p = s; ')} }`;
    });
    const names = new Set(node.fields.map((field) => field.name));
    const declared = wanted.map(({ field, variable }) => `${variable} = ${this.#initial(field, names, path)}`);
    const result = wanted.map(({ to, variable }) => `${JSON.stringify(to)}: ${variable}`);
    const declaration = declared.length === 0 ? '' : `let ${declared.join(', ')};`;
    return `${declaration} ${statements.join('\n')} ${target} = { ${tag}${result.join(', ')} };`;
  }

  /** Blocks of items; a negative count has the block's length behind it. */
  #list(items: SchemaNode, shape: Shape, target: string, path: string): string {
    const [count, item] = [this.variable(), this.variable()];
    return `${target} = []; for (;;) {
      let ${count} = c.readLong(b, p); p = c.cursor.at;
      if (${count} === 0) break;
      if (${count} < 0) { ${count} = -${count}; c.readLength(b, p, e); p = c.cursor.at; }
      ${leastBytes(items) > 0 ? `if (${count} > e - p) c.badLength();` : ''}
      for (; ${count} > 0; ${count}--) {
        let ${item} = null; ${this.value(items, shape, item, `${path}[]`)}
        if (p > e) c.beyondEnd();
        ${target}.push(${item});
      }
    }`;
  }

  #initial(field: FieldShape, names: ReadonlySet<string>, path: string): string {
    if (names.has(field.from)) return INITIAL[typeof field.read === 'string' ? field.read : 'span'];
    if (field.fallback === undefined) throw missingField(`${path}.${field.from} is not in the writer's schema`);
    return field.fallback === null ? 'null' : this.constant(field.fallback);
  }

  #span(node: SchemaNode, target: string): string {
    const start = this.variable();
    return `const ${start} = p; ${this.skips.skip(node)} ${target} = { start: ${start}, end: p };`;
  }

  #scalar(node: SchemaNode, shape: ScalarShape, target: string): string {
    switch (shape) {
      case 'number':
        return number(node, target);
      case 'bigint':
        return `${target} = c.readBigLong(b, p); p = c.cursor.at;`;
      case 'boolean':
        return `n = b[p++]; if (n > 1) c.badBoolean(); ${target} = n === 1;`;
      case 'string':
      case 'interned':
        return this.#text(node, shape, target);
      case 'bytes': {
        const size = node.type === 'fixed' ? `n = ${node.size}; if (n > e - p) c.badLength();` : this.skips.length();
        return `${size} ${target} = b.subarray(p, p + n); p += n;`;
      }
      case 'micros':
        return `${this.skips.length()} ${target} = c.micros(b, p, p + n); p += n;`;
      case 'stringSpan':
      case 'longSpan':
      case 'span':
        return this.#span(node, target);
      default:
        return shape satisfies never;
    }
  }

  #text(node: SchemaNode, shape: 'string' | 'interned', target: string): string {
    if (node.type === 'enum') {
      const symbols = this.constant(node.symbols);
      return `n = c.readLong(b, p); p = c.cursor.at; ${target} = ${symbols}[n]; if (${target} === undefined) c.badSymbol();`;
    }
    const read = shape === 'interned' ? 'c.internedString' : 'c.text';
    return `${this.skips.length()} ${target} = ${read}(b, p, p + n); p += n;`;
  }
}

/** What a variable holds before it is set: of its own kind, so that the engine sees one type. */
const INITIAL: Readonly<Record<ScalarShape, string>> = {
  number: '0',
  bigint: '0n',
  boolean: 'false',
  string: "''",
  interned: "''",
  bytes: 'null',
  micros: '0',
  stringSpan: 'null',
  longSpan: 'null',
  span: 'null',
};

function number(node: SchemaNode, target: string): string {
  switch (node.type) {
    case 'float':
      return `if (e - p < 4) c.beyondEnd(); ${target} = b.readFloatLE(p); p += 4;`;
    case 'double':
      return `if (e - p < 8) c.beyondEnd(); ${target} = b.readDoubleLE(p); p += 8;`;
    case 'int':
      return `${target} = c.readLong(b, p); p = c.cursor.at; if ((${target} | 0) !== ${target}) c.badInt();`;
    default:
      return `${target} = c.readLong(b, p); p = c.cursor.at;`;
  }
}

function isNullable(shape: Shape): shape is Extract<Shape, { kind: 'nullable' }> {
  return typeof shape !== 'string' && shape.kind === 'nullable';
}

function fits(node: SchemaNode, shape: Shape): boolean {
  if (typeof shape === 'string') return shape === 'span' || SOURCES[shape].includes(node.type);
  if (shape.kind === 'tagged') return node.type === 'record' && Object.hasOwn(shape.branches, simpleName(node.name));
  if (shape.kind === 'list') return node.type === 'array';
  return shape.kind === 'record' && node.type === 'record';
}

/**
 * Compiles a reader. Bytes left over or missing are UNDECODABLE, whatever was wanted of them.
 *
 * @param writer the schema the bytes were written with
 * @param shape what to read; the result's properties are the shape's
 * @throws MISSING_FIELD when the schema lacks a field that has no fallback, or has it with another type
 */
export function compileReader<const S extends Shape>(writer: SchemaNode, shape: S): Reader<Projected<S>> {
  return compile(writer, shape) as Reader<Projected<S>>;
}

/**
 * Compiles a reader of everything that a record schema of ours has, from whatever version of it was written.
 * T is `FromAvro` of `own`.
 */
export function compileWholeReader<T>(writer: SchemaNode, own: SchemaNode): Reader<T> {
  return compile(writer, wholeRecord(own)) as Reader<T>;
}

function compile(writer: SchemaNode, shape: Shape): unknown {
  const code = new ReaderCode();
  const body = code.value(writer, shape, 'r', writer.type === 'record' ? simpleName(writer.name) : 'value');
  const source = `'use strict';
    ${code.skips.functions}
    return function read(b, p, e) {
      const d = 0; let n = 0, r = null;
      ${body}
      if (p !== e) c.trailing();
      return r;
    };`;
  return new Function('c', 'k', source)(CALLS, code.constants);
}
