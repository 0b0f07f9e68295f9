import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backoffMs, pause, withDeadline } from '../../../engine/backoff.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('backoff', () => {
  const limits = { firstMs: 50, maxMs: 5_000 };

  it('doubles up to the limit, and random takes off at most half', () => {
    const of = (random: number) =>
      [0, 1, 2, 5, 8, 60, 2_000].map((failures) => backoffMs(failures, limits, () => random));
    expect(of(1)).toEqual([50, 100, 200, 1_600, 5_000, 5_000, 5_000]);
    expect(of(0)).toEqual([25, 50, 100, 800, 2_500, 2_500, 2_500]);
  });
});

describe('pause', () => {
  it('ends after its time, or at once when the signal fires or has fired', async () => {
    const ended: string[] = [];
    void pause(100).then(() => ended.push('time'));
    const abort = new AbortController();
    void pause(1_000_000, abort.signal).then(() => ended.push('signal'));
    await vi.advanceTimersByTimeAsync(99);
    expect(ended).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toEqual(['time']);
    abort.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(ended).toEqual(['time', 'signal']);
    await pause(1_000_000, abort.signal);
  });
});

describe('withDeadline', () => {
  it('gives the result or the error of what ends in time, and leaves no timer', async () => {
    expect(await withDeadline(Promise.resolve(3), 1_000, () => new Error('late'))).toBe(3);
    await expect(withDeadline(Promise.reject(new Error('own')), 1_000, () => new Error('late'))).rejects.toThrow('own');
  });

  it('rejects when the time is over, and not before', async () => {
    const never = Promise.withResolvers<void>();
    let error: unknown = null;
    const waiting = withDeadline(never.promise, 1_000, () => new Error('late')).catch((late: unknown) => {
      error = late;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(error).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    await waiting;
    expect(error).toMatchObject({ message: 'late' });
  });
});
