/** What a pipeline has put aside, as a comparison needs it: the newest letter of each row. */
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';
import { dlqRecord, type Letter } from '../dlq/letter.ts';

/** The newest letter about a row. */
export interface NewestLetter<S> {
  /** Its offset in the dead-letter topic. */
  readonly id: bigint;
  readonly reason: string;
  /** What the row was to become; `null` when it was to go, `unknown` when the bytes do not say. */
  readonly state: S | null | 'unknown';
}

/** Remembered are the newest letters of at most this many rows. */
const MAX_LETTERS = 200_000;

/** The newest letter of each row; `Row` is what names one. */
export class LettersByRow<Row, S> {
  readonly byRow = new Map<Row, NewestLetter<S>>();
  readonly #rows = new Map<bigint, Row>();

  /** A letter that does not say of which row it is explains none. */
  put({ id, reason }: Letter, row: Row | null | undefined, state: NewestLetter<S>['state']): void {
    if (row === null || row === undefined) return;
    const before = this.byRow.get(row);
    if (before !== undefined) this.#rows.delete(before.id);
    this.byRow.set(row, { id, reason, state });
    this.#rows.set(id, row);
  }

  /** The letter explains nothing any more. */
  resolved(letterId: bigint): void {
    const row = this.#rows.get(letterId);
    if (row === undefined) return;
    this.byRow.delete(row);
    this.#rows.delete(letterId);
  }
}

export interface LetterReading {
  /** The dead-letter topic. */
  readonly topic: string;
  /** Called with the letters of each run in front of `put`: makes known what decoding them needs. */
  prepare(letters: readonly Letter[]): Promise<void>;
  /** Puts a letter into one of `books`, or into none. */
  put(letter: Letter): void;
  readonly books: readonly Pick<LettersByRow<unknown, unknown>, 'byRow' | 'resolved'>[];
}

/**
 * Reads the whole topic. A letter that was discarded explains its row as before; one that was redriven, or whose row has changed since,
 * explains nothing any more: had the record failed again, it would have another letter. Throws RECONCILE_TOO_MANY_DEAD_LETTERS (fatal).
 */
export async function readNewestLetters(client: LogClient, reading: LetterReading): Promise<void> {
  const { topic, books } = reading;
  const ends = await client.offsets(topic, [0], 'lastStable');
  await readTopic(client, { topic, ends }, async ({ records }) => {
    const read = records.map(dlqRecord);
    await reading.prepare(read.flatMap((one) => (one.kind === 'letter' ? [one.letter] : [])));
    for (const one of read) {
      if (one.kind === 'letter') reading.put(one.letter);
      else if (one.kind === 'resolution' && one.resolution !== 'discarded') {
        for (const book of books) book.resolved(one.letterId);
      }
    }
    if (books.reduce((count, { byRow }) => count + byRow.size, 0) > MAX_LETTERS) throw tooMany();
  });
}

/** Null for what cannot be decoded. That is no error here: it is why it is in this topic. */
export function decodable<T>(decode: () => T): T | null {
  try {
    return decode();
  } catch (error) {
    if (error instanceof SluiceError && error.action === 'dead-letter') return null;
    throw error;
  }
}

function tooMany(): SluiceError {
  return new SluiceError(`More than ${MAX_LETTERS} rows have dead letters: redrive or discard them first`, {
    code: 'RECONCILE_TOO_MANY_DEAD_LETTERS',
    action: 'fatal',
  });
}
