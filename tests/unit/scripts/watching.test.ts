import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watching } from '../../../scripts/reconcile/watching.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('says every ten seconds what a comparison is at, and nothing of a short one', () => {
  const lines: string[] = [];
  const { watch, end } = watching((line) => lines.push(line));
  vi.advanceTimersByTime(10_000);
  watch('waiting until candles have passed the position');
  vi.advanceTimersByTime(9_999);
  expect(lines).toEqual([]);
  vi.advanceTimersByTime(1);
  watch('comparing the public topic of candles', { done: 120, of: 4_000, unit: 'stocks' });
  watch('comparing the public topic of candles', { done: 240, of: 4_000, unit: 'stocks' });
  vi.advanceTimersByTime(20_000);
  end();
  vi.advanceTimersByTime(60_000);
  expect(lines).toEqual([
    'waiting until candles have passed the position (20 s)',
    'comparing the public topic of candles, 240 of 4000 stocks (30 s)',
    'comparing the public topic of candles, 240 of 4000 stocks (40 s)',
  ]);
});
