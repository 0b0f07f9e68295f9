/** Histories of engagement events, and what the same history means to a plain, slow model: its rows, grouped by loops. */
import fc from 'fast-check';
import type { SinkRecord } from '../../engine/sink.ts';
import type { ChangeRow, EventRow } from '../../pipelines/engagement/clickhouse-rows.ts';

/** One step of a history. Which step is possible depends on what is there: see `changesOf`. */
export interface Step {
  readonly event: number;
  readonly content: number;
  readonly what: 'upsert' | 'delete' | 'move' | 'correct' | 'mark';
  readonly eventType: 'play' | 'pause' | 'finish' | 'click';
  /** Microseconds. */
  readonly eventTs: number;
  readonly durationMs: number | null;
  readonly device: string | null;
}

export const START_MS = Date.UTC(2026, 0, 25);

export const contentId = (index: number) => `018f0000-0000-7000-8000-${String(index).padStart(12, '0')}`;
const userId = (index: number) => `018f1111-0000-7000-8000-${String(index).padStart(12, '0')}`;
const TYPES = ['podcast', 'newsletter', 'video'] as const;

/** Days around the ends of months, weeks and years, so that steps cross every kind of bucket. */
const eventTs = fc
  .tuple(
    fc.constantFrom('2026-01-31T23:59:59Z', '2026-02-01T00:00:00Z', '2025-12-29T00:00:00Z', '2026-03-15T11:30:00Z'),
    fc.integer({ min: -200_000_000, max: 200_000_000 }),
  )
  .map(([at, micros]) => Date.parse(at) * 1_000 + micros);

export const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    event: fc.integer({ min: 1, max: 6 }),
    content: fc.integer({ min: 0, max: 2 }),
    what: fc.constantFrom('upsert', 'upsert', 'upsert', 'delete', 'move', 'correct', 'mark'),
    eventType: fc.constantFrom('play', 'pause', 'finish', 'click'),
    eventTs,
    durationMs: fc.option(fc.integer({ min: 0, max: 7_200_000 })),
    device: fc.option(fc.constantFrom('ios', 'android', 'web\twith\ttabs\\', '\\N', '')),
  }),
  { minLength: 1, maxLength: 40 },
);

interface Content {
  readonly title: string;
  readonly lengthSeconds: number | null;
}

function eventOf(step: Step, content: number, { title, lengthSeconds }: Content): EventRow {
  const known = step.durationMs !== null && lengthSeconds !== null && lengthSeconds !== 0;
  return {
    // Above 2^53, where a number would no longer tell neighbours apart.
    event_id: 9_007_199_254_740_992n + BigInt(step.event),
    content_id: contentId(content),
    user_id: userId(step.event),
    event_type: step.eventType,
    event_ts: step.eventTs,
    duration_ms: step.durationMs,
    device: step.device,
    duration_ms_wide: null,
    extra: step.device === null ? null : JSON.stringify({ seen_on: step.device }),
    content_slug: `content-${content}`,
    content_title: title,
    content_type: TYPES[content % 3]!,
    content_length_seconds: lengthSeconds,
    content_length_seconds_wide: null,
    engagement_pct_bp: known ? Math.floor((step.durationMs! * 10) / lengthSeconds! + 0.5) : null,
  };
}

export interface History {
  readonly records: readonly SinkRecord<ChangeRow>[];
  /** The rows that are there in the end. */
  readonly rows: readonly EventRow[];
}

