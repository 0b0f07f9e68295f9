import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMicros } from '../../../engine/avro/timestamp.ts';

function micros(text: string): number {
  const bytes = Buffer.from(`xx${text}99`);
  return parseMicros(bytes, 2, bytes.length - 2);
}

const two = (value: number) => String(value).padStart(2, '0');

describe('parseMicros', { timeout: 60_000 }, () => {
  it('agrees with Date on every instant of four-digit years, to the microsecond', () => {
    const instants = fc.date({
      min: new Date('0000-01-01T00:00:00Z'),
      max: new Date('2255-06-01T00:00:00Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(instants, fc.nat(999), (date, extra) => {
        const text = date.toISOString().replace('Z', `${String(extra).padStart(3, '0')}Z`);
        const expected = date.getTime() * 1000 + extra;
        expect(micros(text)).toBe(Number.isSafeInteger(expected) ? expected : Number.NEGATIVE_INFINITY);
      }),
      { seed: 20260102, numRuns: 5000 },
    );
  });

  it('takes off an offset', () => {
    const offset = fc.record({
      sign: fc.constantFrom('+', '-'),
      hours: fc.integer({ min: 0, max: 15 }),
      minutes: fc.nat(59),
    });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 }), offset, (seconds, { sign, hours, minutes }) => {
        const shift = (sign === '+' ? 1 : -1) * (hours * 60 + minutes) * 60;
        const local = new Date((seconds + shift) * 1000).toISOString().slice(0, 19);
        expect(micros(`${local}${sign}${two(hours)}:${two(minutes)}`)).toBe(seconds * 1_000_000);
      }),
      { seed: 20260102, numRuns: 1000 },
    );
  });

  it.each([
    ['1970-01-01T00:00:00Z', 0],
    ['1969-12-31T23:59:59.999999Z', -1],
    ['2026-01-02T03:04Z', Date.UTC(2026, 0, 2, 3, 4) * 1000],
    ['2026-01-02T03:04:05.1Z', Date.UTC(2026, 0, 2, 3, 4, 5, 100) * 1000],
    ['2026-01-02T03:04:05.123456789Z', Date.UTC(2026, 0, 2, 3, 4, 5, 123) * 1000 + 456],
    ['2026-01-02T03:04:05+02', Date.UTC(2026, 0, 2, 1, 4, 5) * 1000],
    ['2026-01-02T03:04:05-00:00:30', Date.UTC(2026, 0, 2, 3, 4, 35) * 1000],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29) * 1000],
    ['9999-12-31T23:59:59Z', Number.POSITIVE_INFINITY],
    ['infinity', Number.POSITIVE_INFINITY],
    ['-infinity', Number.NEGATIVE_INFINITY],
    ['+294247-01-10T04:00:54.775Z', Number.POSITIVE_INFINITY],
    ['-4713-11-24T00:00:00Z', Number.NEGATIVE_INFINITY],
  ])('%s is %d', (text, expected) => {
    expect(micros(text)).toBe(expected);
  });

  it.each([
    '',
    'now',
    '2026-01-02',
    '2026-01-02T03:04:05',
    '2026-01-02 03:04:05Z',
    '2026-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z',
    '2026-00-10T00:00:00Z',
    '2026-13-10T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-32T00:00:00Z',
    '2026-01-02T24:00:00Z',
    '2026-01-02T03:60:00Z',
    '2026-01-02T03:04:60Z',
    '2026-01-02T03:04:05.Z',
    '2026-01-02T03:04:05.12',
    '2026-01-02T03:04:05.12x',
    '2026-01-02T03:04:05Zx',
    '2026-01-02T03:04:05+2',
    '2026-01-02T03:04:05+02:0',
    '2026-01-02T03:04:05+02x00',
    '2026-01-02T0a:04:05Z',
    '20a6-01-02T03:04:05Z',
    '2026/01-02T03:04:05Z',
    '__debezium_unavailable_value',
  ])('%j is no time', (text) => {
    expect(micros(text)).toBeNaN();
  });

  it('never throws and never loops on garbage', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(typeof parseMicros(bytes, 0, bytes.length)).toBe('number');
      }),
      { seed: 20260102, numRuns: 2000 },
    );
  });
});
