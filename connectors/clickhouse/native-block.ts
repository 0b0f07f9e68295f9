/**
 * One block of rows in ClickHouse's Native format, column by column: https://clickhouse.com/docs/interfaces/formats/Native
 *
 * Half the server's work on a row of TabSeparated text is reading the text; a block is copied. The types are said in the block, and the server
 * casts what its table has otherwise (LowCardinality, Enum, a wider integer), so a migration may change a column beside a writer.
 */
import { SluiceError } from '../../engine/errors.ts';

type Scalar =
  | 'Int8'
  | 'UInt16'
  | 'UInt32'
  | 'Int64'
  | 'UInt64'
  | 'Int256'
  | 'Float64'
  | 'String'
  | 'UUID'
  | 'DateTime'
  | 'DateTime64(3)'
  | 'DateTime64(6)';

type Plain = Scalar | 'Array(String)';

/**
 * A String is also what an Enum or LowCardinality is sent as, an Int8 of 0 or 1 a Bool. Times are whole numbers since the epoch, in the
 * unit of the type.
 */
export type ColumnType = Plain | `Nullable(${Scalar})`;

/** The type without its NULL. */
export const plainOf = (type: ColumnType): Plain => type.replace(/^Nullable\((.+)\)$/, '$1') as Plain;

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

/** Integers as number or bigint, doubles as number, texts and UUIDs as string, null where the type allows it. */
export type Value = bigint | number | string | readonly string[] | null;

/** The cells of one column. */
interface Cells {
  /** Throws CLICKHOUSE_VALUE_REFUSED or CLICKHOUSE_CANNOT_PARSE_UUID (dead-letter) for what the type cannot hold. */
  append(value: Value): void;
  readonly byteLength: number;
  /** Returns where the next byte goes. */
  copyTo(target: Uint8Array, at: number): number;
  clear(): void;
}

const FIRST_ROWS = 1_024;

function refused(type: string, value: Value): SluiceError {
  return new SluiceError(`${typeof value} ${String(value).slice(0, 100)} is no ${type}`, {
    code: 'CLICKHOUSE_VALUE_REFUSED',
    action: 'dead-letter',
  });
}

/** Bytes that grow. */
class Bytes {
  bytes = Buffer.allocUnsafeSlow(FIRST_ROWS);
  length = 0;

  reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const next = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, this.length + more));
    this.bytes.copy(next, 0, 0, this.length);
    this.bytes = next;
  }

  get byteLength(): number {
    return this.length;
  }

  copyTo(target: Uint8Array, at: number): number {
    target.set(this.bytes.subarray(0, this.length), at);
    return at + this.length;
  }

  clear(): void {
    this.length = 0;
  }
}

/** Integers of up to 32 bits, little-endian. */
class SmallCells extends Bytes implements Cells {
  readonly #type: string;
  readonly #size: number;
  readonly #min: number;
  readonly #max: number;

  constructor(type: string, size: 1 | 2 | 4, signed: boolean) {
    super();
    this.#type = type;
    this.#size = size;
    this.#min = signed ? -(2 ** (8 * size - 1)) : 0;
    this.#max = signed ? -this.#min - 1 : 2 ** (8 * size) - 1;
  }

  append(value: Value): void {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < this.#min || value > this.#max) {
      throw refused(this.#type, value);
    }
    this.reserve(this.#size);
    for (let index = 0, rest = value; index < this.#size; index += 1, rest >>= 8) {
      this.bytes[this.length++] = rest & 255;
    }
  }
}

/** Integers of 64 bits, little-endian. A number is faster than a bigint. */
class LongCells extends Bytes implements Cells {
  readonly #type: string;
  readonly #min: bigint;
  readonly #max: bigint;

  constructor(type: string, signed: boolean) {
    super();
    this.#type = type;
    this.#min = signed ? -(2n ** 63n) : 0n;
    this.#max = signed ? 2n ** 63n - 1n : 2n ** 64n - 1n;
  }

  append(value: Value): void {
    this.reserve(8);
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value) || (value < 0 && this.#min === 0n)) throw refused(this.#type, value);
      this.#halves(value | 0, Math.floor(value / 2 ** 32));
    } else if (typeof value === 'bigint' && value >= this.#min && value <= this.#max) {
      this.#halves(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    } else throw refused(this.#type, value);
  }

