/** Finds the records of a batch that the target refuses, so that the others land. */
import type { SluiceError } from './errors.ts';
import type { SinkBatch } from './sink.ts';
import type { Letter } from './sink-ledger.ts';

/** What can be written of some records, and what is at fault. */
export interface Decoded<T> {
  readonly batch: SinkBatch<T>;
  readonly letters: readonly Letter[];
}

export interface Isolation<T> {
  /** Writes a part; the error when the target refuses it, having written none of it. */
  readonly attempt: (part: Decoded<T>) => Promise<SluiceError | null>;
  /** Puts the one record of this part aside. */
  readonly refuse: (part: Decoded<T>, error: SluiceError) => Promise<void>;
}

interface Left<T> {
  readonly part: Decoded<T>;
  /** Why it was refused; null: not tried yet. */
  readonly error: SluiceError | null;
}

/**
 * Invariant: parts are written from front to back, without a gap and none twice.
 *
 * By halving, where a half is not tried of which the other one shows that it is at fault, and what is behind the first record at
 * fault is tried whole: log2 n + 3 tries when there is one, at most 2 n + log2 n + 2 however many there are.
 */
export async function isolate<T>(refused: Decoded<T>, error: SluiceError, work: Isolation<T>): Promise<void> {
  /** From back to front. */
  let left: Left<T>[] = [{ part: refused, error }];
  let found = 0;
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { part } = next;
    const refusal = next.error ?? (await work.attempt(part));
    if (refusal === null) continue;
    const { records } = part.batch;
    if (records.length === 1) {
      await work.refuse(part, refusal);
      found++;
      if (found === 1 && left.length > 1) left = [{ part: joined(left.map((one) => one.part).reverse()), error: null }];
      continue;
    }
    const middle = records.length >>> 1;
    const [front, back] = [before(part, middle), behind(part, middle)];
    const first = await work.attempt(front);
    if (first !== null) left.push({ part: back, error: null }, { part: front, error: first });
    // A record alone is tried all the same: its letter is to say what the target has against it.
    else left.push({ part: back, error: back.batch.records.length === 1 ? null : refusal });
  }
}

/** The part before the record of this index. */
export function before<T>({ batch, letters }: Decoded<T>, index: number): Decoded<T> {
  const to = batch.records[index]!.offset;
  return {
    batch: { ...batch, records: batch.records.slice(0, index), to },
    letters: letters.filter(({ record }) => record.offset < to),
  };
}

/** The part from the record of this index on. */
function behind<T>({ batch, letters }: Decoded<T>, index: number): Decoded<T> {
  const from = batch.records[index]!.offset;
  return {
    batch: { ...batch, records: batch.records.slice(index), from },
    letters: letters.filter(({ record }) => record.offset >= from),
  };
}

function joined<T>(parts: readonly Decoded<T>[]): Decoded<T> {
  const records = parts.flatMap(({ batch }) => batch.records);
  const letters = parts.flatMap((part) => part.letters);
  return { batch: { ...parts[0]!.batch, records, to: parts.at(-1)!.batch.to }, letters };
}
