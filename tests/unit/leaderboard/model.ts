/** The plain, slow, obviously right leaderboard: every board from the live rows, by brute force. */
import type { Contribution, LeaderboardChange } from '../../../pipelines/engagement/leaderboard/record.ts';
import type { WindowSpec } from '../../../pipelines/engagement/leaderboard/windows.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';

export interface ModelOptions {
  readonly windows: readonly WindowSpec[];
  readonly limit: number;
  readonly minSamples: number;
}

interface Named {
  readonly slug: string;
  readonly title: string;
  readonly contentType: string;
}

/** What the compacted output must hold after these changes. */
export function expectedOutput(
  changes: readonly LeaderboardChange[],
  options: ModelOptions,
): Map<string, LeaderboardRecord> {
  const output = new Map<string, LeaderboardRecord>();
  if (changes.length === 0) return output;
  const rows = liveRows(changes);
  const names = new Map<string, Named>();
  for (const { after } of changes) if (after !== null) names.set(after.contentId, after);
  const streamTime = Math.max(...changes.map(({ commitTs }) => commitTs));
  const marks = changes.filter(({ kind }) => kind === 'mark').map(({ lsn }) => lsn);
  for (const { name, paneMs, sizeMs } of options.windows) {
    const end = (Math.floor(streamTime / paneMs) + 1) * paneMs;
    const start = end - sizeMs;
    const inside = rows.filter(({ eventTsMicros: ts }) => ts >= start * 1000 && ts < end * 1000);
    for (const entry of rank(inside, names, options)) {
      output.set(`${name}|${entry.content_id}`, { window: name, body: entry });
    }
    const asOf = {
      kind: 'LeaderboardAsOf' as const,
      partition: 3,
      stream_time: streamTime,
      window_start: start,
      window_end: end,
      source_lsn: marks.at(-1) ?? 0n,
      changes_offset: BigInt(changes.length),
    };
    output.set(`${name}|`, { window: name, body: asOf });
  }
  return output;
}

function liveRows(changes: readonly LeaderboardChange[]): readonly Contribution[] {
  const rows: Contribution[] = [];
  for (const { before, after } of changes) {
    if (before !== null) {
      const found = rows.findIndex((row) => JSON.stringify(row) === JSON.stringify(before));
      if (found < 0) throw new Error('the history takes off a row that is not there');
      rows.splice(found, 1);
    }
    if (after !== null) rows.push(after);
  }
  return rows;
}

function rank(rows: readonly Contribution[], names: Map<string, Named>, options: ModelOptions) {
  const figures = [...new Set(rows.map(({ contentId }) => contentId))].map((id) => {
    const own = rows.filter(({ contentId }) => contentId === id);
    const durations = own.flatMap(({ durationMs }) => (durationMs === null ? [] : [durationMs]));
    const percents = own.flatMap(({ pctBp }) => (pctBp === null ? [] : [pctBp]));
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    return {
      kind: 'LeaderboardEntry' as const,
      content_id: id,
      slug: names.get(id)!.slug,
      title: names.get(id)!.title,
      content_type: names.get(id)!.contentType,
      events: own.length,
      plays: own.filter(({ eventType }) => eventType === 'play').length,
      finishes: own.filter(({ eventType }) => eventType === 'finish').length,
      engagement_ms: sum(durations),
      engagement_samples: durations.length,
      pct_bp_sum: sum(percents),
      pct_samples: percents.length,
      avg_pct_bp: percents.length === 0 ? null : Math.floor(sum(percents) / percents.length + 0.5),
    };
  });
  type Figures = (typeof figures)[number];
  const best = (scoreOf: (row: Figures) => number | null): ReadonlySet<string> =>
    new Set(
      figures
        .flatMap((row) => {
          const score = scoreOf(row);
          return score === null ? [] : [{ id: row.content_id, score }];
        })
        .sort((a, b) => b.score - a.score || (a.id < b.id ? 1 : -1))
        .slice(0, options.limit)
        .map(({ id }) => id),
    );
  const byEvents = best(({ events }) => events);
  const bySeconds = best((row) => (row.engagement_samples > 0 ? row.engagement_ms : null));
  const byAverage = best((row) => (row.pct_samples >= options.minSamples ? row.avg_pct_bp : null));
  return figures
    .map((row) => ({
      ...row,
      ranked_events: byEvents.has(row.content_id),
      ranked_seconds: bySeconds.has(row.content_id),
      ranked_avg_pct: byAverage.has(row.content_id),
    }))
    .filter((row) => row.ranked_events || row.ranked_seconds || row.ranked_avg_pct);
}
