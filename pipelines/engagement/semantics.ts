/** The arithmetic and the rules of engagement: pure functions of a row and its content. */
import { SluiceError } from '../../engine/errors.ts';

/**
 * The number of this logic: raise it with every change of what an event is enriched with (here, in codec/event.ts, in content-path.ts).
 * Rows that a lower number has made are then made anew over all of history (enrich/revision-walk.ts).
 */
export const ENRICHMENT_LOGIC = 1;

/** What an operator may set of it: `npm run replay -- --stage enrich`. */
export interface EnrichmentRules {
  /** The most percent that an event counts for, in basis points; null for no limit. */
  readonly maxPctBp: number | null;
}

export const NO_RULES: EnrichmentRules = { maxPctBp: null };

/**
 * round half up(100 · seconds / length) with two decimals, in basis points: 10000 is 100 %; at most what the rules say. NULL when an
 * operand is NULL or the length is 0. Exact: all intermediate values are integers below 2^53.
 */
export function engagementPctBp(
  durationMs: number | null,
  lengthSeconds: number | null,
  { maxPctBp }: EnrichmentRules = NO_RULES,
): number | null {
  if (durationMs === null || lengthSeconds === null || lengthSeconds <= 0) return null;
  const pctBp = Math.floor((durationMs * 20 + lengthSeconds) / (2 * lengthSeconds));
  return maxPctBp !== null && pctBp > maxPctBp ? maxPctBp : pctBp;
}

const MIN_EVENT_MICROS = 0;
/** 2200-01-01: below 2^53 microseconds, so a number is exact. */
const MAX_EVENT_MICROS = Date.UTC(2200, 0, 1) * 1000;
export const MAX_AHEAD_MS = 24 * 3_600_000;
/** A year. Nobody is engaged for longer, and sums of what a wider column may hold would not stay exact. */
const MAX_DURATION_MS = 365 * 24 * 3_600_000;

const bad = (code: string, message: string): SluiceError => new SluiceError(message, { code, action: 'dead-letter' });

/** Throws the reason why a row cannot be counted. `eventTsMicros` is null when the timestamp cannot be represented. */
export function validateEvent(
  row: { readonly durationMs: number | null; readonly eventTsMicros: number | null },
  commitTsMs: number,
): asserts row is { readonly durationMs: number | null; readonly eventTsMicros: number } {
  const { durationMs, eventTsMicros } = row;
  if (durationMs !== null && durationMs < 0) throw bad('NEGATIVE_DURATION', `duration_ms is ${durationMs}`);
  if (durationMs !== null && durationMs > MAX_DURATION_MS) {
    throw bad('DURATION_OUT_OF_RANGE', `duration_ms is ${durationMs}: more than a year`);
  }
  if (eventTsMicros === null || eventTsMicros < MIN_EVENT_MICROS || eventTsMicros >= MAX_EVENT_MICROS) {
    throw bad('TIMESTAMP_OUT_OF_RANGE', 'event_ts is outside the years 1970 to 2199');
  }
  if (eventTsMicros / 1000 > commitTsMs + MAX_AHEAD_MS) {
    throw bad('FUTURE_EVENT', `event_ts is ${new Date(eventTsMicros / 1000).toISOString()}, more than a day ahead`);
  }
}
