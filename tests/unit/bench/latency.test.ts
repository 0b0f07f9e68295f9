import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Latencies, StampTracker } from '../../../scripts/bench/latency.ts';

describe('Latencies', () => {
  it('is null without weight and exact for one span', () => {
    const latencies = new Latencies();
    expect(latencies.summary()).toBeNull();
    latencies.addSpan(100, 200);
    expect(latencies.summary()).toEqual({ p50Ms: 149, p95Ms: 194, p99Ms: 198, maxMs: 199, meanMs: 150 });
  });

  it('says what sorting all latencies says', () => {
    const span = fc.tuple(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 1, max: 500 }));
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 30 }), (spans) => {
        const latencies = new Latencies();
        const all: number[] = [];
        for (const [from, length] of spans) {
          latencies.addSpan(from, from + length);
          for (let ms = from; ms < from + length; ms += 1) all.push(ms);
        }
        all.sort((a, b) => a - b);
        const rank = (share: number) => all[Math.ceil(all.length * share) - 1]!;
        const { p50Ms, p95Ms, p99Ms, maxMs } = latencies.summary()!;
        expect([p50Ms, p95Ms, p99Ms, maxMs]).toEqual([rank(0.5), rank(0.95), rank(0.99), all.at(-1)]);
      }),
      { seed: 8, numRuns: 200 },
    );
  });
});

describe('StampTracker', () => {
  it('weighs commits and not looks: one late look over a long span outweighs many quick ones', () => {
    const tracker = new StampTracker();
    tracker.begin(0);
    tracker.observe(0, 1_000, 1_010);
    for (let stamp = 1_010; stamp <= 1_100; stamp += 10) tracker.observe(0, stamp, stamp + 10);
    // The commits of the next second all become visible at once, two seconds later.
    tracker.observe(0, 2_100, 4_100);
    const { p50Ms, p95Ms } = tracker.latencies.summary()!;
    expect(p50Ms).toBeGreaterThan(2_000);
    expect(p95Ms).toBeGreaterThan(2_900);
  });

  it('counts each commit of the measured time once, and none of before or after', () => {
    const stamps = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 30 })), {
      minLength: 2,
      maxLength: 40,
    });
    fc.assert(
      fc.property(stamps, fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 300 }), (moves, from, length) => {
        const tracker = new StampTracker();
        tracker.begin(from);
        tracker.end(from + length);
        const expected: number[] = [];
        let stamp = 0;
        let seen = 0;
        tracker.observe(3, 0, 0);
        for (const [step, wait] of moves) {
          const before = stamp;
          stamp += step;
          seen = Math.max(seen, stamp) + wait;
          tracker.observe(3, stamp, seen);
          for (let commit = before + 1; commit <= stamp; commit += 1) {
            if (commit >= from && commit < from + length) expected.push(seen - commit);
          }
        }
        const summary = tracker.latencies.summary();
        expect(summary === null).toBe(expected.length === 0);
        if (summary === null) return;
        expect(summary.maxMs).toBe(Math.max(...expected));
        expect(summary.meanMs).toBe(Math.round(expected.reduce((sum, ms) => sum + ms, 0) / expected.length));
      }),
      { seed: 9, numRuns: 300 },
    );
  });

  it('keeps partitions apart, and a stamp that stands still or falls back adds nothing', () => {
    const tracker = new StampTracker();
    tracker.begin(0);
    tracker.observe(0, 100, 100);
    tracker.observe(1, 500, 500);
    tracker.observe(0, 100, 900);
    tracker.observe(0, 90, 900);
    expect(tracker.latencies.summary()).toBeNull();
    expect(tracker.oldest).toBe(100);
    tracker.observe(0, 101, 151);
    expect(tracker.latencies.summary()).toMatchObject({ p50Ms: 50, maxMs: 50 });
  });
});
