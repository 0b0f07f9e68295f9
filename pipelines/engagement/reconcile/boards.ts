/**
 * Every board of Redis against Postgres, at the board's own as-of: the window that its stamps name, the rows of the snapshot,
 * plus what each partition has counted beyond it, less what it has not counted yet.
 */

import { formatLsn } from '../../../connectors/postgres/lsn.ts';
import type { BoardPlace, BoardReader, BoardReading } from '../../../connectors/redis/reader.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';
import type { Findings } from '../../operations/reconcile/report.ts';
import { addSums, NO_SUMS, type Sums, sumsOf } from './measures.ts';
import type { ExplainedRow } from './rows.ts';
import { nameText, type Source } from './source.ts';
import { untilWarehouseWrote } from './wait.ts';
import type { Warehouse } from './warehouse.ts';

/** A window of the boards by its name. */
export type BoardWindow = string;

export interface WindowRule {
  readonly name: BoardWindow;
  readonly sizeMs: number;
  /** What its end is a multiple of. */
  readonly paneMs: number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;

const WINDOWS: readonly WindowRule[] = [
  { name: '10m', sizeMs: 10 * MINUTE_MS, paneMs: 10_000 },
  { name: '1h', sizeMs: 60 * MINUTE_MS, paneMs: MINUTE_MS },
  { name: '1d', sizeMs: DAY_MS, paneMs: 15 * MINUTE_MS },
  { name: '1w', sizeMs: 7 * DAY_MS, paneMs: 120 * MINUTE_MS },
];

export const METRIC_NAMES = ['events', 'seconds', 'avg_pct'] as const;
export type BoardMetric = (typeof METRIC_NAMES)[number];

/** By which rules the boards were made; a change of them is rolled out by npm run replay. */
export interface BoardRules {
  /** Places of a board. */
  readonly limit: number;
  /** Percent samples a content needs to be ranked by its average. */
  readonly minSamples: number;
  readonly windows: readonly WindowRule[];
}

export const DEFAULT_BOARDS: BoardRules = { limit: 100, minSamples: 10, windows: WINDOWS };

/** A content of which a board says something wrong. */
export interface PlaceDifference {
  readonly contentId: string;
  /** It should not be there at all. */
  readonly stray: boolean;
}

/** What a board should say of one content. */
export interface Standing {
  readonly contentId: string;
  /** In units of the metric's integer: events, milliseconds, basis points. */
  readonly units: bigint;
  readonly score: number;
  readonly fields: Readonly<Record<string, string | undefined>>;
}

export interface BoardStamp {
  readonly startMs: number;
  readonly endMs: number;
  readonly counted: ReadonlyMap<number, bigint>;
}

export interface BoardsComparison {
  readonly source: Source;
  readonly warehouse: Warehouse;
  readonly reader: BoardReader;
  readonly partitions: number;
  readonly rules: BoardRules;
  readonly explained: readonly ExplainedRow[];
  readonly deadline: Deadline;
  readonly findings: Findings<PlaceDifference>;
}

/** Compares the boards of one window; returns how far they had counted. */
export async function compareWindow(
  comparison: BoardsComparison,
  window: WindowRule,
): Promise<ReadonlyMap<number, bigint>> {
  const sums = new Map<string, ReadonlyMap<string, Sums>>();
  const counted = new Map<number, bigint>();
  const boards: { metric: BoardMetric; reading: BoardReading; stamp: BoardStamp }[] = [];
  for (const metric of METRIC_NAMES) {
    const board = { metric, ...(await settledReading(comparison, window, metric)) };
    boards.push(board);
    // The later reading has counted as much or more.
    for (const [partition, offset] of board.stamp.counted) counted.set(partition, offset);
  }
  await untilWarehouseWrote(comparison.warehouse, counted, comparison.deadline);
  for (const board of boards) {
    const { startMs, endMs } = board.stamp;
    const bounds = `${startMs}-${endMs}`;
    // The three boards of a window nearly always stand at the same pane.
    const atSnapshot = sums.get(bounds) ?? (await comparison.source.contentSums(startMs, endMs));
    sums.set(bounds, atSnapshot);
    await compareBoard(comparison, { window: window.name, ...board, atSnapshot });
  }
  return counted;
}

/** Reads a board until all partitions stand at the same window, which is one of the rule, and have passed the snapshot. */
async function settledReading(
  { reader, partitions, rules, source, deadline }: BoardsComparison,
  { name: window, sizeMs, paneMs }: WindowRule,
  metric: BoardMetric,
): Promise<{ reading: BoardReading; stamp: BoardStamp }> {
  const { lsn } = source.position;
  return await until(deadline, {
    ask: async () => await reader.top(`engagement:${window}`, metric, rules.limit * partitions),
    done: (reading) => {
      const stamp = stampOf(reading, { partitions, lsn });
      if (stamp === null || stamp.endMs - stamp.startMs !== sizeMs || stamp.endMs % paneMs !== 0) return null;
      return { reading, stamp };
    },
    missing: ({ stamps }) =>
      Array.from({ length: partitions }, (_, partition) => {
        const { source_lsn, window_start, window_end } = stamps.get(partition) ?? {};
        const at =
          source_lsn === undefined
            ? 'no stamp'
            : `at ${formatLsn(BigInt(source_lsn))}, window from ${window_start} to ${window_end}`;
        return `Redis ${window} ${metric}, partition ${partition}: ${at}, wanted ${formatLsn(lsn)}`;
      }).join('; '),
  });
}

/** The common as-of of all partitions; null while there is none, or one has not passed `lsn`. */
export function stampOf(
  { stamps }: Pick<BoardReading, 'stamps'>,
  wanted: { readonly partitions: number; readonly lsn: bigint },
): BoardStamp | null {
  const counted = new Map<number, bigint>();
  let bounds: { startMs: number; endMs: number } | null = null;
  for (let partition = 0; partition < wanted.partitions; partition++) {
    const { source_lsn, changes_offset, window_start, window_end } = stamps.get(partition) ?? {};
    if (source_lsn === undefined || changes_offset === undefined || BigInt(source_lsn) < wanted.lsn) return null;
    const mine = { startMs: Number(window_start), endMs: Number(window_end) };
    bounds ??= mine;
    if (bounds.startMs !== mine.startMs || bounds.endMs !== mine.endMs) return null;
    counted.set(partition, BigInt(changes_offset));
  }
  return bounds === null ? null : { ...bounds, counted };
}

interface OneBoard {
  readonly window: BoardWindow;
  readonly metric: BoardMetric;
  readonly reading: BoardReading;
  readonly stamp: BoardStamp;
  readonly atSnapshot: ReadonlyMap<string, Sums>;
}

async function compareBoard(comparison: BoardsComparison, board: OneBoard): Promise<void> {
  const { source, warehouse, explained, findings, rules } = comparison;
  const { window, metric, reading, stamp } = board;
  const sums = new Map(board.atSnapshot);
  const add = (contentId: string, more: Sums, sign: 1n | -1n) =>
    sums.set(contentId, addSums(sums.get(contentId) ?? NO_SUMS, more, sign));
  const beyond = await warehouse.contentSumsBeyond(stamp, stamp.counted);
  for (const [contentId, more] of beyond) add(contentId, more.sums, 1n);
  for (const { postgres, pipeline } of explained) {
    if (isInside(stamp, postgres)) add(postgres!.contentId, sumsOf(postgres!), -1n);
    if (isInside(stamp, pipeline)) add(pipeline!.contentId, sumsOf(pipeline!), 1n);
  }
  const standings = new Map(
    [...sums].flatMap(([id, of]) => {
      const standing = standingOf(metric, id, of, rules);
      return standing === null ? [] : [[id, standing] as const];
    }),
  );
  const expected = [...standings.values()].sort(byRank).slice(0, rules.limit);
  const names = await source.names(expected.map(({ contentId }) => contentId));
  findings.bucketsCompared++;
  findings.rowsCompared += expected.length;
  const bucket = `${window} ${metric}`;
  const { limit } = rules;
  compareTop({ bucket, findings, limit, places: reading.places, expected });
  comparePlaces({
    bucket,
    findings,
    limit,
    places: reading.places,
    standings,
    namesOf: (id) => namesOf(id, names, beyond.get(id)),
  });
}

function isInside(stamp: BoardStamp, row: ExplainedRow['postgres']): boolean {
  if (row === null || row.eventMicros === null) return false;
  return row.eventMicros >= BigInt(stamp.startMs) * 1_000n && row.eventMicros < BigInt(stamp.endMs) * 1_000n;
}

/** Null: not on the board. */
export function standingOf(
  metric: BoardMetric,
  contentId: string,
  sums: Sums,
  { minSamples }: Pick<BoardRules, 'minSamples'>,
): Standing | null {
  const [events, plays, , finishes, , ms, samples, pctSum, pctSamples] = sums as readonly [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  const average = pctSamples === 0n ? null : (2n * pctSum + pctSamples) / (2n * pctSamples);
  const fields = {
    events: String(events),
    plays: String(plays),
    finishes: String(finishes),
    engagement_ms: String(ms),
    engagement_samples: String(samples),
    pct_bp_sum: String(pctSum),
    pct_samples: String(pctSamples),
    avg_pct_bp: average === null ? undefined : String(average),
  };
  switch (metric) {
    case 'events':
      return events > 0n ? { contentId, units: events, score: Number(events), fields } : null;
    case 'seconds':
      return samples > 0n ? { contentId, units: ms, score: Number(ms) / 1_000, fields } : null;
    case 'avg_pct':
      return average !== null && pctSamples >= BigInt(minSamples)
        ? { contentId, units: average, score: Number(average) / 100, fields }
        : null;
    default:
      return metric satisfies never;
  }
}

/** Score descending, ties by content id descending. */
export function byRank(a: Standing, b: Standing): number {
  if (a.units !== b.units) return a.units > b.units ? -1 : 1;
  return a.contentId > b.contentId ? -1 : 1;
}

interface BoardParts {
  readonly bucket: string;
  readonly findings: Findings<PlaceDifference>;
  readonly limit: number;
  readonly places: readonly BoardPlace[];
}

const showPlace = (rank: number, score: number) => `place ${rank + 1}, score ${score}`;

/** The first hundred: who is on the board, in which order. */
function compareTop({
  bucket,
  findings,
  limit,
  places,
  expected,
}: BoardParts & { readonly expected: readonly Standing[] }): void {
  const found = new Map(places.slice(0, limit).map((place, rank) => [place.member, { rank, score: place.score }]));
  expected.forEach(({ contentId, score }, rank) => {
    const is = found.get(contentId);
    found.delete(contentId);
    if (is !== undefined && is.rank === rank && is.score === score) return;
    const sink = is === undefined ? null : showPlace(is.rank, is.score);
    const place = { bucket, row: `content ${contentId}`, postgres: showPlace(rank, score), sink };
    findings.differs(place, { contentId, stray: false });
  });
  for (const [contentId, { rank, score }] of found) {
    const place = { bucket, row: `content ${contentId}`, postgres: null, sink: showPlace(rank, score) };
    findings.differs(place, { contentId, stray: true });
  }
}

/** Figures and names of whoever is on the board; behind the first hundred also the score. */
function comparePlaces({
  bucket,
  findings,
  limit,
  places,
  standings,
  namesOf,
}: BoardParts & {
  readonly standings: ReadonlyMap<string, Standing>;
  readonly namesOf: (contentId: string) => ReadonlySet<string> | null;
}): void {
  places.forEach(({ member, score, fields }, rank) => {
    const wanted = standings.get(member);
    const row = `content ${member}`;
    const subject = { contentId: member, stray: false };
    if (wanted === undefined) {
      if (rank < limit) return;
      findings.differs(
        { bucket, row, postgres: null, sink: showPlace(rank, score) },
        { contentId: member, stray: true },
      );
      return;
    }
    if (rank >= limit && wanted.score !== score) {
      findings.differs({ bucket, row, postgres: `score ${wanted.score}`, sink: `score ${score}` }, subject);
    }
    const wrong = Object.entries(wanted.fields).filter(([name, value]) => fields[name] !== value);
    if (wrong.length > 0) {
      const show = (of: (name: string) => string | undefined) => wrong.map(([name]) => `${name}=${of(name)}`).join(' ');
      findings.differs({ bucket, row, postgres: show((n) => wanted.fields[n]), sink: show((n) => fields[n]) }, subject);
    }
    const names = namesOf(member);
    const name = nameText(fields.slug ?? '', fields.title ?? '', fields.content_type ?? '');
    if (names !== null && !names.has(name)) {
      findings.differs({ bucket, row, postgres: [...names].join(' or '), sink: name }, subject);
    }
  });
}

/** What the content may be called: as in the snapshot, or as in a change beyond it. Null: not looked up. */
function namesOf(
  contentId: string,
  names: ReadonlyMap<string, string>,
  beyond: { readonly names: ReadonlySet<string> } | undefined,
): ReadonlySet<string> | null {
  const name = names.get(contentId);
  if (name === undefined) return null;
  return beyond === undefined ? new Set([name]) : new Set([name, ...beyond.names]);
}
