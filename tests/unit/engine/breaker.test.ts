import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Breaker } from '../../../engine/breaker.ts';

const MAX_DELAY_MS = 10_000;

/** A breaker in virtual time. `random` 1 gives the longest delays. */
function setUp(random = () => 1) {
  const clock = { now: 5_000 };
  return { clock, breaker: new Breaker({ now: () => clock.now, random }) };
}

function fail(breaker: Breaker, times: number, who = 'a'): void {
  for (let i = 0; i < times; i++) breaker.failed(who, 'AWAY');
}

describe('a breaker', () => {
  it('stays closed for a few failures, and a success forgets them', () => {
    const { breaker } = setUp();
    fail(breaker, 4);
    expect(breaker.admit('a')).toBe(0);
    breaker.succeeded();
    fail(breaker, 4);
    expect(breaker.state).toBe('closed');
    fail(breaker, 1);
    expect(breaker.state).toBe('open');
  });

  it('opens for fewer failures that have lasted for long', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 1);
    clock.now += 9_999;
    fail(breaker, 1);
    expect(breaker.state).toBe('closed');
    clock.now += 1;
    fail(breaker, 1);
    expect(breaker.state).toBe('open');
    expect(breaker.outage).toEqual({ failures: 3, lastCode: 'AWAY', forMs: 10_000 });
  });

  it('lets one in when the delay is over, and doubles the delay up to its limit while that one fails', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 5);
    const delays: number[] = [];
    for (let i = 0; i < 8; i++) {
      const wait = breaker.admit('a');
      delays.push(wait);
      clock.now += wait - 1;
      expect(breaker.admit('a')).toBe(1);
      clock.now += 1;
      expect(breaker.admit('b')).toBe(0);
      expect(breaker.state).toBe('half-open');
      expect(breaker.admit('a')).toBeGreaterThan(0);
      expect(breaker.admit('b')).toBe(0);
      breaker.failed('b', 'AWAY');
      expect(breaker.state).toBe('open');
    }
    expect(delays).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
    clock.now += MAX_DELAY_MS;
    expect(breaker.admit('a')).toBe(0);
    breaker.succeeded();
    expect(breaker.outage).toBeNull();
    fail(breaker, 5);
    expect(breaker.admit('a')).toBe(500);
  });

  it('closes for a try that was under way when it opened, and is not opened further by one', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 5);
    clock.now += 400;
    breaker.failed('late', 'AWAY');
    expect(breaker.admit('a')).toBe(100);
    breaker.succeeded();
    expect(breaker.admit('a')).toBe(0);
  });

  it('lets another in after one that showed nothing', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 5);
    clock.now += 500;
    expect(breaker.admit('a')).toBe(0);
    breaker.released('b');
    expect(breaker.admit('b')).toBeGreaterThan(0);
    breaker.released('a');
    expect(breaker.admit('b')).toBe(0);
  });

  it('adds up the time that it was not closed', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 5);
    clock.now += 700;
    expect(breaker.openMs).toBe(700);
    breaker.succeeded();
    clock.now += 50_000;
    expect(breaker.openMs).toBe(700);
    fail(breaker, 5);
    clock.now += 300;
    expect(breaker.openMs).toBe(1_000);
  });

  it('keeps its invariants whatever happens', () => {
    const who = fc.constantFrom('a', 'b', 'c');
    const event = fc.oneof(
      fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 6_000 }) }),
      fc.record({ kind: fc.constantFrom('ask' as const, 'fail' as const, 'succeed' as const, 'end' as const), who }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), fc.double({ min: 0, max: 1, noNaN: true }), (events, random) => {
        const { breaker, clock } = setUp(() => random);
        /** Who was let in and has not said how it went. */
        const inside = new Set<string>();
        /** Since it left `closed`. */
        const probes = new Set<string>();
        for (const one of events) {
          if (one.kind === 'wait') {
            clock.now += one.ms;
            continue;
          }
          if (one.kind === 'ask') {
            if (inside.has(one.who)) continue;
            const wait = breaker.admit(one.who);
            expect(wait).toBeLessThanOrEqual(MAX_DELAY_MS);
            if (wait > 0) continue;
            inside.add(one.who);
            if (breaker.state !== 'closed') probes.add(one.who);
            expect(probes.size).toBeLessThanOrEqual(1);
            continue;
          }
          if (!inside.delete(one.who)) continue;
          if (one.kind === 'fail') {
            const closed = breaker.state === 'closed';
            breaker.failed(one.who, 'AWAY');
            if (!closed && probes.has(one.who)) expect(breaker.admit('d')).toBeGreaterThan(0);
          } else if (one.kind === 'succeed') breaker.succeeded();
          else breaker.released(one.who);
          probes.delete(one.who);
          if (breaker.state === 'closed') {
            probes.clear();
            expect(breaker.admit('d')).toBe(0);
            breaker.released('d');
          }
        }
      }),
      { seed: 5, numRuns: 500 },
    );
  });
});
