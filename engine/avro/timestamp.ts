/** ISO 8601 text, as Debezium writes a timestamptz, to microseconds since the Unix epoch, without going through Date. */

const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAYS_TO_1970 = 719_162;

const DOT = 46;
const COLON = 58;
const DASH = 45;
const PLUS = 43;
const LETTER_T = 84;
const LETTER_Z = 90;

/** Two digits at a position, or NaN, which stays NaN through all arithmetic that follows. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - 48;
  const ones = bytes[at + 1]! - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

function daysSinceEpoch(year: number, month: number, day: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 && leap ? 29 : DAYS_IN_MONTH[month - 1]!;
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= days)) return Number.NaN;
  const before = year - 1;
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  const leapDay = leap && month > 2 ? 1 : 0;
  return before * 365 + leapDays + DAYS_BEFORE_MONTH[month - 1]! + leapDay + day - 1 - DAYS_TO_1970;
}

/** Seconds east of UTC of `Z`, `+HH`, `+HH:MM` or `+HH:MM:SS` at [at, end), or NaN. */
function offsetSeconds(bytes: Uint8Array, at: number, end: number): number {
  const sign = bytes[at];
  if (sign === LETTER_Z) return end === at + 1 ? 0 : Number.NaN;
  if (sign !== PLUS && sign !== DASH) return Number.NaN;
  const length = end - at;
  if (length !== 3 && length !== 6 && length !== 9) return Number.NaN;
  let seconds = twoDigits(bytes, at + 1) * 3600;
  if (length >= 6) seconds += bytes[at + 3] === COLON ? twoDigits(bytes, at + 4) * 60 : Number.NaN;
  if (length === 9) seconds += bytes[at + 6] === COLON ? twoDigits(bytes, at + 7) : Number.NaN;
  return sign === PLUS ? seconds : -seconds;
}

/**
 * Parses `2026-01-02T03:04:05.123456Z` at [start, end) of `bytes`: any number of fraction digits (those beyond the
 * sixth are cut off), `Z` or an offset, seconds may be absent.
 *
 * @returns microseconds since the epoch; NaN when it is no such text; ±Infinity when the year has no four digits
 *   (Postgres' `infinity` too) or the result is beyond 2^53. So one range check of the result finds every bad one.
 */
export function parseMicros(bytes: Uint8Array, start: number, end: number): number {
  const first = bytes[start];
  if (first === PLUS || first === 105 /* infinity */) return Number.POSITIVE_INFINITY;
  if (first === DASH) return Number.NEGATIVE_INFINITY;
  // The shortest: 2026-01-02T03:04Z. The separators are at fixed places.
  if (end - start < 17 || bytes[start + 4] !== DASH || bytes[start + 7] !== DASH) return Number.NaN;
  if (bytes[start + 10] !== LETTER_T || bytes[start + 13] !== COLON) return Number.NaN;
  const year = twoDigits(bytes, start) * 100 + twoDigits(bytes, start + 2);
  const days = daysSinceEpoch(year, twoDigits(bytes, start + 5), twoDigits(bytes, start + 8));
  const hours = twoDigits(bytes, start + 11);
  const minutes = twoDigits(bytes, start + 14);
  let at = start + 16;
  let seconds = 0;
  let micros = 0;
  if (bytes[at] === COLON) {
    seconds = twoDigits(bytes, at + 1);
    at += 3;
    if (bytes[at] === DOT) {
      let unit = 100_000;
      const from = ++at;
      for (let digit = bytes[at]! - 48; at < end && digit >= 0 && digit <= 9; digit = bytes[++at]! - 48) {
        micros += digit * unit;
        unit = unit > 1 ? unit / 10 : 0;
      }
      if (at === from) return Number.NaN;
    }
  }
  if (!(hours <= 23 && minutes <= 59 && seconds <= 59) || at >= end) return Number.NaN;
  const utc = days * 86_400 + hours * 3600 + minutes * 60 + seconds - offsetSeconds(bytes, at, end);
  const result = utc * 1_000_000 + micros;
  return Number.isNaN(result) || Number.isSafeInteger(result) ? result : Math.sign(result) * Number.POSITIVE_INFINITY;
}
