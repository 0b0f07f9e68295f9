import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TaskStep } from '../../../engine/stage-task.ts';
import { CDC_EVENTS, CHANGES } from '../../../pipelines/engagement/topics.ts';
import type { Crash } from '../../support/drive.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { checkPartition } from './checks.ts';
import { changesOf, drive, type EnrichDriveOptions } from './harness.ts';
import type { ContentFields, Op, Step } from './rows.ts';
import { Source } from './source.ts';

const ROWS = 25;
const WALK_ROWS = 4;
const policy = 'correct';
const partition = 0;

const content = (lengthSeconds: number | null, title = 'One'): ContentFields => {
  return { slug: 'a', title, contentType: 'video', lengthSeconds };
};
const fields = {
  user: 1,
  eventType: 'play',
  when: { at: 'before', ms: 1_000 },
  durationMs: 6_000,
  device: null,
  campaign: null,
} as const;
const alone = (op: Op): Step => ({ do: op, together: false, waitMs: 10 });
const write = (id: number): Step => alone({ op: 'write', id, content: 0, fields });
const edit = (to: ContentFields): Step => alone({ op: 'edit', content: 0, fields: to });
const heartbeat = alone({ op: 'heartbeat' });

let dir: string;
let log: MemoryLog;
let source: Source;

async function run(
  steps: Step[],
  options: Partial<Pick<EnrichDriveOptions, 'crashes' | 'probe' | 'walkRows'>> = {},
): Promise<number> {
  const ticks = [{ steps: 1, rows: 1, clock: true }];
  const how = { policy, partition, dir, ticks, crashes: [], maxRecords: 10, walkRows: WALK_ROWS } as const;
  return await drive({ log, source, steps, ...how, ...options });
}

const corrections = async () => (await changesOf(log, partition)).filter(({ change }) => change.kind === 'correct');

describe("the walk over a changed content's rows", () => {
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-walk-'));
    log = new MemoryLog();
    source = new Source(log, [content(60), content(60), content(60), content(60)]);
    await run([...Array.from({ length: ROWS }, (_, id) => write(id)), heartbeat]);
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it.each(['worker', 'folder', 'log'] as const)(
    'goes on behind the piece that was committed, crashed after each, with %s left',
    async (leaves) => {
      const crash = (at: Crash['at']): Crash => ({ at, after: 0, leaves });
      const crashes = [
        crash('unknown'),
        crash('applied'),
        crash('after-produce'),
        crash('committed'),
        crash('applied'),
      ];
      const starts = await run([edit(content(30)), heartbeat], { crashes });
      expect(starts).toBe(crashes.length + 1);
      const corrected = (await corrections()).map(({ key }) => key);
      expect(corrected).toHaveLength(ROWS);
      expect(new Set(corrected).size).toBe(ROWS);
      await checkPartition({ log, source, partition, policy });
    },
  );

  it('needs one life for each piece when every life ends after its first transaction', async () => {
    source.apply(edit(content(30)));
    const crashes = new Array<Crash>(6).fill({ at: 'applied', after: 0, leaves: 'folder' });
    const ends: number[] = [];
    let turns = 0;
    const probe = (step: TaskStep) => {
      if (step === 'fenced') ends.push(log.records(CHANGES, partition).length);
      // One turn does the clock and the piece. A lost cursor costs more: rows that are corrected already are walked again.
      if (step === 'gathered' && ends.length <= crashes.length) turns++;
    };
    await run([heartbeat], { crashes, probe });
    expect(ends.map((end) => end - ends[0]!)).toEqual([0, 4, 8, 12, 16, 20, 24]);
    expect(turns).toBe(crashes.length);
    await checkPartition({ log, source, partition, policy });
  });

  it('is bounded in each transaction and lets live events through in between', async () => {
    const sizes: number[] = [];
    let seen = log.records(CHANGES, partition).length;
    const probe = (step: TaskStep) => {
      if (step !== 'committed') return;
      const now = log.records(CHANGES, partition).length;
      sizes.push(now - seen);
      seen = now;
    };
    await run([edit(content(30)), write(ROWS), heartbeat], { probe });
    // Four corrections, and at most the one live event and the one mark.
    expect(Math.max(...sizes)).toBeLessThanOrEqual(WALK_ROWS + 2);
    expect(sizes.length).toBeGreaterThanOrEqual(ROWS / WALK_ROWS);
    const kinds = (await changesOf(log, partition)).map(({ change: { kind } }) => kind);
    expect(kinds.lastIndexOf('insert')).toBeLessThan(kinds.lastIndexOf('correct'));
    expect(kinds.at(-1)).toBe('mark');
    await checkPartition({ log, source, partition, policy });
  });

  it.each([WALK_ROWS, 1_000])(
    'corrects a row to each version of a content that changed twice, in pieces of %i',
    async (walkRows) => {
      source.apply(edit(content(30)));
      source.apply(edit(content(null, 'Two')));
      await run([heartbeat], { walkRows });
      expect(await corrections()).toHaveLength(2 * ROWS);
      await checkPartition({ log, source, partition, policy });
    },
  );

  it('corrects rows of a content that has come back to what it was there and back', async () => {
    source.apply(edit(content(30)));
    source.apply(edit(content(60)));
    await run([heartbeat]);
    const lengths = (await corrections()).map(({ change }) => change.after!.content_length_seconds);
    expect(lengths.filter((length) => length === 30)).toHaveLength(ROWS);
    expect(lengths.filter((length) => length === 60)).toHaveLength(ROWS);
    await checkPartition({ log, source, partition, policy });
  });

  it('crosses versions that nobody asks for any more in one step', async () => {
    source.apply(write(ROWS));
    for (const length of [10, 20, 30]) source.apply(edit(content(length)));
    source.apply({ do: { op: 'edit', content: 0, fields: content(40) }, together: false, waitMs: 3_600_001 });
    await run([heartbeat]);
    const lengths = (await changesOf(log, partition))
      .filter(({ change }) => change.kind === 'correct' && change.after!.event_id === BigInt(ROWS) + 2n ** 60n)
      .map(({ change }) => change.after!.content_length_seconds);
    expect(lengths).toEqual([30, 40]);
    await checkPartition({ log, source, partition, policy });
  });

  it('takes a row back to the version that an older change saw, and forth again', async () => {
    const shorter = { ...fields, durationMs: 3_000 };
    source.apply(alone({ op: 'write', id: 0, content: 0, fields: shorter }));
    source.apply(edit(content(30)));
    source.apply(edit(content(20)));
    // The walk comes first: the table knows of the edits before the stage reads what was written before them.
    await run([heartbeat], { walkRows: 1_000 });
    const ofRow = (await changesOf(log, partition)).filter(({ change }) => change.after?.event_id === 0n);
    expect(ofRow.map(({ change: { kind, after } }) => [kind, after!.content_length_seconds])).toEqual([
      ['insert', 60],
      ['correct', 30],
      ['correct', 20],
      ['correct', 30],
      ['correct', 60],
      ['update', 60],
      ['correct', 30],
      ['correct', 20],
    ]);
    await checkPartition({ log, source, partition, policy });
  });

  it('begins at the first change when the offset was reset by hand', async () => {
    source.apply(edit(content(30)));
    const offset = BigInt(log.records(CDC_EVENTS, partition).length);
    const group = log.membership('engagement.enrich');
    await group.commit(1, { topic: CDC_EVENTS, partition }, { offset, metadata: '' });
    await run([heartbeat]);
    expect((await corrections()).map(({ change }) => change.after!.content_length_seconds)).toEqual(
      new Array(ROWS).fill(30),
    );
  });
});
