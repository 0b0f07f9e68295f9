/** The leaderboards of engagement in Redis: which boards there are, and what a record of the topic means for them. */
import type { BoardOperation, LeaderboardSpec, MapRecord } from '../../connectors/redis/operations.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LeaderboardRecord } from '../../schemas/engagement/leaderboard-record.ts';
import { METRICS } from './leaderboard/record.ts';
import { WINDOWS, type WindowSpec } from './leaderboard/windows.ts';

const DAY_SECONDS = 86_400;

/** Kept without writes: long enough for an outage over a weekend, and never shorter than the window. */
function ttlSeconds({ sizeMs }: WindowSpec): number {
  return 3 * DAY_SECONDS + Math.floor(sizeMs / 1_000 / DAY_SECONDS) * DAY_SECONDS;
}

/** Fields of a content's hash, in the order of `valuesOf`. */
const FIELDS = [
  'slug',
  'title',
  'content_type',
  'events',
  'plays',
  'finishes',
  'engagement_ms',
  'engagement_samples',
  'pct_bp_sum',
  'pct_samples',
  'avg_pct_bp',
] as const;

/** Name and hash tag of a window's leaderboard. */
export function leaderboardName(window: string): string {
  return `engagement:${window}`;
}

/** One leaderboard for each window, with a board for each metric. */
export function leaderboardSpecs(windows: readonly WindowSpec[]): readonly LeaderboardSpec[] {
  return windows.map((window) => ({
    name: leaderboardName(window.name),
    boards: METRICS,
    fields: FIELDS,
    ttlSeconds: ttlSeconds(window),
  }));
}

/** Those of the first variant. */
export const ENGAGEMENT_LEADERBOARDS = leaderboardSpecs(WINDOWS);

/** What a record of `engagement.leaderboards` means. Throws UNDECODABLE (dead-letter) for a tombstone with a strange key. */
export const mapLeaderboardRecord: MapRecord<LeaderboardRecord> = (record): BoardOperation => {
  if (record.kind === 'tombstone') return mapTombstone(record.key);
  const { window, body } = record.value;
  const leaderboard = leaderboardName(window);
  switch (body.kind) {
    case 'LeaderboardEntry':
      return {
        kind: 'entry',
        leaderboard,
        member: body.content_id,
        scores: [
          body.ranked_events ? body.events : null,
          body.ranked_seconds ? body.engagement_ms / 1000 : null,
          body.ranked_avg_pct && body.avg_pct_bp !== null ? body.avg_pct_bp / 100 : null,
        ],
        values: FIELDS.map((field) => body[field]),
      };
    case 'LeaderboardAsOf': {
      const { stream_time, window_start, window_end, source_lsn, changes_offset } = body;
      const fields = { stream_time, window_start, window_end, source_lsn, changes_offset };
      return { kind: 'stamp', leaderboard, fields };
    }
    default:
      throw body satisfies never;
  }
};

function mapTombstone(key: Uint8Array): BoardOperation {
  const text = Buffer.from(key).toString();
  const cut = text.indexOf('|');
  if (cut > 0 && cut < text.length - 1) {
    return { kind: 'remove', leaderboard: leaderboardName(text.slice(0, cut)), member: text.slice(cut + 1) };
  }
  throw new SluiceError(`'${text}' is no key of a leaderboard entry`, { code: 'UNDECODABLE', action: 'dead-letter' });
}
