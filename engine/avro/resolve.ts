/** A schema with its names resolved: what the compilers walk. */
import { unknownSchema } from './errors.ts';
import type { AvroComplex, AvroSchema } from './schema.ts';

export type PrimitiveName = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string';

export interface RecordNode {
  readonly type: 'record';
  readonly name: string;
  /** Filled after the node is known by name, so that a record may contain itself. */
  readonly fields: { readonly name: string; readonly node: SchemaNode; readonly fallback: unknown }[];
}

export type SchemaNode =
  | { readonly type: PrimitiveName; readonly bigint: boolean }
  | { readonly type: 'union'; readonly branches: readonly SchemaNode[] }
  | { readonly type: 'array' | 'map'; readonly items: SchemaNode }
  | { readonly type: 'enum'; readonly name: string; readonly symbols: readonly string[] }
  | { readonly type: 'fixed'; readonly name: string; readonly size: number }
  | RecordNode;

const PRIMITIVES: ReadonlySet<string> = new Set<PrimitiveName>([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
]);

/** Named types nest; deeper than this is no schema of anybody's. */
const MAX_DEPTH = 64;

const isPrimitive = (name: string): name is PrimitiveName => PRIMITIVES.has(name);

class Resolver {
  readonly #named = new Map<string, SchemaNode>();

  resolve(schema: AvroSchema, namespace: string, depth: number): SchemaNode {
    if (depth > MAX_DEPTH) throw unknownSchema('the schema nests too deeply');
    if (typeof schema === 'string') return this.#reference(schema, namespace);
    if (isList(schema)) {
      return { type: 'union', branches: schema.map((branch) => this.resolve(branch, namespace, depth + 1)) };
    }
    if (typeof schema !== 'object' || schema === null) throw unknownSchema('the schema is not an Avro schema');
    return this.#complex(schema, namespace, depth);
  }

  #reference(name: string, namespace: string): SchemaNode {
    if (isPrimitive(name)) return { type: name, bigint: false };
    const found = this.#named.get(fullName(name, namespace)) ?? this.#named.get(name);
    if (found === undefined) throw unknownSchema(`the type ${name} is not defined`);
    return found;
  }

  #complex(schema: AvroComplex, namespace: string, depth: number): SchemaNode {
    switch (schema.type) {
      case 'record':
        return this.#record(schema, namespace, depth);
      case 'enum':
        return this.#name(schema, namespace, (name) => ({ type: 'enum', name, symbols: schema.symbols ?? [] }));
      case 'fixed':
        return this.#name(schema, namespace, (name) => ({ type: 'fixed', name, size: fixedSize(schema) }));
      case 'array':
        return { type: 'array', items: this.resolve(schema.items ?? '', namespace, depth + 1) };
      case 'map':
        return { type: 'map', items: this.resolve(schema.values ?? '', namespace, depth + 1) };
      case 'long':
        return { type: 'long', bigint: schema.js === 'bigint' };
      default:
        // An annotated type: {"type": "string", "connect.name": "io.debezium.data.Uuid"}.
        return this.resolve(schema.type, namespace, depth + 1);
    }
  }

  #record(schema: AvroComplex, namespace: string, depth: number): SchemaNode {
    const node = this.#name(schema, namespace, (name): RecordNode => ({ type: 'record', name, fields: [] }));
    const inner = namespaceOf(node.name);
    for (const field of schema.fields ?? []) {
      node.fields.push({
        name: field.name,
        node: this.resolve(field.type, inner, depth + 1),
        fallback: field.default,
      });
    }
    return node;
  }

  #name<T extends SchemaNode>(schema: AvroComplex, namespace: string, make: (name: string) => T): T {
    if (typeof schema.name !== 'string') throw unknownSchema(`a type without a name`);
    const name = fullName(schema.name, schema.namespace ?? namespace);
    const node = make(name);
    this.#named.set(name, node);
    return node;
  }
}

function isList(schema: AvroSchema): schema is readonly AvroSchema[] {
  return Array.isArray(schema);
}

function fixedSize(schema: AvroComplex): number {
  const { size } = schema;
  if (size === undefined || !Number.isSafeInteger(size) || size < 0) throw unknownSchema('a fixed type without a size');
  return size;
}

function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
}

function namespaceOf(full: string): string {
  return full.slice(0, Math.max(0, full.lastIndexOf('.')));
}

/** The last part of a full name: what tags a branch of a union of records. */
export function simpleName(full: string): string {
  return full.slice(full.lastIndexOf('.') + 1);
}

/** Resolves the names of a schema. Throws UNKNOWN_SCHEMA when it is not valid Avro. */
export function resolveSchema(schema: AvroSchema): SchemaNode {
  return new Resolver().resolve(schema, '', 0);
}

/** Resolves a schema's JSON text. Throws UNKNOWN_SCHEMA. */
export function resolveSchemaText(text: string): SchemaNode {
  let schema: AvroSchema;
  try {
    schema = JSON.parse(text) as AvroSchema;
  } catch (error) {
    throw unknownSchema('the schema is not JSON', error);
  }
  return resolveSchema(schema);
}

/** A record among the branches of the union that is the only field of a record: the body of ours that are one of several. */
export function branchOf(schema: SchemaNode, name: string): RecordNode {
  const body = schema.type === 'record' ? schema.fields[0]?.node : undefined;
  const branches = body?.type === 'union' ? body.branches : [];
  const found = branches.find((branch) => branch.type === 'record' && simpleName(branch.name) === name);
  if (found?.type === 'record') return found;
  throw new TypeError(`no branch ${name}`);
}
