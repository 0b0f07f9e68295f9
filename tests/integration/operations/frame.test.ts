/** What every operator command promises, shown by `dlq` on real servers: audit, confirmation, exit codes, interruption. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { existingTopics } from '../../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { appendDeadLetter } from '../../../engine/dead-letter.ts';
import { REPOSITORY } from '../../../infra/native/layout.ts';
import { runScript, type TaskResult } from '../../../scripts/start/task.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import { brokers, stackEnv } from '../../support/env.ts';
import { createTopic, readAll } from '../kafka/topics.ts';

const DLQ = 'engagement.dlq';
const CAPTURED = 'cdc.public.engagement_events';
const LETTERS = 30;

let kafka: KafkaClient;
let server: TestClickHouse;
let database: EngagementDatabase;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'frame');
  kafka = new KafkaClient({ brokers: brokers(), clientId: 'test' });
  // Without --pipeline a command looks at every pipeline that has topics; other files make some of those of prices.
  for (const topic of ['sluice.audit', DLQ, 'prices.dlq']) await createTopic(brokers(), topic);
  for (const topic of [CAPTURED, 'cdc.public.stock_prices']) await createTopic(brokers(), topic, { partitions: 4 });
  env = {
    ...{ ...process.env, ...stackEnv(), SLUICE_OPERATOR: 'night shift' },
    ...{ SLUICE_CLICKHOUSE_URL: server.url, SLUICE_CLICKHOUSE_DATABASE: database.config.database },
  };
  await putAside(LETTERS);
});
afterAll(async () => {
  await kafka?.close();
  await database?.close();
  await server?.stop();
});

/** Letters of as many rows. */
async function putAside(count: number): Promise<void> {
  const writer = kafka.writer('frame-letters');
  try {
    await writer.fence();
    const batch = writer.batch(DLQ, 0);
    const end = (await kafka.offsets(CAPTURED, [0], 'highWatermark')).get(0)!;
    for (let index = 0; index < count; index++) {
      const key = Buffer.from(`frame row ${index}`);
      const record = { offset: end + BigInt(index), timestampMs: Date.now(), key, value: key, headers: [] };
      const at = { reason: 'UNDECODABLE', message: 'test', stage: 'engagement.enrich', topic: CAPTURED, partition: 0 };
      appendDeadLetter(batch, record, at);
    }
    await writer.commit([batch], null);
  } finally {
    await writer.close();
  }
}

const dlq = async (...args: readonly string[]): Promise<TaskResult> => {
  return await runScript('dlq.ts', args, { env, timeoutMs: 60_000 });
};
const jsonOf = ({ output }: TaskResult) => {
  return JSON.parse(
    output
      .trim()
      .split('\n')
      .findLast((line) => line.startsWith('{')) ?? '{}',
  ) as Record<string, unknown>;
};

interface Audited {
  readonly run_id: string;
  readonly phase: string;
  readonly actor: string;
  readonly outcome: string;
  readonly command: string;
  readonly arguments: string;
}

const inTopic = async (): Promise<readonly Audited[]> => {
  return (await readAll(kafka, 'sluice.audit', 0)).map(({ value }) => JSON.parse(value!.toString()) as Audited);
};
const inClickHouse = async (runId: string) =>
  await selectRows<{ command: string; actor: string; outcome: string }>(
    database.client,
    'SELECT command, actor, outcome FROM sluice_operations WHERE run_id = {runId:UUID}',
    { runId },
  );

it('leaves who, when, what and how it ended in the topic and in ClickHouse', async () => {
  const run = await dlq('redrive', '--pipeline', 'engagement', '--reason', 'UNDECODABLE', '--dry-run', '--json');
  expect(run.code).toBe(0);
  const { runId, outcome, plan } = jsonOf(run);
  expect({ outcome, plan }).toMatchObject({ outcome: 'dry-run', plan: { redriven: LETTERS } });
  const records = (await inTopic()).filter(({ run_id }) => run_id === runId);
  expect(records.map(({ phase, actor, outcome: end }) => [phase, actor, end])).toEqual([
    ['started', 'night shift', ''],
    ['ended', 'night shift', 'dry-run'],
  ]);
  expect(JSON.parse(records[0]!.arguments)).toMatchObject({ reason: ['UNDECODABLE'], dryRun: true });
  expect(await inClickHouse(String(runId))).toEqual([
    { command: 'dlq redrive', actor: 'night shift', outcome: 'dry-run' },
  ]);
  expect((await kafka.offsets(CAPTURED, [0], 'highWatermark')).get(0)).toBe(0n);
});

it('tells which topics are there', async () => {
  const options = { brokers: brokers(), clientId: 'test' };
  expect(await existingTopics(options, [DLQ, 'no.such.topic'])).toEqual(new Set([DLQ]));
  expect(await existingTopics(options, ['no.such.topic'])).toEqual(new Set());
});

it('changes nothing without --yes when nobody can be asked', async () => {
  const { code, output } = await dlq('discard', '--reason', 'UNDECODABLE');
  expect(output).toContain('CONFIRMATION_NEEDED');
  expect(code).toBe(2);
});

it.each([
  [['redrive', '--rate', 'many'], '--rate many is no whole number'],
  [['list', '--reason', 'BAD_MOOD'], '--reason BAD_MOOD is none of'],
  [['list', '--since', 'yesterday'], '--since yesterday is no time'],
  [['show', 'x'], 'x is no letter'],
  [['list', '--colour'], "unknown option '--colour'"],
])('says in one line what is wrong with %j', async (args, message) => {
  const { code, output } = await dlq(...args);
  expect(output.trim().split('\n')).toEqual([expect.stringContaining(message)]);
  expect(code).toBe(2);
});

it('works with ClickHouse away, says so, and the next command brings the record along', async () => {
  await server.kill();
  const away = await dlq('stats', '--json');
  expect(away.code).toBe(0);
  expect(away.output).toContain('Audit records will reach ClickHouse with a later command');
  await server.restart();
  expect((await dlq('stats')).code).toBe(0);
  expect(await inClickHouse(String(jsonOf(away).runId))).toMatchObject([{ command: 'dlq stats', outcome: 'done' }]);
});

it('stops at a safe place when interrupted, and the same command goes on from there', async () => {
  const written = async () => (await readAll(kafka, CAPTURED, 0)).length;
  const script = join(REPOSITORY, 'scripts/dlq.ts');
  const args = [script, 'redrive', '--pipeline', 'engagement', '--yes', '--rate', '1'];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const said = child.stderr.toArray();
  await expect.poll(written, { timeout: 60_000, interval: 100 }).toBeGreaterThan(1);
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(130);
  expect(Buffer.concat(await said).toString()).toContain('the same command goes on from there');
  const before = await written();
  expect(before).toBeLessThan(LETTERS);
  const rest = jsonOf(await dlq('redrive', '--pipeline', 'engagement', '--yes', '--rate', '1000', '--json'));
  expect(rest).toMatchObject({ outcome: 'done', result: { redriven: LETTERS - before, superseded: 0 } });
  expect(await written()).toBe(LETTERS);
  const outcomes = (await inTopic()).filter(({ command, phase }) => command === 'dlq redrive' && phase === 'ended');
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['dry-run', 'interrupted', 'done']);
});
