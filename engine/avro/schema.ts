/**
 * Avro schemas as TypeScript sees them, and the TypeScript type of a value of one.
 * https://avro.apache.org/docs/1.12.0/specification/
 */

/** A schema as JSON: as a registry returns it, or as a module under `schemas/` writes it down. */
export type AvroSchema = string | readonly AvroSchema[] | AvroComplex;

export interface AvroComplex {
  readonly type: AvroSchema;
  readonly name?: string;
  readonly namespace?: string;
  readonly doc?: string;
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  readonly items?: AvroSchema;
  readonly values?: AvroSchema;
  readonly size?: number;
  readonly logicalType?: string;
  /** Ours, ignored by other readers: a long that may be beyond 2^53 (an id, an LSN, an offset) is a bigint. */
  readonly js?: 'bigint';
}

export interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly doc?: string;
  readonly default?: unknown;
}

/** What a module under `schemas/` must satisfy: a named, documented record whose every field is documented. */
export interface DocumentedRecord extends AvroComplex {
  readonly type: 'record';
  readonly name: string;
  readonly namespace: string;
  readonly doc: string;
  readonly fields: readonly (AvroField & { readonly doc: string })[];
}

interface Primitives {
  readonly null: null;
  readonly boolean: boolean;
  readonly int: number;
  readonly long: number;
  readonly float: number;
  readonly double: number;
  readonly bytes: Uint8Array;
  readonly string: string;
}

/** Names a record type for a later reference to it by name. */
export type NamedTypes = Readonly<Record<string, unknown>>;

/** One branch of a union of records: told apart by `kind`, the record's name. */
type Tagged<S, N extends NamedTypes> = S extends { readonly type: 'record'; readonly name: infer K }
  ? { readonly kind: K } & FromAvro<S, N>
  : never;

type Fields<F extends readonly AvroField[], N extends NamedTypes> = {
  readonly [P in F[number] as P['name']]: FromAvro<P['type'], N>;
};

/**
 * The type of a value of schema S. A long is a number unless the schema says `js: 'bigint'`; a union with null is
 * `T | null`; a union of records is tagged by `kind`. N holds the types that S refers to by name.
 */
export type FromAvro<S, N extends NamedTypes = Record<never, never>> = S extends keyof Primitives
  ? Primitives[S]
  : S extends keyof N
    ? N[S]
    : S extends readonly ['null', infer T]
      ? FromAvro<T, N> | null
      : S extends readonly unknown[]
        ? Tagged<S[number], N>
        : S extends { readonly type: 'long'; readonly js: 'bigint' }
          ? bigint
          : S extends { readonly type: 'record'; readonly fields: infer F extends readonly AvroField[] }
            ? Fields<F, N>
            : S extends { readonly type: 'enum'; readonly symbols: readonly (infer Y)[] }
              ? Y
              : S extends { readonly type: 'array'; readonly items: infer T }
                ? readonly FromAvro<T, N>[]
                : S extends { readonly type: infer T }
                  ? FromAvro<T, N>
                  : never;
