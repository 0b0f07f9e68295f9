/**
 * Writes records into a captured topic as Debezium would: for commands that know better than the log what a row is.
 *
 * A record says what Postgres held as of an exactly known position (an exported snapshot), so it carries that position as its LSN and
 * no transaction id. The stage that reads the topic drops it where it knows of something newer: docs/architecture.md, "Operator records".
 */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { compileWriter, type Encoder } from '../../engine/avro/compile-writer.ts';
import { frame } from '../../engine/avro/framing.ts';
import { type RecordNode, resolveSchemaText, type SchemaNode } from '../../engine/avro/resolve.ts';
import { SluiceError } from '../../engine/errors.ts';

export type ColumnValue = string | number | bigint | boolean | null;

/**
 * A row, by column, in Debezium's representation: times are ISO 8601 text, uuid, jsonb and decimals are text. Columns that the captured
 * schema has and the row has not get their default.
 */
export type OperatorRow = Readonly<Record<string, ColumnValue>>;

export interface OperatorChange {
  readonly op: 'upsert' | 'delete';
  readonly row: OperatorRow;
  /** The position of Postgres at which the row was so, or was not there. */
  readonly lsn: bigint;
  /** When that was, milliseconds since the epoch. */
  readonly timeMs: number;
}

export interface EncodedChange {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** The part of the registry that is needed. */
export interface NewestSchemas {
  latest(subject: string): Promise<{ readonly id: number; readonly text: string } | null>;
}

interface Subject {
  readonly id: number;
  readonly node: RecordNode;
  readonly write: Encoder<unknown>;
}

/** Encodes with the schemas that were the newest when it was made. */
export class OperatorEnvelopes {
  readonly #table: { readonly name: string; readonly schema: string; readonly table: string };
  readonly #key: Subject;
  readonly #value: Subject;
  readonly #writer = new ByteWriter();

  private constructor(topic: string, key: Subject, value: Subject) {
    const [name = '', schema = '', table = ''] = topic.split('.');
    this.#table = { name, schema, table };
    this.#key = key;
    this.#value = value;
  }

  /** `topic` is the captured one. Throws CAPTURED_SCHEMA_MISSING (fatal) when nothing was captured into it yet. */
  static async open(registry: NewestSchemas, topic: string): Promise<OperatorEnvelopes> {
    return new OperatorEnvelopes(
      topic,
      await subject(registry, `${topic}-key`),
      await subject(registry, `${topic}-value`),
    );
  }

  /** What it returns is its own memory. Throws TypeError for a value that is none of its column. */
  encode({ op, row, lsn, timeMs }: OperatorChange): EncodedChange {
    const envelope = {
      before: op === 'delete' ? row : null,
      after: op === 'delete' ? null : row,
      source: {
        connector: 'postgresql',
        ...this.#table,
        snapshot: 'incremental',
        ts_ms: timeMs,
        lsn,
      },
      op: op === 'delete' ? 'd' : 'r',
      ts_ms: timeMs,
    };
    return { key: this.#framed(this.#key, row), value: this.#framed(this.#value, envelope) };
  }

  #framed({ id, node, write }: Subject, value: unknown): Buffer {
    this.#writer.reset();
    this.#writer.begin();
    write(this.#writer, completed(node, value));
    const body = this.#writer.take();
    return Buffer.from(frame(this.#writer, id, body));
  }
}

async function subject(registry: NewestSchemas, name: string): Promise<Subject> {
  const newest = await registry.latest(name);
  if (newest === null) {
    throw new SluiceError(
      `The registry has no schema ${name}: nothing was captured yet, so there is nothing to correct. Is the connector registered (npm run connector -- status)?`,
      { code: 'CAPTURED_SCHEMA_MISSING', action: 'fatal' },
    );
  }
  const node = resolveSchemaText(withBigLongs(newest.text));
  if (node.type !== 'record') throw new TypeError(`${name} is no record`);
  return { id: newest.id, node, write: compileWriter(node) };
}

/** Every long as a bigint: ids and positions go beyond 2^53. A type's name stands in a list, or where a type is asked for. */
function withBigLongs(text: string): string {
  const isType = (key: string) => key === 'type' || key === 'items' || key === 'values' || /^\d+$/.test(key);
  return JSON.stringify(
    JSON.parse(text, (key, value: unknown) =>
      value === 'long' && isType(key) ? { type: 'long', js: 'bigint' } : value,
    ),
  );
}

/** The value with all fields that the schema has, as the encoder wants them. */
function completed(node: SchemaNode, value: unknown): unknown {
  switch (node.type) {
    case 'record': {
      const given = value as Readonly<Record<string, unknown>>;
      return Object.fromEntries(
        node.fields.map(({ name, node: field, fallback }) => [name, completed(field, given[name] ?? fallback)]),
      );
    }
    case 'union': {
      if ((value ?? null) === null && node.branches.some(({ type }) => type === 'null')) return null;
      return completed(node.branches.find(({ type }) => type !== 'null')!, value);
    }
    case 'long':
      return BigInt((value as number | bigint | undefined) ?? 0);
    case 'int':
    case 'float':
    case 'double':
      return value ?? 0;
    case 'string':
      return value ?? '';
    case 'boolean':
      return value ?? false;
    default:
      return value;
  }
}
