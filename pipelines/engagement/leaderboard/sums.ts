/** The figures of one content in one pane or window: integers, so that what is taken off is exactly what was added. */
import { SluiceError } from '../../../engine/errors.ts';
import type { Contribution } from './record.ts';

export interface Sums {
  events: number;
  plays: number;
  finishes: number;
  engagementMs: number;
  /** Events with a duration. */
  engagementSamples: number;
  pctBpSum: number;
  pctSamples: number;
}

/** Adds (sign 1) or takes off (sign −1) one contribution. */
export function contribute(sums: Sums, event: Contribution, sign: 1 | -1): void {
  sums.events += sign;
  if (event.eventType === 'play') sums.plays += sign;
  else if (event.eventType === 'finish') sums.finishes += sign;
  if (event.durationMs !== null) {
    sums.engagementMs += sign * event.durationMs;
    sums.engagementSamples += sign;
  }
  if (event.pctBp !== null) {
    sums.pctBpSum += sign * event.pctBp;
    sums.pctSamples += sign;
  }
}

/** Adds (sign 1) or takes off (sign −1) a whole pane. */
export function accumulate(sums: Sums, pane: Sums, sign: 1 | -1): void {
  sums.events += sign * pane.events;
  sums.plays += sign * pane.plays;
  sums.finishes += sign * pane.finishes;
  sums.engagementMs += sign * pane.engagementMs;
  sums.engagementSamples += sign * pane.engagementSamples;
  sums.pctBpSum += sign * pane.pctBpSum;
  sums.pctSamples += sign * pane.pctSamples;
}

/**
 * Whether nothing is left. Throws CHANGES_INCONSISTENT (fatal) when more was taken off than was ever added: the change log was
 * cut, or read from its middle, and a wrong figure must not be shown.
 */
export function isEmptied(sums: Sums, contentId: string): boolean {
  const negative =
    sums.events < 0 ||
    sums.plays < 0 ||
    sums.finishes < 0 ||
    sums.engagementMs < 0 ||
    sums.engagementSamples < 0 ||
    sums.pctBpSum < 0 ||
    sums.pctSamples < 0;
  const rest =
    sums.plays + sums.finishes + sums.engagementMs + sums.engagementSamples + sums.pctBpSum + sums.pctSamples;
  if (negative || (sums.events === 0 && rest !== 0) || !Number.isSafeInteger(rest)) {
    throw new SluiceError(
      `The changes of content ${contentId} take off what was never added; replay the stage from a complete change log`,
      { code: 'CHANGES_INCONSISTENT', action: 'fatal' },
    );
  }
  return sums.events === 0;
}

/** Average percent in basis points, rounded half up; null without samples. */
export function averagePctBp(sums: Sums): number | null {
  const { pctBpSum: sum, pctSamples: samples } = sums;
  if (samples === 0) return null;
  const rest = sum % samples;
  return (sum - rest) / samples + (2 * rest >= samples ? 1 : 0);
}
