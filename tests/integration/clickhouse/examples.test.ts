/** The queries of sql/clickhouse/examples, run on a small data set that came through the real sink; answers worked out by hand. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SinkRecord } from '../../../engine/sink.ts';
import {
  type ChangeRow,
  type EventRow,
  engagementClickHouseSink,
} from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { clickHousePanels } from '../../support/dashboards.ts';
import { CLICKHOUSE_SQL, type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';

const EXAMPLES = join(CLICKHOUSE_SQL, 'examples');
const COMMIT_MS = Date.UTC(2026, 1, 10, 12);

const id = (index: number) => `018f0000-0000-7000-8000-${String(index).padStart(12, '0')}`;

const CONTENTS = {
  pod: {
    content_id: id(1),
    content_slug: 'pod',
    content_title: 'Pod',
    content_type: 'podcast',
    content_length_seconds: 600,
  },
  mail: {
    content_id: id(2),
    content_slug: 'mail',
    content_title: 'Mail',
    content_type: 'newsletter',
    content_length_seconds: null,
  },
  film: {
    content_id: id(3),
    content_slug: 'film',
    content_title: 'Film',
    content_type: 'video',
    content_length_seconds: 200,
  },
} as const;

type Line = readonly [
  event: number,
  content: keyof typeof CONTENTS,
  user: number,
  type: string,
  at: string,
  seconds: number | null,
  device: string | null,
];

function event([number, content, user, type, at, seconds, device]: Line): EventRow {
  const length = CONTENTS[content].content_length_seconds;
  return {
    event_id: BigInt(number),
    user_id: id(1_000 + user),
    event_type: type,
    event_ts: Date.parse(at) * 1_000,
    duration_ms: seconds === null ? null : seconds * 1_000,
    device,
    duration_ms_wide: null,
    extra: null,
    content_length_seconds_wide: null,
    engagement_pct_bp: seconds === null || length === null ? null : (seconds * 10_000) / length,
    ...CONTENTS[content],
  };
}

/** Monday 2 February 2026 to Tuesday 10 February 2026: two ISO weeks. */
const LINES: readonly Line[] = [
  [1, 'pod', 1, 'play', '2026-02-02T08:10:00Z', 300, 'ios'], // 50 %
  [2, 'pod', 2, 'play', '2026-02-02T08:50:00Z', 600, 'web'], // 100 %
  [3, 'pod', 2, 'finish', '2026-02-02T09:00:00Z', null, 'web'],
  [4, 'mail', 1, 'click', '2026-02-03T07:00:00Z', 30, 'ios'],
  [5, 'film', 3, 'play', '2026-02-03T20:00:00Z', 50, null], // 25 %
  [6, 'film', 3, 'pause', '2026-02-03T20:01:00Z', null, null],
  [7, 'pod', 1, 'play', '2026-02-09T08:00:00Z', 150, 'ios'], // 25 %
  [8, 'film', 1, 'play', '2026-02-10T20:30:00Z', 100, 'web'], // 50 %
  [9, 'film', 2, 'play', '2026-02-10T20:40:00Z', 999, 'web'], // deleted below
];
const CHANGED: Line = [5, 'film', 3, 'play', '2026-02-03T20:00:00Z', 200, null]; // 25 % becomes 100 %

function changes(): readonly SinkRecord<ChangeRow>[] {
  const events = LINES.map(event);
  const changed = event(CHANGED);
  const renamed = { ...events[3]!, content_title: 'Mail, renamed' };
  const values: readonly Pick<ChangeRow, 'kind' | 'before' | 'after'>[] = [
    ...events.map((after) => ({ kind: 'insert' as const, before: null, after })),
    { kind: 'update', before: events[4]!, after: changed },
    { kind: 'delete', before: events[8]!, after: null },
    { kind: 'correct', before: events[3]!, after: renamed },
    { kind: 'mark', before: null, after: null },
  ];
  return values.map((value, index) => ({
    kind: 'upsert',
    offset: BigInt(index),
    key: null,
    value: { ...value, lsn: 500n + BigInt(index), xid: 1n, commit_ts: COMMIT_MS + index * 1_000 },
  }));
}

const PERIOD = { from: '2026-02-02', to: '2026-02-16' };

interface Answer {
  readonly params?: Readonly<Record<string, string | number>>;
  readonly rows: readonly (readonly unknown[])[];
}