  #halves(low: number, high: number): void {
    const { bytes, length } = this;
    bytes[length] = low & 255;
    bytes[length + 1] = (low >> 8) & 255;
    bytes[length + 2] = (low >> 16) & 255;
    bytes[length + 3] = low >>> 24;
    bytes[length + 4] = high & 255;
    bytes[length + 5] = (high >> 8) & 255;
    bytes[length + 6] = (high >> 16) & 255;
    bytes[length + 7] = high >>> 24;
    this.length = length + 8;
  }
}

/** Integers of 256 bits, little-endian. */
class HugeCells extends Bytes implements Cells {
  append(value: Value): void {
    if (typeof value !== 'bigint' || BigInt.asIntN(256, value) !== value) throw refused('Int256', value);
    this.reserve(32);
    for (let bits = 0n; bits < 256n; bits += 64n) {
      this.length = this.bytes.writeBigInt64LE(BigInt.asIntN(64, value >> bits), this.length);
    }
  }
}

class DoubleCells extends Bytes implements Cells {
  append(value: Value): void {
    if (typeof value !== 'number') throw refused('Float64', value);
    this.reserve(8);
    this.length = this.bytes.writeDoubleLE(value, this.length);
  }
}

/** Shorter than this, a loop is faster than a call into the runtime. */
const LOOP_BELOW = 40;

/** UTF-8 behind its length, as a variable-length integer. */
class TextCells extends Bytes implements Cells {
  append(value: Value): void {
    if (typeof value !== 'string') throw refused('String', value);
    this.reserve(3 * value.length + 5);
    if (value.length < LOOP_BELOW && this.#ascii(value)) return;
    this.number(Buffer.byteLength(value));
    this.length += this.bytes.write(value, this.length, 'utf8');
  }

  /** False when it is not: nothing is written then. */
  #ascii(value: string): boolean {
    const { bytes, length: start } = this;
    const { length } = value;
    for (let index = 0; index < length; index += 1) {
      const code = value.charCodeAt(index);
      if (code > 127) return false;
      bytes[start + 1 + index] = code;
    }
    bytes[start] = length;
    this.length = start + 1 + length;
    return true;
  }

  /** A variable-length integer, of less than 2^32. */
  number(value: number): void {
    this.reserve(5);
    let rest = value;
    while (rest > 127) {
      this.bytes[this.length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }
}

const NO_DIGIT = 255;
const HEX = new Uint8Array(128).fill(NO_DIGIT);
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  HEX[digit.charCodeAt(0)] = value;
  HEX[digit.toUpperCase().charCodeAt(0)] = value;
}
const DASH = '-'.charCodeAt(0);
/** Where the digits of each byte are in 8-4-4-4-12. */
const UUID_DIGITS = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/** Two halves of 64 bits, each little-endian. */
class UuidCells extends Bytes implements Cells {
  append(value: Value): void {
    if (typeof value !== 'string' || !this.#parse(value)) {
      throw new SluiceError(`'${String(value).slice(0, 100)}' is no UUID`, {
        code: 'CLICKHOUSE_CANNOT_PARSE_UUID',
        action: 'dead-letter',
      });
    }
  }

  #parse(text: string): boolean {
    if (text.length !== 36) return false;
    for (const at of [8, 13, 18, 23]) if (text.charCodeAt(at) !== DASH) return false;
    this.reserve(16);
    const { bytes, length } = this;
    for (let index = 0; index < 16; index += 1) {
      const at = UUID_DIGITS[index]!;
      const high = HEX[text.charCodeAt(at)] ?? NO_DIGIT;
      const low = HEX[text.charCodeAt(at + 1)] ?? NO_DIGIT;
      if ((high | low) > 15) return false;
      bytes[length + (index < 8 ? 7 - index : 23 - index)] = (high << 4) | low;
    }
    this.length = length + 16;
    return true;
  }
}

/** Which are NULL, then all of them with something in the place of NULL. */
class NullableCells implements Cells {
  readonly #nulls = new SmallCells('UInt8', 1, false);
  readonly #cells: Cells;
  readonly #instead: Value;

  constructor(cells: Cells, instead: Value) {
    this.#cells = cells;
    this.#instead = instead;
  }

  append(value: Value): void {
    this.#nulls.append(value === null ? 1 : 0);
    this.#cells.append(value ?? this.#instead);
  }

