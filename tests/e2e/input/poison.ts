/**
 * Promise P6 on the real stack: one bad record of every kind stops nothing, is put aside with its reason, can be looked at, and counts once
 * its cause is mended; and ten thousand of them are written back once, however often the command is killed or repeated, while rows flow.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { appendRecords } from '../../../connectors/kafka/plain.ts';
import { REPOSITORY } from '../../../infra/native/layout.ts';
import { clickHouseConfig, kafkaOptions, loadConfig } from '../../../pipelines/config.ts';
import type { LetterCounts } from '../../../pipelines/operations/dlq/catalogue.ts';
import type { Described } from '../../../pipelines/operations/dlq/describe.ts';
import type { RedriveCounts } from '../../../pipelines/operations/dlq/redrive.ts';
import {
  type CapturedRow,
  CDC_KEY,
  CDC_VALUE,
  capturedInsert,
  capturedKey,
} from '../../integration/reconcile/letters.ts';
import type { Pipeline } from '../../support/pipeline.ts';

const TOPIC = 'cdc.public.engagement_events';
const LATER = '9f3b8a52-0000-4000-8000-00000000000';
const LETTERS = 10_000;

let pipeline: Pipeline;
let postgres: pg.Client;
let kafka: KafkaClient;
/** A content that is there. */
let content: string;

async function prepare(shared: Pipeline): Promise<void> {
  pipeline = shared;
  await pipeline.generate('--rate', '200', '--seconds', '3', '--contents', '40', '--seed', '5');
  postgres = new pg.Client({ connectionString: pipeline.env.SLUICE_POSTGRES_URL! });
  await postgres.connect();
  kafka = new KafkaClient(kafkaOptions(loadConfig(pipeline.env), 'test'));
  content = (await postgres.query<{ id: string }>('SELECT id FROM content ORDER BY id LIMIT 1')).rows[0]!.id;
  // So that an event can be captured before its content.
  await postgres.query('ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_content_exists');
}

/** On a stack that nothing has run on yet. */
export function describePoison(shared: () => Pipeline): void {
  describe('a bad record', () => {
    beforeAll(async () => await prepare(shared()));
    afterAll(async () => {
      await postgres?.end();
      await kafka?.close();
    });
    it(
      'is put aside, of every kind, while others go on, can be looked at, and counts when its cause is mended',
      everyKind,
    );
    it(`is written back once, as one of ${LETTERS}, killed in the middle and run twice, while rows flow`, manyLetters);
  });
}

/** Runs the dlq command; the last line it prints is JSON. */
async function dlq<T>(
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly plan: unknown; readonly result: T }> {
  const { code, output } = await pipeline.script('dlq.ts', ...args, '--json');
  const last = output
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('{'));
  if (last === undefined) throw new Error(`dlq ${args.join(' ')} printed no JSON:\n${output}`);
  const { plan, result } = JSON.parse(last) as { plan: unknown; result: T };
  return { code, plan, result };
}

/** How many letters there are of each reason, in one state. */
async function reasons(state: string): Promise<Record<string, number>> {
  const { result } = await dlq<readonly LetterCounts[]>('stats', '--state', state);
  const counts: Record<string, number> = {};
  for (const { reason, letters } of result) counts[reason] = (counts[reason] ?? 0) + letters;
  return counts;
}

async function untilOpen(expected: Readonly<Record<string, number>>): Promise<void> {
  await expect.poll(async () => await reasons('open'), { timeout: 240_000, interval: 1_000 }).toEqual(expected);
}

