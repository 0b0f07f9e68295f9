/**
 * Sliding windows built of panes. With stream time T in pane [p, p + pane), a window covers the panes from p + pane − size
 * to p: aligned to the Unix epoch, so that SQL can say the same.
 */

export interface WindowSpec {
  /** A number and m, h, d or w: its size. */
  readonly name: string;
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

const UNITS: Readonly<Record<string, number>> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

/** Changes are kept for nine days: the window, and the day that an event may be dated ahead. */
const MAX_SIZE_MS = 8 * DAY;
/** What a window costs is by its panes. */
const MAX_PANES = 1_000;

function millisOf(text: string): number | null {
  const [, count, unit] = /^([1-9]\d{0,4})([smhdw])$/.exec(text) ?? [];
  return unit === undefined ? null : Number(count) * UNITS[unit]!;
}

/** A window given as `size/pane` (`6h/5m`), or by the name of one of `WINDOWS`; a text says what is wrong with it. */
export function windowOf(text: string): WindowSpec | string {
  const known = WINDOWS.find(({ name }) => name === text);
  if (known !== undefined) return known;
  const [name = '', pane] = text.split('/');
  const [sizeMs, paneMs] = [millisOf(name), millisOf(pane ?? '')];
  if (sizeMs === null || paneMs === null || !/[mhdw]$/.test(name)) return `${text} is no window: give it as 6h/5m`;
  if (sizeMs > MAX_SIZE_MS) return `${name} is more than 8 days: the changes of earlier events are gone`;
  if (sizeMs % paneMs !== 0) return `${pane} does not divide ${name}`;
  if (sizeMs / paneMs > MAX_PANES) return `${text} has more than ${MAX_PANES} panes`;
  return { name, sizeMs, paneMs };
}

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
