import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatLsn, parseLsn } from '../../../connectors/postgres/lsn.ts';
import { scramVerifier } from '../../../connectors/postgres/scram.ts';
import { sluiceTypes } from '../../../connectors/postgres/types.ts';

const text = (oid: number, value: string): unknown => sluiceTypes.getTypeParser(oid, 'text')(value);

describe('log sequence numbers', () => {
  it('reads and writes the text form', () => {
    expect(parseLsn('16/B374D848')).toBe(0x16b374d848n);
    expect(formatLsn(0x16b374d848n)).toBe('16/B374D848');
    expect(parseLsn('FFFFFFFF/FFFFFFFF')).toBe(0xffffffffffffffffn);
  });

  it('survives a round trip, whatever the position', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (lsn) => parseLsn(formatLsn(lsn)) === lsn),
      { seed: 1 },
    );
  });

  it.each(['', '16', '16/', '/1', 'G/1', '1/123456789'])('refuses %j', (bad) => {
    expect(() => parseLsn(bad)).toThrow(TypeError);
  });
});

describe('values from Postgres', () => {
  it('keeps every digit of an int8', () => {
    expect(text(20, '9223372036854775807')).toBe(9223372036854775807n);
    expect(text(1016, '{1,NULL,9007199254740993}')).toEqual([1n, null, 9007199254740993n]);
    expect(text(1016, '{}')).toEqual([]);
  });

  it('leaves timestamps and numerics as text, and int4 a number', () => {
    expect(text(1184, '2026-01-02 03:04:05.678901+00')).toBe('2026-01-02 03:04:05.678901+00');
    expect(text(1700, '0.10000000000000000001')).toBe('0.10000000000000000001');
    expect(text(23, '42')).toBe(42);
  });
});

describe('the SCRAM verifier', () => {
  it('is the one that Postgres stores for the same salt', () => {
    // Made by Postgres 18: CREATE ROLE r PASSWORD 'pencil', read back from pg_authid.
    const verifier = scramVerifier('pencil', Buffer.from('NHFIIZE1tJGpCNcGPTBAgw==', 'base64'));
    expect(verifier).toBe(
      'SCRAM-SHA-256$4096:NHFIIZE1tJGpCNcGPTBAgw==$BvpDlqDLQI0UClD0mPnoHaPwJxYFjTKsVeVDSwNS8Ek=:/VwEB+7XKYeU2g7JX7PCw22KO7DcLxZ6nBk4NhCPXMo=',
    );
  });
});
