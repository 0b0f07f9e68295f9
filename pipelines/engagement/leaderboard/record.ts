/** Records that the leaderboard reads and writes; field names of the outputs are those of the Avro schema. */
import type { WindowName } from './windows.ts';

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

export interface LeaderboardEntry {
  readonly content_id: string;
  readonly slug: string;
  readonly title: string;
  readonly content_type: string;
  readonly events: number;
  readonly plays: number;
  readonly finishes: number;
  readonly engagement_ms: number;
  /** Events with a duration. */
  readonly engagement_samples: number;
  readonly pct_bp_sum: number;
  readonly pct_samples: number;
  readonly avg_pct_bp: number | null;
  readonly ranked_events: boolean;
  readonly ranked_seconds: boolean;
  readonly ranked_avg_pct: boolean;
}

export interface LeaderboardAsOf {
  readonly partition: number;
  readonly stream_time: number;
  readonly window_start: number;
  readonly window_end: number;
  /** LSN of the last mark counted: everything committed before it and of this partition is in. 0 before the first. */
  readonly source_lsn: bigint;
  /** The next offset of the changes not yet counted. */
  readonly changes_offset: bigint;
}

export type LeaderboardBody =
  | { readonly kind: 'entry'; readonly entry: LeaderboardEntry }
  | { readonly kind: 'as-of'; readonly asOf: LeaderboardAsOf };

export interface LeaderboardRecord {
  readonly window: WindowName;
  readonly body: LeaderboardBody;
}

/** One record for the compacted topic; a tombstone says that the content is on no board of the window any more. */
export type LeaderboardOutput =
  | { readonly kind: 'upsert'; readonly key: string; readonly value: LeaderboardRecord }
  | { readonly kind: 'tombstone'; readonly key: string };

/** `window|content id`; with an empty content id the key of the window's as-of stamp. */
export function leaderboardKey(window: WindowName, contentId: string): string {
  return `${window}|${contentId}`;
}
