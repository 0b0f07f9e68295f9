import { describe, expect, it } from 'vitest';
import {
  boundsAt,
  paneOfMicros,
  paneOfMillis,
  WINDOWS,
  windowOf,
} from '../../../pipelines/engagement/leaderboard/windows.ts';

const at = (text: string) => Date.parse(text);
const named = (name: string) => WINDOWS.find((window) => window.name === name)!;

describe('windows', () => {
  it.each([
    ['10m', '2026-03-01T11:50:10Z', '2026-03-01T12:00:10Z'],
    ['1h', '2026-03-01T11:01:00Z', '2026-03-01T12:01:00Z'],
    ['1d', '2026-02-28T12:15:00Z', '2026-03-01T12:15:00Z'],
    ['1w', '2026-02-22T14:00:00Z', '2026-03-01T14:00:00Z'],
  ])('%s covers whole panes up to the end of the present one', (name, start, end) => {
    expect(boundsAt(named(name), at('2026-03-01T12:00:03.456Z'))).toEqual({ start: at(start), end: at(end) });
  });

  it('starts a new pane exactly at its start', () => {
    expect(boundsAt(named('10m'), 10_000).end).toBe(20_000);
    expect(boundsAt(named('10m'), 9_999).end).toBe(10_000);
  });

  it('puts microseconds and milliseconds into the same pane, up to the year 2200', () => {
    for (const window of WINDOWS) {
      expect(window.sizeMs % window.paneMs).toBe(0);
      for (const time of [0, 1_767_225_599_999, at('2199-12-31T23:59:59.999Z')]) {
        expect(paneOfMicros(window, time * 1_000 + 999)).toBe(paneOfMillis(window, time));
      }
    }
  });
});

describe('a window given as text', () => {
  it.each([
    ['1h', { name: '1h', sizeMs: 3_600_000, paneMs: 60_000 }],
    ['6h/5m', { name: '6h', sizeMs: 21_600_000, paneMs: 300_000 }],
    ['1w/1h', { name: '1w', sizeMs: 604_800_000, paneMs: 3_600_000 }],
    ['90m/90m', { name: '90m', sizeMs: 5_400_000, paneMs: 5_400_000 }],
  ])('%s', (text, window) => {
    expect(windowOf(text)).toEqual(window);
  });

  it.each([
    ['6h', /give it as/],
    ['', /give it as/],
    ['6h/5x', /give it as/],
    ['30s/1s', /give it as/],
    ['0h/1m', /give it as/],
    ['6h/7m', /does not divide/],
    ['9d/1d', /more than 8 days/],
    ['1d/1m', /more than 1000 panes/],
  ])('not %s', (text, problem) => {
    expect(windowOf(text)).toMatch(problem);
  });
});
