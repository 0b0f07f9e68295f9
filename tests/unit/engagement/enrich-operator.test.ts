import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CDC_EVENTS, DLQ, EVENTS_V1 } from '../../../pipelines/engagement/topics.ts';
import { operatorHeaders } from '../../../pipelines/operations/operator-record.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { changesOf, drive } from './harness.ts';
import type { ContentFields, Op, Step } from './rows.ts';
import { Source } from './source.ts';

const content: ContentFields = { slug: 'a', title: 'One', contentType: 'video', lengthSeconds: 60 };
const fields = {
  user: 1,
  eventType: 'play',
  when: { at: 'before', ms: 1_000 },
  durationMs: 6_000,
  device: null,
  campaign: null,
} as const;
const step = (op: Op): Step => ({ do: op, together: false, waitMs: 10 });
const write = step({ op: 'write', id: 0, content: 0, fields });
const heartbeat = step({ op: 'heartbeat' });

/** Everything of one test. */
let root: string;
/** The worker's local stores. */
let dir: string;
let log: MemoryLog;
let source: Source;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sluice-operator-'));
  dir = join(root, 'one');
  log = new MemoryLog();
  source = new Source(log, [content, content, content, content]);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function run(...steps: Step[]): Promise<void> {
  const ticks = [{ steps: 1, rows: 1, clock: true }];
  await drive({ log, source, steps, policy: 'correct', partition: 0, dir, ticks, crashes: [], maxRecords: 10 });
}

/** The newest record of the row once more, as a repair would write it. */
function repair(force: boolean): void {
  const { key, value } = log.records(CDC_EVENTS, 0).at(-1)!;
  const scannedTo = BigInt(log.records(CDC_EVENTS, 0).length);
  const headers = operatorHeaders({ origin: 'repair', runId: 'r', scannedTo, force });
  log.append(CDC_EVENTS, 0, { key, value, headers });
}

const rows = async () => (await changesOf(log, 0)).filter(({ change }) => change.kind !== 'mark');

it('publishes the present state again when forced to, without a change', async () => {
  await run(write, heartbeat);
  repair(false);
  await run(heartbeat);
  expect(log.records(EVENTS_V1, 0)).toHaveLength(1);
  repair(true);
  await run(heartbeat);
  const published = log.records(EVENTS_V1, 0).map(({ value }) => value);
  expect(published).toHaveLength(2);
  expect(published[1]).toEqual(published[0]);
  expect(await rows()).toHaveLength(1);
});

it('publishes a row that the restored store has lost without counting it again', async () => {
  await run(write, heartbeat);
  const [published] = log.records(EVENTS_V1, 0);
  log.append(EVENTS_V1, 0, { key: published!.key, value: null });
  dir = join(root, 'another');
  repair(true);
  await run(heartbeat);
  expect(log.records(EVENTS_V1, 0).at(-1)!.value).toEqual(published!.value);
  expect((await rows()).map(({ change }) => change.kind)).toEqual(['insert']);
  await run(step({ op: 'delete', id: 0 }), heartbeat);
  expect((await rows()).map(({ change }) => change.kind)).toEqual(['insert', 'delete']);
});

it('takes a stray record back that the restored store believes in, without taking it off', async () => {
  await run(write, heartbeat);
  const [published] = log.records(EVENTS_V1, 0);
  await run(step({ op: 'delete', id: 0 }), heartbeat);
  log.append(EVENTS_V1, 0, { key: published!.key, value: published!.value });
  dir = join(root, 'another');
  repair(true);
  await run(heartbeat);
  expect(log.records(EVENTS_V1, 0).at(-1)!.value).toBeNull();
  expect((await rows()).map(({ change }) => change.kind)).toEqual(['insert', 'delete']);
});

it('publishes the tombstone of a row that is gone again when forced to', async () => {
  await run(write, heartbeat);
  await run(step({ op: 'delete', id: 0 }), heartbeat);
  repair(true);
  await run(heartbeat);
  expect(log.records(EVENTS_V1, 0).map(({ value }) => value === null)).toEqual([false, true, true]);
  expect(await rows()).toHaveLength(2);
});

it('dead-letters what it cannot order, and goes on', async () => {
  await run(write, heartbeat);
  const { key, value } = log.records(CDC_EVENTS, 0).at(-1)!;
  log.append(CDC_EVENTS, 0, { key, value, headers: [{ key: 'sluice.origin', value: Buffer.from('redrive') }] });
  await run(heartbeat);
  const reasons = log
    .records(DLQ, 0)
    .map(({ headers }) => String(headers.find(({ key: k }) => k === 'sluice.reason')?.value));
  expect(reasons).toEqual(['BAD_OPERATOR_RECORD']);
});