const ANSWERS: Readonly<Record<string, Answer>> = {
  '01_top_content.sql': {
    params: PERIOD,
    rows: [
      ['Pod', 'podcast', 3, 1_050, 58.33],
      ['Film', 'video', 2, 300, 75],
      ['Mail, renamed', 'newsletter', 0, 30, null],
    ],
  },
  '02_daily_trend.sql': {
    params: PERIOD,
    rows: [
      ['2026-02-02', 'podcast', 3, 2, 900],
      ['2026-02-03', 'newsletter', 1, 0, 30],
      ['2026-02-03', 'video', 2, 1, 200],
      ['2026-02-09', 'podcast', 1, 1, 150],
      ['2026-02-10', 'video', 1, 1, 100],
    ],
  },
  '03_week_over_week.sql': {
    rows: [
      ['newsletter', '2026-02-02', 0, null, null],
      ['podcast', '2026-02-02', 2, null, null],
      ['podcast', '2026-02-09', 1, 2, -50],
      ['video', '2026-02-02', 1, null, null],
      ['video', '2026-02-09', 1, 1, 0],
    ],
  },
  '04_finish_rate.sql': {
    rows: [
      ['2026-02-02', 'newsletter', 0, 0, null],
      ['2026-02-02', 'podcast', 2, 1, 0.5],
      ['2026-02-02', 'video', 1, 0, 0],
      ['2026-02-09', 'podcast', 1, 0, 0],
      ['2026-02-09', 'video', 1, 0, 0],
    ],
  },
  '05_device_share.sql': {
    params: PERIOD,
    // Of 8 events and 1,380 seconds.
    rows: [
      ['ios', 3, 37.5, 34.8],
      ['web', 3, 37.5, 50.7],
      [null, 2, 25, 14.5],
    ],
  },
  '06_hours_of_the_week.sql': {
    params: { from: '2026-02-02 00:00:00', to: '2026-02-16 00:00:00' },
    rows: [
      [1, 8, 3],
      [2, 20, 2],
    ],
  },
  '07_engagement_distribution.sql': {
    rows: [
      ['newsletter', 1, 0, null, null],
      ['podcast', 4, 3, 50, 100],
      ['video', 3, 2, 100, 100],
    ],
  },
  '08_returning_users.sql': {
    rows: [
      ['2026-02-02', 2, 0],
      ['2026-02-03', 2, 1],
      ['2026-02-09', 1, 1],
      ['2026-02-10', 1, 1],
    ],
  },
  '09_history_of_an_event.sql': {
    params: { event: 5 },
    rows: [
      ['insert', 1, 'play', 50_000, 'Film', '2026-02-10 12:00:04.000'],
      ['update', -1, 'play', 50_000, 'Film', '2026-02-10 12:00:09.000'],
      ['update', 1, 'play', 200_000, 'Film', '2026-02-10 12:00:09.000'],
    ],
  },
  '10_freshness.sql': {
    rows: [['examples.sink', 1, '2026-02-10 12:00:12.000', 512, 13]],
  },
};

let server: TestClickHouse;
let database: EngagementDatabase;

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'examples');
  const sink = engagementClickHouseSink({ name: 'examples.sink', config: database.config });
  const records = changes();
  const batch = {
    topic: 'engagement.changes',
    partition: 0,
    from: 0n,
    to: BigInt(records.length),
    generation: 1,
    records,
  };
  await sink.write(batch, { retry: false });
  await sink.close();
}, 60_000);
afterAll(async () => {
  await database?.close();
  await server?.stop();
}, 60_000);

describe('examples', { timeout: 30_000 }, () => {
  it('are ten, and each has an answer', () => {
    const files = readdirSync(EXAMPLES)
      .filter((name) => name.endsWith('.sql'))
      .sort();
    expect(files).toEqual(Object.keys(ANSWERS));
    expect(files).toHaveLength(10);
  });

  it.each(Object.entries(ANSWERS))('%s', async (file, { params, rows }) => {
    const result = await database.client.query({
      query: readFileSync(join(EXAMPLES, file), 'utf8').replace(/;\s*$/, ''),
      query_params: params ?? {},
      format: 'JSONCompactEachRow',
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
    });
    expect(await result.json()).toEqual(rows);
  });
});

/** Candles are in another test's database. */
const EMPTY_HERE = /prices_/;

it.each(clickHousePanels())('the panel of Grafana "$title" runs', async ({ sql }) => {
  // As of a day that has data.
  const query = sql.replaceAll(/now(64)?\([^)]*\)/g, "toDateTime64('2026-02-10 12:00:00', 3, 'UTC')");
  const result = await database.client.query({ query, format: 'JSONCompactEachRow' });
  const rows = await result.json();
  if (EMPTY_HERE.test(sql)) expect(rows).toEqual([]);
  else expect(rows.length).toBeGreaterThan(0);
});
