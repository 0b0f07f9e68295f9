/** Other logic over the rows that are there: docs/replay.md, "Other logic of the enrichment". */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CDC_EVENTS, CHANGES } from '../../../pipelines/engagement/topics.ts';
import type { Crash } from '../../support/drive.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { add, type Checked, checkPositions, type Present } from './checks.ts';
import { changesOf, drive, type EnrichDriveOptions, presentOf, progressOf } from './harness.ts';
import { contents, crashes, history, ticks } from './histories.ts';
import { contribution, expected, join, limited } from './model.ts';
import type { ContentFields, EventFields, Op, Step } from './rows.ts';
import { Source } from './source.ts';

const ROWS = 25;
const WALK_ROWS = 4;
const policy = 'correct';
const partition = 0;
/** 80 %: a row of six seconds is 10 % of a minute, and 100 % of six seconds. */
const LIMIT = { edition: { logic: 1, revision: 1 }, rules: { maxPctBp: 8_000 } };
const LOWER = { edition: { logic: 1, revision: 2 }, rules: { maxPctBp: 500 } };
const NONE = { edition: { logic: 1, revision: 3 }, rules: { maxPctBp: null } };

const content = (lengthSeconds: number | null): ContentFields => {
  return { slug: 'a', title: 'One', contentType: 'video', lengthSeconds };
};
const fields: EventFields = {
  ...{ user: 1, eventType: 'play', when: { at: 'before', ms: 1_000 } },
  ...{ durationMs: 6_000, device: null, campaign: null },
};
const alone = (op: Op): Step => ({ do: op, together: false, waitMs: 10 });
const write = (id: number, to = 0): Step => alone({ op: 'write', id, content: to, fields });
const edit = (lengthSeconds: number): Step => alone({ op: 'edit', content: 0, fields: content(lengthSeconds) });
const heartbeat = alone({ op: 'heartbeat' });

let dir: string;
let log: MemoryLog;
let source: Source;

async function run(
  steps: Step[],
  options: Partial<Pick<EnrichDriveOptions, 'crashes' | 'probe' | 'walkRows' | 'edition' | 'rules'>> = {},
): Promise<number> {
  const how = { policy, partition, dir, crashes: [], maxRecords: 10, walkRows: WALK_ROWS } as const;
  return await drive({ log, source, steps, ticks: [{ steps: 1, rows: 1, clock: true }], ...how, ...options });
}

/** The rows are what Postgres says under the limit, and the signed sum of the changes. */
async function check(
  { log, source, partition }: Pick<Checked, 'log' | 'source' | 'partition'>,
  maxPctBp: number | null,
): Promise<void> {
  const sum: Present = new Map();
  for (const { key, change } of await changesOf(log, partition)) if (change.kind !== 'mark') add(change, key, sum);
  const present = await presentOf(log, partition);
  expect(sum).toEqual(present);
  const wanted = [...expected(source, partition).counted].map(([key, { row }]) => {
    const newest = source.versions[row.content]!.at(-1)!;
    return [key, contribution(limited(join(row, newest, newest), maxPctBp))] as const;
  });
  expect(new Map([...present].map(([key, event]) => [key, contribution(event)]))).toEqual(new Map(wanted));
}

const corrected = async () => (await changesOf(log, partition)).filter(({ change }) => change.kind === 'correct');