/** Plays the steps: what is impossible (delete nothing) is left out. Offsets have gaps, as control records leave them. */
export function play(history: readonly Step[]): History {
  const rows = new Map<number, { event: EventRow; step: Step; content: number }>();
  const contents: Content[] = [0, 1, 2].map((index) => ({
    title: `Title ${index}`,
    lengthSeconds: [600, null, 0][index]!,
  }));
  const records: SinkRecord<ChangeRow>[] = [];
  let tick = 0;
  const emit = (kind: ChangeRow['kind'], before: EventRow | null, after: EventRow | null) => {
    const value = { kind, lsn: 10_000n + BigInt(tick), xid: 7n, commit_ts: START_MS + tick * 1_000, before, after };
    records.push({ kind: 'upsert', offset: BigInt(tick + Math.floor(tick / 5)), key: null, value });
    tick += 1;
  };
  const put = (step: Step, content: number) => {
    const old = rows.get(step.event)?.event ?? null;
    const event = eventOf(step, content, contents[content]!);
    rows.set(step.event, { event, step, content });
    emit(old === null ? 'insert' : 'update', old, event);
  };
  const remove = (event: number) => {
    const old = rows.get(event);
    if (old === undefined) return;
    rows.delete(event);
    emit('delete', old.event, null);
  };
  for (const step of history) {
    switch (step.what) {
      case 'upsert':
        put(step, rows.get(step.event)?.content ?? step.content);
        break;
      case 'move':
        remove(step.event);
        put(step, step.content);
        break;
      case 'delete':
        remove(step.event);
        break;
      case 'correct': {
        contents[step.content] = { title: `Title ${step.content} of ${tick}`, lengthSeconds: 60 + (tick % 7) };
        for (const row of [...rows.values()].filter(({ content }) => content === step.content)) {
          const event = eventOf(row.step, row.content, contents[row.content]!);
          rows.set(row.step.event, { ...row, event });
          emit('correct', row.event, event);
        }
        break;
      }
      case 'mark':
        emit('mark', null, null);
        break;
      default:
        step.what satisfies never;
    }
  }
  return { records, rows: [...rows.values()].map(({ event }) => event) };
}

/** A fixed history of about `length` changes, for tests that need no randomness. */
export function fixedHistory(length: number): History {
  const history: Step[] = [];
  for (let seed = 1; play(history).records.length < length; seed += 1) {
    history.push(...fc.sample(steps, { seed, numRuns: 1 })[0]!);
  }
  return play(history);
}

export type Bucket = 'hour' | 'day' | 'week';

/** Start of the bucket, UTC, ISO text as ClickHouse prints it. */
function bucketOf(bucket: Bucket, micros: number): string {
  const at = new Date(Math.floor(micros / 1_000));
  if (bucket === 'hour') return `${at.toISOString().slice(0, 13).replace('T', ' ')}:00:00`;
  if (bucket === 'week') at.setUTCDate(at.getUTCDate() - ((at.getUTCDay() + 6) % 7));
  return at.toISOString().slice(0, 10);
}

export interface Sums {
  events: number;
  plays: number;
  pauses: number;
  finishes: number;
  clicks: number;
  duration_ms_sum: number;
  duration_samples: number;
  pct_bp_sum: number;
  pct_samples: number;
}

/** Figures of the rows by bucket, content, type and device, sorted by that key. */
export function rollup(rows: readonly EventRow[], bucket: Bucket): readonly (Sums & { readonly key: string })[] {
  const groups = new Map<string, Sums>();
  for (const row of rows) {
    const key = JSON.stringify([bucketOf(bucket, row.event_ts), row.content_id, row.content_type, row.device]);
    const sums = groups.get(key) ?? {
      events: 0,
      plays: 0,
      pauses: 0,
      finishes: 0,
      clicks: 0,
      duration_ms_sum: 0,
      duration_samples: 0,
      pct_bp_sum: 0,
      pct_samples: 0,
    };
    groups.set(key, sums);
    sums.events += 1;
    if (row.event_type === 'play') sums.plays += 1;
    if (row.event_type === 'pause') sums.pauses += 1;
    if (row.event_type === 'finish') sums.finishes += 1;
    if (row.event_type === 'click') sums.clicks += 1;
    if (row.duration_ms !== null) {
      sums.duration_ms_sum += row.duration_ms;
      sums.duration_samples += 1;
    }
    if (row.engagement_pct_bp !== null) {
      sums.pct_bp_sum += row.engagement_pct_bp;
      sums.pct_samples += 1;
    }
  }
  return [...groups].map(([key, sums]) => ({ key, ...sums })).sort((a, b) => (a.key < b.key ? -1 : 1));
}
