/** Generates the code that passes over a value without reading it. */
import type { RecordNode, SchemaNode } from './resolve.ts';

/** A value inside a value: deeper than this is garbage (a recursive schema can ask for any depth). */
const MAX_DEPTH = 64;

/** The fewest bytes a value takes. 0 means that it always takes none: every part with a choice takes one. */
export function leastBytes(node: SchemaNode, inside: readonly SchemaNode[] = []): number {
  switch (node.type) {
    case 'null':
      return 0;
    case 'fixed':
      return node.size;
    case 'record':
      if (inside.includes(node)) return 1;
      return node.fields.reduce((sum, field) => sum + leastBytes(field.node, [...inside, node]), 0);
    case 'float':
      return 4;
    case 'double':
      return 8;
    default:
      return 1;
  }
}

/**
 * Code fragments over `b` (the Buffer), `p` (the position), `e` (the end), `d` (the depth) and the scratch variable `n`.
 * One function for each record type and each array, so that code grows with the schema and not with its uses.
 */
export class SkipCode {
  readonly #functions: string[] = [];
  readonly #names = new Map<SchemaNode, string>();

  /** The functions that the fragments call. */
  get functions(): string {
    return this.#functions.join('\n');
  }

  /** Statements that move `p` behind a value of the type. */
  skip(node: SchemaNode): string {
    switch (node.type) {
      case 'null':
        return '';
      case 'boolean':
        return 'p += 1;';
      case 'int':
      case 'long':
      case 'enum':
        return 'while (b[p++] > 127);';
      case 'float':
        return 'p += 4;';
      case 'double':
        return 'p += 8;';
      case 'fixed':
        return `p += ${node.size};`;
      case 'bytes':
      case 'string':
        return `${this.length()} p += n;`;
      case 'record':
        return `p = ${this.#record(node)}(b, p, e, d + 1);`;
      case 'array':
      case 'map':
        return `p = ${this.#blocks(node)}(b, p, e, d + 1);`;
      case 'union':
        return this.branch(node.branches, (branch) => this.skip(branch));
      default:
        return node satisfies never;
    }
  }

  /** Statements that read a length into `n`: checked against the end, since it is about to be used. */
  length(): string {
    return (
      'n = b[p++]; if (n < 128 && (n & 1) === 0) { n >>= 1; if (n > e - p) c.badLength(); } ' +
      'else { n = c.readLength(b, p - 1, e); p = c.cursor.at; }'
    );
  }

  /** Statements that read which branch of a union follows and go on with that one. */
  branch(branches: readonly SchemaNode[], one: (branch: SchemaNode, index: number) => string): string {
    const cases = branches.map((branch, index) => `case ${index * 2}: { ${one(branch, index)} break; }`);
    // More than 64 branches would need two bytes; nobody has them, and such a schema's other branches are refused.
    return `switch (b[p++]) { ${cases.slice(0, 64).join(' ')} default: c.badBranch(); }`;
  }

  #record(node: RecordNode): string {
    return this.#function(node, () => node.fields.map((field) => this.skip(field.node)).join(' '));
  }

  #blocks(node: Extract<SchemaNode, { items: SchemaNode }>): string {
    return this.#function(node, () => {
      const key = node.type === 'map' ? `${this.length()} p += n;` : '';
      const item = `${key} ${this.skip(node.items)}`;
      // An item of no bytes needs no loop, and must have none: its count may be anything.
      const items =
        node.type === 'array' && leastBytes(node.items) === 0
          ? ''
          : `for (let i = 0; i < count; i++) { ${item} if (p > e) c.beyondEnd(); }`;
      return `for (;;) {
        const count = c.readLong(b, p); p = c.cursor.at;
        if (count === 0) break;
        if (count < 0) { n = c.readLength(b, p, e); p = c.cursor.at + n; } else { ${items} }
        if (p > e) c.beyondEnd();
      }`;
    });
  }

  #function(node: SchemaNode, body: () => string): string {
    const known = this.#names.get(node);
    if (known !== undefined) return known;
    const name = `skip${this.#names.size}`;
    this.#names.set(node, name);
    this.#functions.push(
      `function ${name}(b, p, e, d) { if (d > ${MAX_DEPTH}) c.tooDeep(); let n = 0; ${body()} return p; }`,
    );
    return name;
  }
}
