/** Which letters a command is about. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { type Letter, type LetterState, sourceOf } from './letter.ts';
import { outlineOf } from './outline.ts';

export interface LetterFilter {
  /** Letter ids, or sources as `topic:partition:offset`. Empty: any. */
  readonly ids: readonly string[];
  readonly reasons: readonly string[];
  readonly stage: string | null;
  /** A value of the record's key (the id of a row, of a content), or the key itself as text or hex. */
  readonly key: string | null;
  /** Written at or after, ms. */
  readonly sinceMs: number | null;
  /** Written before, ms. */
  readonly untilMs: number | null;
  /** null: any. */
  readonly state: LetterState | null;
}

/** The cheap tests first: only the key is decoded, and only when it is asked for. */
export async function matches(
  letter: Letter,
  state: LetterState,
  { filter, schemas }: { readonly filter: LetterFilter; readonly schemas: SchemaSource },
): Promise<boolean> {
  const { ids, reasons, stage, key, sinceMs, untilMs } = filter;
  if (filter.state !== null && state !== filter.state) return false;
  if (ids.length > 0 && !ids.includes(String(letter.id)) && !ids.includes(sourceOf(letter))) return false;
  if (reasons.length > 0 && !reasons.includes(letter.reason)) return false;
  if (stage !== null && letter.stage !== stage) return false;
  if (sinceMs !== null && letter.writtenMs < sinceMs) return false;
  if (untilMs !== null && letter.writtenMs >= untilMs) return false;
  return key === null || (await hasKey(letter, key, schemas));
}

async function hasKey({ key }: Letter, wanted: string, schemas: SchemaSource): Promise<boolean> {
  if (key === null) return false;
  if (key.toString() === wanted || key.toString('hex') === wanted.toLowerCase()) return true;
  const { fields } = await outlineOf(key, schemas);
  return fields.some(({ text }) => text === wanted);
}

export const ANY_LETTER: LetterFilter = {
  ids: [],
  reasons: [],
  stage: null,
  key: null,
  sinceMs: null,
  untilMs: null,
  state: null,
};
