/** What the leaderboard reads and publishes. */
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';

export type Metric = 'events' | 'seconds' | 'avg_pct';

/** In the order of their bits and scores. */
export const METRICS: readonly Metric[] = ['events', 'seconds', 'avg_pct'];

/** What one event contributes, or contributed. */
export interface Contribution {
  readonly contentId: string;
  readonly eventType: string;
  readonly eventTsMicros: number;
  readonly durationMs: number | null;
  /** Percent of the content's length in basis points. */
  readonly pctBp: number | null;
  readonly slug: string;
  readonly title: string;
  readonly contentType: string;
}

export interface LeaderboardChange {
  readonly kind: 'insert' | 'update' | 'delete' | 'correct' | 'mark';
  readonly lsn: bigint;
  /** Source commit time, ms. */
  readonly commitTs: number;
  readonly before: Contribution | null;
  readonly after: Contribution | null;
}

/** One record for the compacted topic; a tombstone says that the content is on no board of the window any more. */
export type LeaderboardOutput =
  | { readonly kind: 'upsert'; readonly key: string; readonly value: LeaderboardRecord }
  | { readonly kind: 'tombstone'; readonly key: string };

/** `window|content id`; with an empty content id the key of the window's as-of stamp. */
export function leaderboardKey(window: string, contentId: string): string {
  return `${window}|${contentId}`;
}
