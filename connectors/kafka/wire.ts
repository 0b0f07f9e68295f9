/** Kafka's primitive types on the wire: https://kafka.apache.org/protocol#protocol_types */

/** Writes a request body into one growing buffer. */
export class WireWriter {
  #buffer: Buffer;
  #pos = 0;

  /** `bytes`: about how many there will be. */
  constructor(bytes = 1_024) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  int8(value: number): this {
    this.#need(1);
    this.#pos = this.#buffer.writeInt8(value, this.#pos);
    return this;
  }

  int16(value: number): this {
    this.#need(2);
    this.#pos = this.#buffer.writeInt16BE(value, this.#pos);
    return this;
  }

  int32(value: number): this {
    this.#need(4);
    this.#pos = this.#buffer.writeInt32BE(value, this.#pos);
    return this;
  }

  int64(value: bigint): this {
    this.#need(8);
    this.#pos = this.#buffer.writeBigInt64BE(value, this.#pos);
    return this;
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1);
    const length = Buffer.byteLength(value);
    this.int16(length);
    this.#need(length);
    this.#pos += this.#buffer.write(value, this.#pos);
    return this;
  }

  /** BYTES or RECORDS: an int32 length, then the bytes. */
  bytes(value: Uint8Array): this {
    this.int32(value.length);
    this.#need(value.length);
    this.#buffer.set(value, this.#pos);
    this.#pos += value.length;
    return this;
  }

  array<T>(items: readonly T[], write: (writer: this, item: T) => void): this {
    this.int32(items.length);
    for (const item of items) write(this, item);
    return this;
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#pos);
  }

  #need(bytes: number): void {
    if (this.#pos + bytes <= this.#buffer.length) return;
    const next = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#pos + bytes));
    this.#buffer.copy(next, 0, 0, this.#pos);
    this.#buffer = next;
  }
}

/** Reads a response body; `bytes` returns views, not copies. */
export class WireReader {
  readonly #buffer: Buffer;
  #pos = 0;

  /** kafkajs hands over its Decoder's buffer. */
  constructor(raw: Buffer | { buffer: Buffer }) {
    this.#buffer = Buffer.isBuffer(raw) ? raw : raw.buffer;
  }

  int16(): number {
    const value = this.#buffer.readInt16BE(this.#pos);
    this.#pos += 2;
    return value;
  }

  int32(): number {
    const value = this.#buffer.readInt32BE(this.#pos);
    this.#pos += 4;
    return value;
  }

  int64(): bigint {
    const value = this.#buffer.readBigInt64BE(this.#pos);
    this.#pos += 8;
    return value;
  }

  string(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    const value = this.#buffer.toString('utf8', this.#pos, this.#pos + length);
    this.#pos += length;
    return value;
  }

  bytes(): Buffer {
    const length = this.int32();
    if (length <= 0) return Buffer.alloc(0);
    const value = this.#buffer.subarray(this.#pos, this.#pos + length);
    this.#pos += length;
    return value;
  }

  array<T>(read: (reader: this) => T): T[] {
    const count = this.int32();
    const items: T[] = [];
    for (let i = 0; i < count; i++) items.push(read(this));
    return items;
  }
}
