/** Decodes framed values of any schema the registry knows: one compiled reader for each schema id. */
import { SluiceError } from '../errors.ts';
import { unknownSchema } from './errors.ts';
import { FRAME_BYTES, schemaIdOf } from './framing.ts';
import { resolveSchemaText, type SchemaNode } from './resolve.ts';

/** Where schemas come from. */
export interface SchemaSource {
  /** The schema's JSON text, or null when there is none with this id. Rejects when it cannot tell. */
  schemaById(id: number): Promise<string | null>;
}

/** Reads the value at [start, end) of a buffer, of the schema it was made for. */
export type BodyReader<T> = (bytes: Buffer, start: number, end: number) => T;

type Known<T> =
  | { readonly state: 'reader'; readonly read: BodyReader<T> }
  /** Why no record of this schema can be read; asked again after `until`, in case the registry has learnt it. */
  | { readonly state: 'bad'; readonly error: SluiceError; readonly until: number };

const BAD_FOR_MS = 30_000;
const MAX_BAD = 1_000;

export interface FramedDecoderOptions<T> {
  readonly source: SchemaSource;
  /** Compiles the reader for a writer's schema. May throw UNKNOWN_SCHEMA or MISSING_FIELD. */
  readonly compile: (writer: SchemaNode) => BodyReader<T>;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/**
 * `prepare` a batch (asks the registry for schemas not seen before), then `decode` its values: that is synchronous,
 * so a record costs no promise.
 */
export class FramedDecoder<T> {
  readonly #source: SchemaSource;
  readonly #compile: (writer: SchemaNode) => BodyReader<T>;
  readonly #now: () => number;
  readonly #known = new Map<number, Known<T>>();
  #bad = 0;
  /** The schema of the record before: nearly always that of this one too. */
  #lastId = Number.NaN;
  #lastRead: BodyReader<T> | null = null;

  constructor({ source, compile, now = () => performance.now() }: FramedDecoderOptions<T>) {
    this.#source = source;
    this.#compile = compile;
    this.#now = now;
  }

  /**
   * Makes the schemas of all these values known. A value that is not framed is passed over: `decode` says so.
   * Rejects with what the source rejects with; a schema that does not exist is no rejection.
   */
  async prepare(values: Iterable<Buffer | null>): Promise<void> {
    let last = this.#lastId;
    for (const value of values) {
      if (value === null || value.length < FRAME_BYTES || value[0] !== 0) continue;
      const id = schemaIdOf(value);
      if (id === last) continue;
      last = id;
      await this.load([id]);
    }
  }

  /** Makes schemas known by their ids. Rejects as `prepare`. */
  async load(ids: Iterable<number>): Promise<void> {
    for (const id of ids) {
      const known = this.#known.get(id);
      if (known === undefined || (known.state === 'bad' && known.until <= this.#now())) await this.#load(id);
    }
  }

  async #load(id: number): Promise<void> {
    const text = await this.#source.schemaById(id);
    this.#forget(id);
    try {
      if (text === null) throw unknownSchema(`id ${id} is not in the registry`);
      this.#known.set(id, { state: 'reader', read: this.#compile(resolveSchemaText(text)) });
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      // Bytes can claim any id: what is remembered of bad ones is bounded.
      if (this.#bad >= MAX_BAD) this.#forgetBad();
      this.#known.set(id, { state: 'bad', error, until: this.#now() + BAD_FOR_MS });
      this.#bad++;
    }
  }

  #forget(id: number): void {
    if (this.#known.get(id)?.state === 'bad') this.#bad--;
    this.#known.delete(id);
  }

  #forgetBad(): void {
    for (const [id, known] of this.#known) if (known.state === 'bad') this.#known.delete(id);
    this.#bad = 0;
  }

  /**
   * Decodes one value. Throws UNDECODABLE, UNKNOWN_SCHEMA or MISSING_FIELD (dead-letter), or SCHEMA_NOT_PREPARED
   * (fatal) when `prepare` was not called with it.
   */
  decode(value: Buffer): T {
    const id = schemaIdOf(value);
    const read = id === this.#lastId && this.#lastRead !== null ? this.#lastRead : this.#reader(id);
    return read(value, FRAME_BYTES, value.length);
  }

  #reader(id: number): BodyReader<T> {
    const known = this.#known.get(id);
    if (known === undefined) {
      throw new SluiceError(`Schema ${id} was not prepared`, { code: 'SCHEMA_NOT_PREPARED', action: 'fatal' });
    }
    if (known.state === 'bad') throw known.error;
    this.#lastId = id;
    this.#lastRead = known.read;
    return known.read;
  }
}
