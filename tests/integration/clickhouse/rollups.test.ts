/** P1 and P2: whatever happens to events, rows and rollups equal the naive answer over the rows that are left. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SinkBatch } from '../../../engine/sink.ts';
import { type ChangeRow, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import {
  type EngagementDatabase,
  engagementDatabase,
  expectedFigures,
  readFigures,
} from '../../support/engagement-figures.ts';
import { type History, play, type Step, steps } from '../../support/engagement-model.ts';

const AT = { topic: 'engagement.changes', partition: 0 };
const STORES = [
  'engagement_events_store',
  'engagement_hourly_store',
  'engagement_daily_store',
  'engagement_weekly_store',
];

/** What happens to one batch on its way. */
type Fate = 'once' | 'twice' | 'crash after' | 'merge';

let server: TestClickHouse;
let database: EngagementDatabase;

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'rollups');
}, 60_000);
afterAll(async () => {
  await database?.close();
  await server?.stop();
}, 60_000);

const newSink = () => engagementClickHouseSink({ name: 'rollups.sink', config: database.config });

/** Cuts the records into batches of the given sizes; a range ends where the next begins. */
function cut({ records }: History, sizes: readonly number[], generation: number): readonly SinkBatch<ChangeRow>[] {
  const batches: SinkBatch<ChangeRow>[] = [];
  let at = 0;
  let from = 0n;
  for (let turn = 0; at < records.length; turn += 1) {
    const slice = records.slice(at, at + sizes[turn % sizes.length]!);
    at += slice.length;
    const to = records[at]?.offset ?? slice.at(-1)!.offset + 1n;
    batches.push({ ...AT, from, to, generation, records: slice });
    from = to;
  }
  return batches;
}

async function deliver(batches: readonly SinkBatch<ChangeRow>[], fates: readonly Fate[]): Promise<void> {
  let sink = newSink();
  try {
    for (const [index, batch] of batches.entries()) {
      await sink.write(batch, { retry: false });
      switch (fates[index % fates.length]) {
        case 'twice':
          await sink.write(batch, { retry: true });
          break;
        case 'crash after':
          await sink.close();
          sink = newSink();
          await sink.write(batch, { retry: true });
          break;
        case 'merge':
          for (const table of STORES) await database.client.command({ query: `OPTIMIZE TABLE ${table} FINAL` });
          break;
        default:
      }
    }
  } finally {
    await sink.close();
  }
}

const step = (event: number, what: Step['what'], at: string, rest: Partial<Step> = {}): Step => ({
  event,
  what,
  eventTs: Date.parse(at) * 1_000,
  content: 0,
  eventType: 'play',
  durationMs: 1_000,
  device: 'ios',
  ...rest,
});

describe('rows and rollups', { timeout: 60_000 }, () => {
  it('equal the model for random histories, cuts, repeats, crashes, merges and replays', async () => {
    const run = fc.record({
      history: steps,
      sizes: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 4 }),
      fates: fc.array(fc.constantFrom<Fate>('once', 'once', 'twice', 'crash after', 'merge'), {
        minLength: 1,
        maxLength: 5,
      }),
      replay: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(run, async ({ history, sizes, fates, replay }) => {
        await database.reset();
        const played = play(history);
        await deliver(cut(played, sizes, 1), fates);
        if (replay) await deliver(cut(played, [...sizes].reverse(), 2), fates);
        expect(await readFigures(database.client)).toEqual(expectedFigures(played.rows));
      }),
      { seed: 20_260_131, numRuns: 20 },
    );
  }, 240_000);

  const cases: readonly (readonly [string, readonly Step[]])[] = [
    [
      'an event that moves to another month and back',
      [
        step(1, 'upsert', '2026-01-31T23:59:59Z'),
        step(1, 'upsert', '2026-02-01T00:00:00Z'),
        step(1, 'upsert', '2026-01-31T23:59:58Z'),
        step(2, 'upsert', '2026-01-31T10:00:00Z'),
        step(2, 'upsert', '2026-02-02T10:00:00Z'),
      ],
    ],
    [
      'a delete and a new insert of the same key',
      [
        step(1, 'upsert', '2026-02-01T00:00:00Z'),
        step(1, 'delete', '2026-02-01T00:00:00Z'),
        step(1, 'upsert', '2026-03-01T00:00:00Z', { durationMs: null, device: null }),
      ],
    ],
    [
      'an event that moves to another content',
      [step(1, 'upsert', '2026-02-01T00:00:00Z'), step(1, 'move', '2026-02-01T00:00:00Z', { content: 2 })],
    ],
    [
      'a correction of a content with several events',
      [
        step(1, 'upsert', '2026-02-01T00:00:00Z'),
        step(2, 'upsert', '2026-01-01T00:00:00Z', { eventType: 'finish' }),
        step(1, 'correct', '2026-02-01T00:00:00Z'),
      ],
    ],
    [
      'the first instant there is',
      [step(1, 'upsert', '1970-01-01T00:00:00.000Z'), step(2, 'upsert', '1970-01-01T00:25:00.250Z')],
    ],
  ];
  for (const cutSize of [1, 100]) {
    it.each(cases)(`show %s, in batches of ${cutSize}`, async (_, history) => {
      await database.reset();
      const played = play(history);
      await deliver(cut(played, [cutSize], 1), ['once', 'merge']);
      expect(await readFigures(database.client)).toEqual(expectedFigures(played.rows));
    });
  }
});