async function expectEqual(): Promise<void> {
  const { code, report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
  expect(code).toBe(0);
}

async function insertEvent(values: {
  contentId?: string;
  at?: string;
  durationMs?: number;
  device?: string;
}): Promise<bigint> {
  const { contentId = content, at = new Date().toISOString(), durationMs = 1_000, device = 'web' } = values;
  const { rows } = await postgres.query<{ id: string }>(
    `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
     VALUES ($1, gen_random_uuid(), 'play', $2, $3, $4) RETURNING id`,
    [contentId, at, durationMs, device],
  );
  return BigInt(rows[0]!.id);
}

const insertContent = async (id: string) =>
  await postgres.query(
    `INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) VALUES ($1, $2, 'Late', 'video', 60, now())`,
    [id, `late-${id.slice(-1)}`],
  );

async function register(subject: string, schema: unknown): Promise<number> {
  const answer = await fetch(`${pipeline.env.SLUICE_REGISTRY_URL!}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: JSON.stringify(schema) }),
  });
  expect(answer.ok, await answer.clone().text()).toBe(true);
  return ((await answer.json()) as { id: number }).id;
}

/** Writes records into the captured topic as somebody else might. */
async function inject(key: Buffer, value: Buffer): Promise<void> {
  const options = kafkaOptions(loadConfig(pipeline.env), 'test');
  await appendRecords(options, TOPIC, [{ partition: 0, key, value, headers: [], timestampMs: Date.now() }]);
}

async function everyKind(): Promise<void> {
  const clickHouse = clickHouseClient(clickHouseConfig(loadConfig(pipeline.env)));
  const negative = await insertEvent({ durationMs: -5 });
  const future = await insertEvent({ at: new Date(Date.now() + 3 * 86_400_000).toISOString() });
  // Text that does not compress: 5 MB of it in one column.
  const large = await insertEvent({ durationMs: -7, device: randomText(5 << 20) });
  // Before and after: a change of more than 10 MB, which must not stop capture.
  await postgres.query('UPDATE engagement_events SET duration_ms = -8 WHERE id = $1', [String(large)]);
  await insertEvent({ contentId: `${LATER}1` });
  await clickHouse.command({
    query: `ALTER TABLE engagement_changes ADD CONSTRAINT no_toaster CHECK ifNull(device, '') != 'toaster'`,
  });
  await insertEvent({ device: 'toaster' });
  const keys = await register('poison-key', CDC_KEY);
  const known = await register('poison-lacking', withoutField('event_type'));
  const foreign: CapturedRow = {
    ...{ id: 900_000_001n, content_id: content, user_id: content, event_type: 'play' },
    ...{ event_ts: '2026-01-02T03:04:05Z', duration_ms: 1, device: null },
  };
  const key = capturedKey(keys, foreign);
  await inject(key, Buffer.from('garbage'));
  await inject(key, capturedInsert(known, foreign, Date.now()));
  // The registry numbers schemas in turn: this one is not there yet, nor will it be when others register theirs behind.
  const missing = known + 1_000_000;
  await inject(key, capturedInsert(missing, foreign, Date.now()));
  await untilOpen({
    ...{ NEGATIVE_DURATION: 3, FUTURE_EVENT: 1, UNKNOWN_CONTENT: 1, SINK_REFUSED: 1 },
    ...{ UNDECODABLE: 1, MISSING_FIELD: 1, UNKNOWN_SCHEMA: 1 },
  });

  const shown = async (...args: string[]) => {
    const { result } = await dlq<{ letters: readonly Described[] }>('list', ...args);
    return (await dlq<readonly Described[]>('show', result.letters[0]!.id)).result[0]!;
  };
  expect((await shown('--key', String(negative))).fault).toEqual({
    ...{ path: 'after.duration_ms', value: '-5', expected: '0 or more, or NULL' },
  });
  expect((await shown('--key', String(future))).fault?.path).toBe('after.event_ts');
  const bytes: number[] = [];
  for (const { id } of (await dlq<{ letters: readonly Described[] }>('list', '--key', String(large))).result.letters) {
    const [big] = (await dlq<readonly Described[]>('show', id)).result;
    expect(JSON.stringify(big).length).toBeLessThan(20_000);
    bytes.push(big!.value!.bytes);
  }
  // The insert whole, the update cut.
  expect(bytes.sort((a, b) => a - b)).toEqual([64 << 10, expect.toSatisfy((size: number) => size > 5 << 20)]);
  expect((await shown('--reason', 'UNKNOWN_SCHEMA')).value!.stopped!.why).toContain(`schema ${missing} is not`);
  expect((await shown('--reason', 'SINK_REFUSED')).message).toMatch(/^CLICKHOUSE_VIOLATED_CONSTRAINT: .*no_toaster/);

  // Each cause is mended where it is. The content first: what is captured behind it shows that it is.
  await insertContent(`${LATER}1`);
  await postgres.query('UPDATE engagement_events SET event_ts = now() WHERE id = $1', [String(future)]);
  await postgres.query(`UPDATE engagement_events SET duration_ms = 5, device = 'web' WHERE duration_ms < 0`);
  await clickHouse.command({ query: 'ALTER TABLE engagement_changes DROP CONSTRAINT no_toaster' });
  await clickHouse.close();
  const mended = ['UNKNOWN_CONTENT', 'FUTURE_EVENT', 'NEGATIVE_DURATION', 'SINK_REFUSED'];
  const redrive = ['redrive', ...mended.flatMap((reason) => ['--reason', reason])];
  const planned = async () => (await dlq<unknown>(...redrive, '--dry-run')).plan;
  await expect.poll(planned, { timeout: 120_000, interval: 500 }).toMatchObject({ redriven: 2, superseded: 3 });
  // The cut one cannot be written back: it is left, and said.
  expect(await dlq(...redrive, '--yes')).toMatchObject({ code: 1, result: { redriven: 2, superseded: 3 } });
  expect(await reasons('superseded')).toEqual({ NEGATIVE_DURATION: 2, FUTURE_EVENT: 1 });
  expect(await reasons('redriven')).toEqual({ UNKNOWN_CONTENT: 1, SINK_REFUSED: 1 });
  for (const reason of ['UNDECODABLE', 'MISSING_FIELD', 'UNKNOWN_SCHEMA', 'NEGATIVE_DURATION']) {
    expect((await dlq('discard', '--yes', '--reason', reason)).code).toBe(0);
  }
  await untilOpen({});
  await expectEqual();
}

async function manyLetters(): Promise<void> {
  await postgres.query(
    `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
     SELECT $1, gen_random_uuid(), 'play', now(), n, 'web' FROM generate_series(1, ${LETTERS}) AS n`,
    [`${LATER}2`],
  );
  await untilOpen({ UNKNOWN_CONTENT: LETTERS });
  const before = await contentEnd();
  await insertContent(`${LATER}2`);
  await expect.poll(contentEnd, { timeout: 60_000, interval: 200 }).toBeGreaterThan(before);
  await pipeline.during(['--rate', '400', '--contents', '40', '--updates', '8', '--seed', '6'], async () => {
    const letters = await dlqEnd();
    const killed = startRedrive('--rate', '200');
    const ended = once(killed, 'close');
    await expect.poll(dlqEnd, { timeout: 120_000, interval: 100 }).toBeGreaterThan(letters);
    killed.kill('SIGKILL');
    await ended;
    const left = (await reasons('open')).UNKNOWN_CONTENT ?? 0;
    expect(left).toBeGreaterThan(0);
    const again = await dlq<RedriveCounts>('redrive', '--yes', '--rate', '3000', '--reason', 'UNKNOWN_CONTENT');
    expect(again.code).toBe(0);
    // The traffic updates some of these rows meanwhile.
    expect(again.result.redriven + again.result.superseded).toBe(left);
    const nothing = await dlq('redrive', '--yes', '--reason', 'UNKNOWN_CONTENT');
    expect(nothing).toMatchObject({ code: 0, plan: { redriven: 0, superseded: 0 } });
  });
  await untilOpen({});
  await expectEqual();
  expect((await reasons('redriven')).UNKNOWN_CONTENT).toBeGreaterThan(LETTERS / 2);
}

const endOf = async (topic: string) => (await kafka.offsets(topic, [0], 'lastStable')).get(0)!;
const contentEnd = async () => await endOf('cdc.public.content');
const dlqEnd = async () => await endOf('engagement.dlq');

function startRedrive(...args: readonly string[]): ChildProcess {
  const script = join(REPOSITORY, 'scripts/dlq.ts');
  return spawn(process.execPath, [script, 'redrive', '--yes', ...args], { env: pipeline.env, stdio: 'ignore' });
}

/** Characters of six random bits each, from a generator with a seed. */
function randomText(length: number): string {
  const text = Buffer.alloc(length);
  let state = 12_345;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    text[index] = 48 + (state >>> 26);
  }
  return text.toString('latin1');
}

/** The schema of the envelope, its row without one field. */
function withoutField(name: string): unknown {
  return JSON.parse(JSON.stringify(CDC_VALUE), (_, value: unknown) =>
    Array.isArray(value) ? value.filter((one) => (one as { name?: string } | null)?.name !== name) : value,
  );
}
