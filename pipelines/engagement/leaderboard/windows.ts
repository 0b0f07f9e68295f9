/**
 * Sliding windows built of panes. With stream time T in pane [p, p + pane), a window covers the panes from p + pane − size
 * to p: aligned to the Unix epoch, so that SQL can say the same.
 */

export type WindowName = '10m' | '1h' | '1d' | '1w';

export interface WindowSpec {
  readonly name: WindowName;
  readonly sizeMs: number;
  /** Divides `sizeMs`. */
  readonly paneMs: number;
}

/** Milliseconds since the epoch: `start` inclusive, `end` exclusive. */
export interface WindowBounds {
  readonly start: number;
  readonly end: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const WINDOWS: readonly WindowSpec[] = [
  { name: '10m', sizeMs: 10 * MINUTE, paneMs: 10 * SECOND },
  { name: '1h', sizeMs: HOUR, paneMs: MINUTE },
  { name: '1d', sizeMs: DAY, paneMs: 15 * MINUTE },
  { name: '1w', sizeMs: 7 * DAY, paneMs: 2 * HOUR },
];

/** Start (ms) of the pane that holds a time in milliseconds. */
export function paneOfMillis(window: WindowSpec, timeMs: number): number {
  return Math.floor(timeMs / window.paneMs) * window.paneMs;
}

/** Start (ms) of the pane that holds a time in microseconds. */
export function paneOfMicros(window: WindowSpec, timeMicros: number): number {
  return Math.floor(timeMicros / (window.paneMs * 1_000)) * window.paneMs;
}

/** What the window covers at a stream time. */
export function boundsAt(window: WindowSpec, streamTimeMs: number): WindowBounds {
  const end = paneOfMillis(window, streamTimeMs) + window.paneMs;
  return { start: end - window.sizeMs, end };
}