  get byteLength(): number {
    return this.#nulls.byteLength + this.#cells.byteLength;
  }

  copyTo(target: Uint8Array, at: number): number {
    return this.#cells.copyTo(target, this.#nulls.copyTo(target, at));
  }

  clear(): void {
    this.#nulls.clear();
    this.#cells.clear();
  }
}

/** Where each row's texts end among those of all rows, then the texts. */
class TextArrayCells implements Cells {
  readonly #ends = new LongCells('UInt64', false);
  readonly #texts = new TextCells();
  #count = 0;

  append(value: Value): void {
    if (!Array.isArray(value)) throw refused('Array(String)', value);
    for (const text of value as readonly string[]) this.#texts.append(text);
    this.#count += value.length;
    this.#ends.append(this.#count);
  }

  get byteLength(): number {
    return this.#ends.byteLength + this.#texts.byteLength;
  }

  copyTo(target: Uint8Array, at: number): number {
    return this.#texts.copyTo(target, this.#ends.copyTo(target, at));
  }

  clear(): void {
    this.#count = 0;
    this.#ends.clear();
    this.#texts.clear();
  }
}

const CELLS: Readonly<Record<Plain, { readonly make: () => Cells; readonly instead: Value }>> = {
  Int8: { make: () => new SmallCells('Int8', 1, true), instead: 0 },
  UInt16: { make: () => new SmallCells('UInt16', 2, false), instead: 0 },
  UInt32: { make: () => new SmallCells('UInt32', 4, false), instead: 0 },
  Int64: { make: () => new LongCells('Int64', true), instead: 0 },
  UInt64: { make: () => new LongCells('UInt64', false), instead: 0 },
  Int256: { make: () => new HugeCells(), instead: 0n },
  Float64: { make: () => new DoubleCells(), instead: 0 },
  String: { make: () => new TextCells(), instead: '' },
  'Array(String)': { make: () => new TextArrayCells(), instead: [] },
  UUID: { make: () => new UuidCells(), instead: '00000000-0000-0000-0000-000000000000' },
  DateTime: { make: () => new SmallCells('DateTime', 4, false), instead: 0 },
  'DateTime64(3)': { make: () => new LongCells('DateTime64(3)', true), instead: 0 },
  'DateTime64(6)': { make: () => new LongCells('DateTime64(6)', true), instead: 0 },
};

function cellsOf(type: ColumnType): Cells {
  const { make, instead } = CELLS[plainOf(type)];
  return type === plainOf(type) ? make() : new NullableCells(make(), instead);
}

/** Gathers the rows of one insert. Used again for the next, so that its memory is allocated once. */
export class NativeBlock {
  readonly #heads: readonly Buffer[];
  readonly #cells: readonly Cells[];
  #rows = 0;

  constructor(columns: readonly Column[]) {
    this.#cells = columns.map(({ type }) => cellsOf(type));
    this.#heads = columns.map(({ name, type }) => {
      const head = new TextCells();
      head.append(name);
      head.append(type);
      return Buffer.from(head.bytes.subarray(0, head.length));
    });
  }

  get rows(): number {
    return this.#rows;
  }

  /** Values in the order of the columns, in two pieces. After a throw (dead-letter) only `clear` may follow. */
  add(values: readonly Value[], more: readonly Value[]): void {
    const { length } = values;
    for (let index = 0; index < length; index += 1) this.#cells[index]!.append(values[index]!);
    for (let index = 0; index < more.length; index += 1) this.#cells[length + index]!.append(more[index]!);
    this.#rows += 1;
  }

  /** The block. */
  take(): Buffer {
    const counts = new TextCells();
    for (const count of [this.#cells.length, this.#rows]) counts.number(count);
    const cells = this.#cells.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const heads = this.#heads.reduce((sum, { length }) => sum + length, 0);
    const block = Buffer.allocUnsafeSlow(counts.byteLength + heads + cells);
    let at = counts.copyTo(block, 0);
    for (const [index, head] of this.#heads.entries()) {
      block.set(head, at);
      at = this.#cells[index]!.copyTo(block, at + head.length);
    }
    return block;
  }

  clear(): void {
    for (const cells of this.#cells) cells.clear();
    this.#rows = 0;
  }
}