describe('a changed logic of enrichment', () => {
  beforeEach(async () => {
    dir = mkdtempSync(joinPath(tmpdir(), 'sluice-revision-'));
    log = new MemoryLog();
    source = new Source(log, [content(6), content(60), content(60), content(60)]);
    await run([...Array.from({ length: ROWS }, (_, id) => write(id)), heartbeat]);
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it.each(['worker', 'folder', 'log'] as const)(
    'makes every row anew once, crashed after each piece, with %s left',
    async (leaves) => {
      const at: Crash['at'][] = ['unknown', 'applied', 'after-produce', 'committed', 'before-produce', 'gathered'];
      const starts = await run([heartbeat], { ...LIMIT, crashes: at.map((one) => ({ at: one, after: 0, leaves })) });
      expect(starts).toBe(at.length + 1);
      const changes = await corrected();
      expect(changes).toHaveLength(ROWS);
      expect(new Set(changes.map(({ key }) => key)).size).toBe(ROWS);
      await check({ log, source, partition }, 8_000);
    },
  );

  it('says which change of the source a row is from, and stands at a mark itself', async () => {
    const before = await presentOf(log, partition);
    await run([heartbeat], LIMIT);
    for (const [key, event] of await presentOf(log, partition)) {
      expect(event).toEqual({ ...before.get(key), engagement_pct_bp: 8_000 });
    }
    const marks = new Map(
      (await changesOf(log, partition)).flatMap(({ change }) =>
        change.kind === 'mark' ? [[change.lsn, change.commit_ts] as const] : [],
      ),
    );
    for (const { change } of await corrected()) {
      expect(change.xid).toBe(0n);
      expect(marks.get(change.lsn)).toBe(change.commit_ts);
    }
  });

  it('leaves alone what it does not change, and says so only once', async () => {
    source.apply(write(ROWS + 1, 2));
    await run([heartbeat]);
    await run([heartbeat], LIMIT);
    expect(await corrected()).toHaveLength(ROWS);
    const transactions = log.records(CHANGES, partition).length;
    await run([heartbeat], LIMIT);
    expect(log.records(CHANGES, partition).length).toBe(transactions + 1);
    await check({ log, source, partition }, 8_000);
  });

  it('is bounded in each transaction and lets events, corrections and marks through in between', async () => {
    const sizes: number[] = [];
    let seen = log.records(CHANGES, partition).length;
    const probe: EnrichDriveOptions['probe'] = (step) => {
      if (step !== 'committed') return;
      const now = log.records(CHANGES, partition).length;
      sizes.push(now - seen);
      seen = now;
    };
    const steps = [heartbeat, write(ROWS), edit(5), heartbeat, write(0), heartbeat, heartbeat, heartbeat];
    await run([...steps], { ...LIMIT, probe });
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2 * WALK_ROWS + 2);
    const kinds = (await changesOf(log, partition)).slice(-seen).map(({ change: { kind } }) => kind);
    expect(kinds.indexOf('insert')).toBeLessThan(kinds.lastIndexOf('correct'));
    await check({ log, source, partition }, 8_000);
  });

  it('goes straight to the newest edition when another one comes before it has ended', async () => {
    // One life of the first limit: a piece or two, then it is gone.
    const crash: Crash = { at: 'applied', after: 1, leaves: 'folder' };
    const dies = run([heartbeat], {
      ...LIMIT,
      crashes: [crash],
      probe: (step) => {
        if (step === 'fenced' && (progressOf(log, partition)?.revision.pass ?? null) !== null) throw new Error('died');
      },
    });
    await expect(dies).rejects.toThrow('died');
    expect(progressOf(log, partition)?.revision).toMatchObject({ edition: LIMIT.edition, pass: { of: ROWS } });
    await run([heartbeat], LOWER);
    expect(progressOf(log, partition)?.revision).toEqual({ edition: LOWER.edition, pass: null });
    await check({ log, source, partition }, 500);
    await run([heartbeat], NONE);
    await check({ log, source, partition }, null);
  });

  it.each([
    ['rules', { logic: 1, revision: 0 }],
    ['code', { logic: 0, revision: 2 }],
  ])('is not undone by a worker with older %s', async (_, edition) => {
    await run([heartbeat], LIMIT);
    await expect(run([heartbeat], { ...LIMIT, edition })).rejects.toMatchObject({
      code: 'ENRICHMENT_OLDER',
      action: 'fatal',
    });
  });

  it('goes over all rows when the offset was reset by hand, since nobody knows then', async () => {
    await run([heartbeat], LIMIT);
    const offset = BigInt(log.records(CDC_EVENTS, partition).length);
    await log.membership('engagement.enrich').commit(1, { topic: CDC_EVENTS, partition }, { offset, metadata: '' });
    await run([heartbeat], LOWER);
    await check({ log, source, partition }, 500);
  });
});

const life = fc.record({
  ...{ crashes, ticks, history },
  ...{ maxRecords: fc.integer({ min: 1, max: 9 }), walkRows: fc.integer({ min: 1, max: 4 }) },
  maxPctBp: fc.constantFrom(null, 1, 5_000, 10_000),
});

it('keeps rows and sums right over any history of the source, of the logic and of crashes', async () => {
  const root = mkdtempSync(joinPath(tmpdir(), 'sluice-revision-'));
  let runs = 0;
  const property = fc.asyncProperty(contents, fc.array(life, { minLength: 2, maxLength: 3 }), async (fields, lives) => {
    const log = new MemoryLog();
    const source = new Source(log, fields);
    const folder = joinPath(root, String(runs++));
    for (const [index, { history: steps, maxPctBp, ...how }] of lives.entries()) {
      const logic = { edition: { logic: 1, revision: index }, rules: { maxPctBp } };
      const last: Step = { do: { op: 'heartbeat' }, together: false, waitMs: 1 };
      await drive({ log, source, steps: [...steps, last], partition, policy, dir: folder, ...how, ...logic });
      await check({ log, source, partition }, maxPctBp);
      // From the end of the pass on a snapshot finds the new logic alone.
      const since = 1n + newestXid(source);
      await drive({ log, source, steps: [...steps, last], partition, policy, dir: folder, ...how, ...logic });
      await check({ log, source, partition }, maxPctBp);
      checkPositions(await changesOf(log, partition), { source, partition }, { since, maxPctBp });
    }
  });
  try {
    await fc.assert(property, { seed: 20_260_203, numRuns: 20, endOnFailure: true });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}, 90_000);

function newestXid(source: Source): bigint {
  const xids = [...source.captured.flat(), ...source.versions.flat()].map(({ xid }) => xid);
  return xids.sort((a, b) => (a < b ? -1 : 1)).at(-1) ?? 0n;
}
