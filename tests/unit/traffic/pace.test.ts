import { describe, expect, it } from 'vitest';
import { Pace } from '../../../scripts/generate/pace.ts';

/** A pace whose clock the test moves; `make` makes all that is due, `max` at a time, and says how many in each batch. */
function paced(rate: number, seconds: number) {
  const clock = { ms: 1_000_000 };
  const pace = new Pace({ rate, seconds }, () => clock.ms);
  const make = (max = 5_000) => {
    const batches: number[] = [];
    for (let due = pace.due(max); due > 0; due = pace.due(max)) {
      pace.made(due);
      batches.push(due);
    }
    return batches;
  };
  return { clock, pace, make };
}

describe('the pace of traffic', () => {
  it('has one batch due for each twentieth of a second, however often it is asked', () => {
    const { clock, make } = paced(10_000, 1);
    const batches: number[][] = [];
    for (let ms = 0; ms < 200; ms++) {
      batches.push(make());
      clock.ms++;
    }
    expect(batches.flat()).toEqual([500, 500, 500]);
  });

  it('has all due in the end, also what the last tick does not come to', () => {
    const { clock, pace, make } = paced(999, 0.33);
    clock.ms += 320;
    expect(make()).toEqual([299]);
    clock.ms += 20;
    expect(make()).toEqual([30]);
    expect([pace.timeIsOver, make()]).toEqual([true, []]);
  });

  it('keeps to the size of a batch', () => {
    const { clock, make } = paced(100_000, 0);
    clock.ms += 130;
    expect(make(4_000)).toEqual([4_000, 4_000, 2_000]);
  });

  it('makes up for a stall of a second at most', () => {
    const { clock, make } = paced(100, 0);
    clock.ms += 10_000;
    expect(make()).toEqual([100]);
    clock.ms += 50;
    expect(make()).toEqual([5]);
  });

  it('is as fast as it can without a rate, until the time is over', () => {
    const { clock, pace } = paced(0, 2);
    expect(pace.due(5_000)).toBe(5_000);
    clock.ms += 2_000;
    expect(pace.due(5_000)).toBe(0);
  });
});
