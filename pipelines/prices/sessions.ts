/** When exchanges trade: from Monday to Friday, without holidays. */
import { zoneOf } from './exchanges.ts';
import { MINUTE_MS } from './intervals.ts';
import { Zone } from './zone.ts';

/** Minutes of the local day, the second one exclusive. */
type Hours = readonly (readonly [from: number, to: number])[];

const at = (hour: number, minute = 0): number => hour * 60 + minute;

const NEW_YORK: Hours = [[at(9, 30), at(16)]];
const HOURS: Readonly<Record<string, Hours>> = {
  NYSE: NEW_YORK,
  NASDAQ: NEW_YORK,
  LSE: [[at(8), at(16, 30)]],
  XETRA: [[at(9), at(17, 30)]],
  TSE: [
    [at(9), at(11, 30)],
    [at(12, 30), at(15, 30)],
  ],
  NSE: [[at(9, 15), at(15, 30)]],
  HKEX: [
    [at(9, 30), at(12)],
    [at(13), at(16)],
  ],
};

const DAYS_OF_WEEK = 7;

/** A day as `Zone.dayOf` counts them: the first one was a Thursday. */
export function isTradingDay(day: number): boolean {
  const sinceThursday = day % DAYS_OF_WEEK;
  return sinceThursday !== 2 && sinceThursday !== 3;
}

/** Whether an exchange of the listings trades in the minute that begins at `startMs`. */
export function isOpen(exchange: string, startMs: number): boolean {
  const zone = Zone.of(zoneOf(exchange));
  if (!isTradingDay(zone.dayOf(startMs))) return false;
  const minuteOfDay = Math.floor((startMs + zone.offsetMs(startMs)) / MINUTE_MS) % at(24);
  return (HOURS[exchange] ?? []).some(([from, to]) => from <= minuteOfDay && minuteOfDay < to);
}

/** The local day, as `Zone.dayOf` counts them, of the last session that has ended; of an exchange whose hours are not known, of the last trading day. */
export function lastSession(exchange: string, nowMs: number): number {
  const zone = Zone.of(zoneOf(exchange));
  const today = zone.dayOf(nowMs);
  const minuteOfDay = Math.floor((nowMs + zone.offsetMs(nowMs)) / MINUTE_MS) % at(24);
  const close = HOURS[exchange]?.at(-1)?.[1] ?? at(24);
  let day = minuteOfDay >= close ? today : today - 1;
  while (!isTradingDay(day)) day--;
  return day;
}
