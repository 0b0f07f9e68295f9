import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeContentPart } from '../../../pipelines/engagement/codec/event.ts';
import { ENRICHMENT_LOGIC, engagementPctBp, validateEvent } from '../../../pipelines/engagement/semantics.ts';

const MAX_INT = 2_147_483_647;
const DAY_MS = 86_400_000;
const YEAR_2200_MICROS = 7_258_118_400_000_000;

const int = fc.oneof(
  fc.nat(MAX_INT),
  fc.nat(20),
  fc.integer({ min: MAX_INT - 20, max: MAX_INT }),
  fc.nat(40).map((n) => n * 500),
);
const positive = int.map((value) => Math.max(1, value));

describe('engagement percent', () => {
  it('is duration · 10 / length rounded half up, exactly: at most half a basis point off, halves upwards', () => {
    fc.assert(
      fc.property(int, positive, (durationMs, lengthSeconds) => {
        const bp = engagementPctBp(durationMs, lengthSeconds)!;
        expect(Number.isSafeInteger(bp)).toBe(true);
        // bp − ½ ≤ 10·d/l < bp + ½, times 2·l
        const [twice, value] = [20n * BigInt(durationMs), BigInt(bp)];
        const length = BigInt(lengthSeconds);
        expect((2n * value - 1n) * length <= twice && twice < (2n * value + 1n) * length).toBe(true);
      }),
      { seed: 11, numRuns: 20_000 },
    );
  });

  it.each([
    ['nothing of something', 0, 1, 0],
    ['all of it', 60_000, 60, 10_000],
    ['more than all', 120_000, 60, 20_000],
    ['a half, up', 1, 20, 1],
    ['just below a half', 1, 21, 0],
    ['a half of a larger figure', 3, 20, 2],
    ['the most', MAX_INT, 1, 21_474_836_470],
    ['the longest', MAX_INT, MAX_INT, 10],
    ['next to nothing', 1, MAX_INT, 0],
  ])('of %s', (_, durationMs, lengthSeconds, bp) => {
    expect(engagementPctBp(durationMs, lengthSeconds)).toBe(bp);
  });

  it.each([
    ['the duration is NULL', null, 60],
    ['the length is NULL', 60_000, null],
    ['both are NULL', null, null],
    ['the length is 0', 60_000, 0],
    ['both are 0', 0, 0],
  ])('is NULL when %s', (_, durationMs, lengthSeconds) => {
    expect(engagementPctBp(durationMs, lengthSeconds)).toBeNull();
  });
});

describe('a limit of the percent that counts', () => {
  it.each([
    ['below it', 59_000, 9_833],
    ['at it', 60_000, 10_000],
    ['above it', 61_000, 10_000],
    ['not known', null, null],
  ])('leaves alone what is not above it: %s', (_, durationMs, bp) => {
    expect(engagementPctBp(durationMs, 60, { maxPctBp: 10_000 })).toBe(bp);
  });
});

/** Of percents and of an event's bytes: whoever changes what comes out sees this fail. */
it('is the logic that its number stands for: raise ENRICHMENT_LOGIC with every change, and note the digest here', () => {
  const hash = createHash('sha256');
  for (const length of [null, 0, 1, 3, 60, 7_201, MAX_INT]) {
    for (const duration of [null, 0, 1, 499, 500, 60_000, MAX_INT]) {
      hash.update(`${duration}/${length}=${engagementPctBp(duration, length)}\n`);
    }
  }
  const content = { slug: ' a/Ä ', title: '', contentType: 'Video', lengthSeconds: 2 ** 40 };
  hash.update(encodeContentPart(content));
  expect([ENRICHMENT_LOGIC, hash.digest('hex').slice(0, 16)]).toEqual([1, '279c5d6db64d09b7']);
});

const COMMIT_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function reason(durationMs: number | null, eventTsMicros: number | null, commitTsMs = COMMIT_MS): string | null {
  try {
    validateEvent({ durationMs, eventTsMicros }, commitTsMs);
    return null;
  } catch (error) {
    expect(error).toMatchObject({ action: 'dead-letter' });
    return (error as { code: string }).code;
  }
}

describe('a row', () => {
  const now = COMMIT_MS * 1000;

  it.each([
    [null, null],
    [0, null],
    [MAX_INT, null],
    [-1, 'NEGATIVE_DURATION'],
    [-2_147_483_648, 'NEGATIVE_DURATION'],
    [365 * DAY_MS, null],
    [365 * DAY_MS + 1, 'DURATION_OUT_OF_RANGE'],
  ])('with a duration of %s: %s', (durationMs, expected) => {
    expect(reason(durationMs, now)).toBe(expected);
  });

  it.each([
    ['the first microsecond of 1970', 0, null],
    ['the one before', -1, 'TIMESTAMP_OUT_OF_RANGE'],
    ['no time within 2^53', null, 'TIMESTAMP_OUT_OF_RANGE'],
    ['a day ahead', now + DAY_MS * 1000, null],
    ['a microsecond more than a day ahead', now + DAY_MS * 1000 + 1, 'FUTURE_EVENT'],
    ['2200', YEAR_2200_MICROS, 'TIMESTAMP_OUT_OF_RANGE'],
  ])('at %s: %s', (_, micros, expected) => {
    expect(reason(5, micros)).toBe(expected);
  });

  it('may be of the last microsecond of 2199, to the microsecond, if it was committed then', () => {
    const lastMs = YEAR_2200_MICROS / 1000 - 1;
    expect(reason(5, YEAR_2200_MICROS - 1, lastMs)).toBeNull();
    expect(reason(5, YEAR_2200_MICROS, lastMs)).toBe('TIMESTAMP_OUT_OF_RANGE');
    expect(reason(5, YEAR_2200_MICROS - 1, lastMs - DAY_MS + 1)).toBeNull();
    expect(reason(5, YEAR_2200_MICROS - 1, lastMs - DAY_MS)).toBe('FUTURE_EVENT');
  });

  it('with several faults is bad for the first: the duration, then the range, then the future', () => {
    expect(reason(-1, null)).toBe('NEGATIVE_DURATION');
    expect(reason(5, YEAR_2200_MICROS, 0)).toBe('TIMESTAMP_OUT_OF_RANGE');
  });
});
