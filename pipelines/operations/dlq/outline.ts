/** Decodes a framed value as far as it goes, and says where and why it went no further. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { FRAME_BYTES, schemaIdOf } from '../../../engine/avro/framing.ts';
import { cursor, readBigLong, readLength } from '../../../engine/avro/primitives.ts';
import { resolveSchemaText, type SchemaNode } from '../../../engine/avro/resolve.ts';
import { SluiceError } from '../../../engine/errors.ts';

export interface OutlineField {
  /** Dotted: `after.duration_ms`. */
  readonly path: string;
  readonly text: string;
}

export interface Outline {
  readonly fields: readonly OutlineField[];
  /** null: decoded to its end. */
  readonly stopped: { readonly atByte: number; readonly path: string; readonly why: string } | null;
}

const MAX_TEXT = 200;
const MAX_FIELDS = 500;
const MAX_DEPTH = 64;

/** Never throws for what the bytes say; rejects when the registry cannot be asked. */
export async function outlineOf(bytes: Buffer, schemas: SchemaSource): Promise<Outline> {
  const nothing = (why: string): Outline => ({ fields: [], stopped: { atByte: 0, path: '', why } });
  try {
    const id = schemaIdOf(bytes);
    const text = await schemas.schemaById(id);
    if (text === null) return nothing(`its schema ${id} is not in the registry`);
    return walk(bytes, resolveSchemaText(text));
  } catch (error) {
    if (error instanceof SluiceError && error.action === 'dead-letter') return nothing(error.message);
    throw error;
  }
}

/** The first field whose path ends with this name. */
export function fieldOf({ fields }: Outline, name: string): OutlineField | undefined {
  // Behind the image before comes the one after, which is what was refused.
  return fields.findLast(({ path }) => path === name || path.endsWith(`.${name}`));
}

function walk(bytes: Buffer, node: SchemaNode): Outline {
  const walker = new Walker(bytes);
  try {
    walker.value(node, '');
    const left = bytes.length - walker.at;
    const stopped = left === 0 ? null : { atByte: walker.at, path: '', why: `${left} bytes follow behind its end` };
    return { fields: walker.fields, stopped };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { fields: walker.fields, stopped: { atByte: walker.at, path: walker.path, why: error.message } };
  }
}

class Walker {
  readonly fields: OutlineField[] = [];
  readonly #bytes: Buffer;
  at = FRAME_BYTES;
  /** What is being read. */
  path = '';

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(node: SchemaNode, path: string, depth = 0): void {
    this.path = path;
    if (depth > MAX_DEPTH) this.#fail('values nested too deeply');
    switch (node.type) {
      case 'union':
        this.value(node.branches[Number(this.#long())] ?? this.#fail('no such branch of a union'), path, depth + 1);
        break;
      case 'record':
        for (const { name, node: of } of node.fields) this.value(of, path === '' ? name : `${path}.${name}`, depth + 1);
        break;
      case 'array':
      case 'map':
        this.#blocks(node, path, depth + 1);
        break;
      default:
        if (this.fields.length >= MAX_FIELDS) this.#fail(`more than ${MAX_FIELDS} fields`);
        this.fields.push({ path, text: this.#scalar(node) });
    }
  }

  #scalar(node: Exclude<SchemaNode, { readonly type: 'union' | 'record' | 'array' | 'map' }>): string {
    switch (node.type) {
      case 'null':
        return 'NULL';
      case 'boolean':
        return this.#take(1)[0] === 0 ? 'false' : 'true';
      case 'int':
      case 'long':
        return String(this.#long());
      case 'float':
        return String(this.#take(4).readFloatLE());
      case 'double':
        return String(this.#take(8).readDoubleLE());
      case 'string':
        return textOf(this.#sized());
      case 'bytes':
        return hexOf(this.#sized());
      case 'fixed':
        return hexOf(this.#take(node.size));
      case 'enum':
        return node.symbols[Number(this.#long())] ?? this.#fail('no such symbol of an enum');
      default:
        return node satisfies never;
    }
  }

  #blocks(node: Extract<SchemaNode, { readonly type: 'array' | 'map' }>, path: string, depth: number): void {
    for (let left = this.#count(); left > 0; left = this.#count()) {
      if (left > MAX_FIELDS) this.#fail(`more than ${MAX_FIELDS} items`);
      for (let index = 0; index < left; index++) {
        const name = node.type === 'map' ? textOf(this.#sized()) : String(index);
        this.value(node.items, `${path}[${name}]`, depth);
      }
    }
  }

  /** Of the next block; a negative one is followed by the block's size in bytes. */
  #count(): number {
    const count = Number(this.#long());
    if (count < 0) this.#long();
    return Math.abs(count);
  }

  #long(): bigint {
    const value = readBigLong(this.#bytes, this.at);
    this.#passed(cursor.at);
    return value;
  }

  #sized(): Buffer {
    const length = readLength(this.#bytes, this.at, this.#bytes.length);
    const start = cursor.at;
    this.#passed(start + length);
    return this.#bytes.subarray(start, start + length);
  }

  #take(length: number): Buffer {
    const start = this.at;
    this.#passed(start + length);
    return this.#bytes.subarray(start, start + length);
  }

  #passed(to: number): void {
    if (to > this.#bytes.length) this.#fail('the record ends too early');
    this.at = to;
  }

  #fail(why: string): never {
    throw new SluiceError(why, { code: 'UNDECODABLE', action: 'dead-letter' });
  }
}

function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8', 0, MAX_TEXT * 4);
  return bytes.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${bytes.length} bytes)` : text;
}

function hexOf(bytes: Buffer): string {
  const hex = `0x${bytes.toString('hex', 0, MAX_TEXT / 2)}`;
  return bytes.length > MAX_TEXT / 2 ? `${hex}… (${bytes.length} bytes)` : hex;
}
