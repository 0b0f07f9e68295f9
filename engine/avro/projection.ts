/** What to read of a record: a shape names the wanted fields and how each is to be represented. */
import { type RecordNode, type SchemaNode, simpleName } from './resolve.ts';

/** Where a value's Avro bytes are in the buffer that was read, the length in front of a string included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** How a scalar can be represented. */
interface Scalars {
  /** int, long, float or double; a long beyond 2^53 is UNDECODABLE rather than rounded. */
  readonly number: number;
  /** int or long. */
  readonly bigint: bigint;
  readonly boolean: boolean;
  /** string, or the symbol of an enum. */
  readonly string: string;
  /** As string, but equal values are usually the same JS string: cheap to look up in a Map. For few distinct values. */
  readonly interned: string;
  /** bytes or fixed, as a view of the buffer that was read. */
  readonly bytes: Buffer;
  /** A string holding ISO 8601 with an offset, as microseconds since the epoch; null when it is none within ±2^53. */
  readonly micros: number | null;
  /** A string as it is: where its bytes are, to be copied. */
  readonly stringSpan: Span;
  /** An int or long as it is. */
  readonly longSpan: Span;
  /** Any value as it is; of a union, with the byte that tells the branch. */
  readonly span: Span;
}

export type ScalarShape = keyof Scalars;

export interface FieldShape {
  /** The field's name in the writer's schema. */
  readonly from: string;
  readonly read: Shape;
  /** Stands for a field that the writer's schema does not have; without it such a schema is MISSING_FIELD. */
  readonly fallback?: null | number | bigint | string | boolean;
}

export interface RecordShape {
  readonly kind: 'record';
  readonly fields: Readonly<Record<string, FieldShape>>;
}

export type Shape =
  | ScalarShape
  | RecordShape
  | { readonly kind: 'nullable'; readonly of: Shape }
  /** An array, all of it. */
  | { readonly kind: 'list'; readonly of: Shape }
  /** A union of records, told apart by a property `kind` that holds the record's simple name. */
  | { readonly kind: 'tagged'; readonly branches: Readonly<Record<string, RecordShape>> };

type Fallback<F> = F extends { readonly fallback: infer D } ? D : never;

type Flat<T> = { readonly [K in keyof T]: T[K] };

/** The type of what a shape reads; unknown for a shape that is only known at run time. */
export type Projected<S> = Shape extends S
  ? unknown
  : S extends ScalarShape
    ? Scalars[S]
    : S extends { readonly kind: 'nullable'; readonly of: infer T }
      ? Projected<T> | null
      : S extends { readonly kind: 'list'; readonly of: infer T }
        ? readonly Projected<T>[]
        : S extends { readonly kind: 'record'; readonly fields: infer F }
          ? { readonly [K in keyof F]: F[K] extends { readonly read: infer R } ? Projected<R> | Fallback<F[K]> : never }
          : S extends { readonly kind: 'tagged'; readonly branches: infer B }
            ? { [K in keyof B]: Flat<{ readonly kind: K } & Projected<B[K]>> }[keyof B]
            : never;

/** A record of which only the given fields are read. */
export function record<const F extends Readonly<Record<string, FieldShape>>>(
  fields: F,
): { readonly kind: 'record'; readonly fields: F } {
  return { kind: 'record', fields };
}

/** A value that may be null. Null where a shape does not say so is MISSING_FIELD. */
export function nullable<const S extends Shape>(of: S): { readonly kind: 'nullable'; readonly of: S } {
  return { kind: 'nullable', of };
}

/** The shape that reads all of a record of ours, under its own field names, as `FromAvro` types it. */
export function wholeRecord(node: SchemaNode): RecordShape {
  if (node.type !== 'record') throw new TypeError(`${node.type} is not a record`);
  return { kind: 'record', fields: Object.fromEntries(node.fields.map((field) => [field.name, wholeField(field)])) };
}

function wholeField({ name, node, fallback }: RecordNode['fields'][number]): FieldShape {
  const read = wholeValue(node);
  // The only defaults in our schemas are null: a field that was added later reads as null from an older record.
  return fallback === null ? { from: name, read, fallback } : { from: name, read };
}

function wholeValue(node: SchemaNode): Shape {
  switch (node.type) {
    case 'int':
    case 'float':
    case 'double':
      return 'number';
    case 'long':
      return node.bigint ? 'bigint' : 'number';
    case 'boolean':
    case 'string':
      return node.type;
    case 'enum':
      return 'string';
    case 'bytes':
    case 'fixed':
      return 'bytes';
    case 'record':
      return wholeRecord(node);
    case 'union':
      return wholeUnion(node.branches);
    case 'array':
      return { kind: 'list', of: wholeValue(node.items) };
    case 'null':
    case 'map':
      throw new TypeError(`${node.type} is not used in our schemas`);
    default:
      return node satisfies never;
  }
}

function wholeUnion(branches: readonly SchemaNode[]): Shape {
  const values = branches.filter((branch) => branch.type !== 'null');
  if (values.length === 1) return { kind: 'nullable', of: wholeValue(values[0]!) };
  const records = values.filter((branch) => branch.type === 'record');
  if (records.length < branches.length) throw new TypeError('a union of several types must be of records');
  return {
    kind: 'tagged',
    branches: Object.fromEntries(records.map((branch) => [simpleName(branch.name), wholeRecord(branch)])),
  };
}
