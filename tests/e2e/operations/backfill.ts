/**
 * Backfill on the real stack: whatever Postgres holds and nobody heard of arrives, what nobody heard go is taken off, and what is there
 * already changes nothing. Each case ends with every sink equal to Postgres.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { REPOSITORY } from '../../../infra/native/layout.ts';
import { kafkaOptions, loadConfig } from '../../../pipelines/config.ts';
import { CDC_EVENTS, CHANGES } from '../../../pipelines/engagement/topics.ts';
import { loseSlot } from '../../support/lost-slot.ts';
import type { Pipeline } from '../../support/pipeline.ts';

let pipeline: Pipeline;
let pool: PostgresPool;
let log: KafkaClient;
async function prepare(shared: Pipeline): Promise<void> {
  pipeline = shared;
  const config = loadConfig(pipeline.env);
  pool = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'test' });
  log = new KafkaClient(kafkaOptions(config, 'test'));
  await pool.query(
    `INSERT INTO content SELECT id::uuid, 'slug-' || right(id, 1), 'title', 'podcast', 60, now() FROM unnest($1::text[]) AS c (id)`,
    [[A, B]],
  );
}

async function cleanUp(): Promise<void> {
  await Promise.all([pool?.close(), log?.close()]);
}

const [A, B, C] = ['a', 'b', 'c'].map((digit) => `00000000-0000-4000-8000-00000000000${digit}`) as [
  string,
  string,
  string,
];

interface Outcome {
  readonly code: number;
  readonly outcome: string;
  readonly message: string;
  readonly result: {
    readonly end: string;
    readonly strays: { readonly retracted: number; readonly restored: number };
    readonly compared: { readonly result: string };
  };
}

const ended = (code: number, output: string): Outcome => {
  const last = output.split('\n').findLast((line) => line.startsWith('{'));
  expect(last, output).toBeDefined();
  return { code, ...JSON.parse(last!) };
};

const backfill = async (...args: readonly string[]): Promise<Outcome> => {
  const { code, output } = await pipeline.script('backfill.ts', ...args, '--json');
  return ended(code, output);
};
const ALL = ['--table', 'engagement_events', '--yes'] as const;

async function insert(contents: readonly string[], rows: number): Promise<void> {
  await pool.query(
    `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
     SELECT ($1::uuid[])[1 + n % cardinality($1::uuid[])], gen_random_uuid(), 'play', now(), n % 60000, 'web'
     FROM generate_series(1, $2) AS n`,
    [contents, rows],
  );
}

async function expectEqual(): Promise<void> {
  const { report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
}

/** Keys and operations of what was written behind the offsets. */
async function writtenSince(topic: string, from: ReadonlyMap<number, bigint>): Promise<(string | null)[]> {
  const ends = await log.offsets(topic, pipeline.partitions, 'lastStable');
  const keys: (string | null)[] = [];
  const reader = log.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 8 << 20 });
  try {
    for (const partition of pipeline.partitions) {
      const range = { topic, partition, from: from.get(partition)!, end: ends.get(partition)! };
      await readToEnd(reader, range, ({ records }) => {
        for (const { key } of records) keys.push(key?.toString('hex') ?? null);
      });
    }
  } finally {
    await reader.close();
  }
  return keys;
}

function start(args: readonly string[]) {
  const child = spawn(process.execPath, [join(REPOSITORY, 'scripts', 'backfill.ts'), ...args, '--json'], {
    cwd: REPOSITORY,
    env: pipeline.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  const closed = once(child, 'close');
  return {
    child,
    async outcome(): Promise<Outcome> {
      await closed;
      return ended(child.exitCode ?? 128, output);
    },
  };
}

async function killed({ child }: { readonly child: ChildProcess }): Promise<void> {
  expect(child.exitCode).toBeNull();
  child.kill('SIGKILL');
  await once(child, 'close');
}

/** Until the run that is not over has read so many rows. */
async function untilRead(rows: number): Promise<void> {
  const read = async () => {
    const found = await pool.query<{ n: number }>(
      `SELECT (progress ->> 'rowsRead')::int AS n FROM sluice_backfill WHERE status IN ('running', 'paused')`,
    );
    return found.rows[0]?.n ?? 0;
  };
  await expect.poll(read, { timeout: 240_000, interval: 200 }).toBeGreaterThanOrEqual(rows);
}

/** On a stack that nothing has run on yet. */
export function describeBackfill(shared: () => Pipeline): void {
  describe('backfill', () => {
    beforeAll(async () => await prepare(shared()));
    afterAll(cleanUp);

    it('reads 10,000 rows of two contents as 10,000 rows, and changes nothing where they are there already', async () => {
      await insert([A, B], 10_000);
      await expectEqual();
      const captured = await log.offsets(CDC_EVENTS, pipeline.partitions, 'lastStable');
      const changes = await log.offsets(CHANGES, pipeline.partitions, 'lastStable');
      const { code, result } = await backfill(...ALL, '--rate', '20000');
      expect({ code, ...result.strays, compared: result.compared.result }).toMatchObject({
        code: 0,
        retracted: 0,
        restored: 0,
        compared: 'equal',
      });
      expect(new Set(await writtenSince(CDC_EVENTS, captured)).size).toBe(10_000);
      // A mark has no key.
      const written = await writtenSince(CHANGES, changes);
      expect(written.length).toBeGreaterThan(0);
      expect(written.filter((key) => key !== null)).toEqual([]);
    });

    it('brings what was inserted, changed and deleted while the slot was gone', async () => {
      await loseSlot(pipeline, async () => {
        await pool.query(`INSERT INTO content VALUES ($1, 'slug-c', 'new', 'video', 120, now())`, [C]);
        await pool.query(`UPDATE content SET title = 'edited unheard' WHERE id = $1`, [A]);
        await insert([A, C], 3_000);
        await pool.query('UPDATE engagement_events SET duration_ms = 7 WHERE id % 50 = 1');
        await pool.query('UPDATE engagement_events SET content_id = $1 WHERE id % 100 = 2 AND content_id = $2', [C, A]);
        await pool.query('DELETE FROM engagement_events WHERE id % 40 = 3 AND id <= 10000');
      });
      expect((await pipeline.reconcile()).report.result).toBe('different');
      const { code, result } = await backfill(...ALL, '--rate', '20000');
      expect(result.compared.result, JSON.stringify(result.compared)).toBe('equal');
      // 250 deleted; the moved ones, which have another key now.
      const moved = await pool.query<{ n: bigint }>(
        'SELECT count(*) AS n FROM engagement_events WHERE id % 100 = 2 AND content_id = $1 AND id <= 10000',
        [C],
      );
      expect({ code, compared: result.compared.result, retracted: result.strays.retracted }).toEqual({
        code: 0,
        compared: 'equal',
        retracted: 250 + Number(moved.rows[0]!.n),
      });
      await expectEqual();
    });

    it('brings only the range that was asked for, with what has left it unheard', async () => {
      await pool.query(`UPDATE engagement_events SET event_ts = '2026-01-02T00:00:00Z' WHERE id IN (11, 12, 14)`);
      await expectEqual();
      await loseSlot(pipeline, async () => {
        await pool.query(`UPDATE engagement_events SET event_ts = '2026-02-02T00:00:00Z' WHERE id = 11`);
        await pool.query(`UPDATE engagement_events SET duration_ms = 1 WHERE id = 12`);
        await pool.query('DELETE FROM engagement_events WHERE id = 14');
        await pool.query(`UPDATE engagement_events SET event_ts = '2026-01-02T12:00:00Z' WHERE id = 15`);
      });
      const range = [
        '--from',
        '2026-01-02T00:00:00Z',
        '--to',
        '2026-01-03T00:00:00Z',
        '--where',
        'duration_ms IS NOT NULL',
      ];
      const { code, result } = await backfill(...ALL, ...range);
      expect({ code, ...result.strays, compared: result.compared.result }).toMatchObject({
        code: 0,
        retracted: 1,
        restored: 1,
        compared: 'equal',
      });
      await expectEqual();
    });

    it('goes on after SIGKILL of the script, of Connect, of the broker and of enrich, while events flow', async () => {
      const traffic = ['--rate', '300', '--updates', '8', '--deletes', '3', '--contents', '50', '--seed', '5'];
      await pipeline.during(traffic, async () => {
        const args = [...ALL, '--rate', '400'];
        const first = start(args);
        await untilRead(1_000);
        expect(await backfill(...args)).toMatchObject({ code: 2, message: expect.stringContaining('BACKFILL_DRIVEN') });
        expect(await backfill(...ALL, '--content', B)).toMatchObject({
          code: 2,
          message: expect.stringContaining('BACKFILL_UNDER_WAY'),
        });
        await killed(first);
        const second = start(args);
        await untilRead(2_500);
        await pipeline.stack.kill('connect', 'SIGKILL');
        await pipeline.stack.untilUp('connect', 180_000);
        await untilRead(4_000);
        await pipeline.stack.kill('kafka', 'SIGKILL');
        await pipeline.stack.untilUp('kafka', 180_000);
        await untilRead(5_500);
        await killed(second);
        const enrich = pipeline.workers.find(({ name }) => name === 'engagement.enrich')!;
        await enrich.process.kill('SIGKILL');
        await enrich.process.untilUp(180_000);
      });
      const { code, result } = await backfill(...ALL, '--rate', '20000');
      expect({ code, compared: result.compared.result }).toEqual({ code: 0, compared: 'equal' });
      const runs = await pool.query('SELECT 1 FROM sluice_backfill WHERE status = $1', ['done']);
      expect(runs.rowCount).toBe(4);
      await expectEqual();
    });

    it('is paused, resumed and cancelled from another terminal', async () => {
      const running = start([...ALL, '--rate', '200']);
      await untilRead(200);
      expect((await backfill('pause', '--yes')).outcome).toBe('done');
      expect(await running.outcome()).toMatchObject({ code: 1, result: { end: 'paused' } });
      const resumed = start(['resume', '--yes', '--rate', '200']);
      await untilRead(600);
      expect((await backfill('cancel', '--yes')).outcome).toBe('done');
      expect(await resumed.outcome()).toMatchObject({ code: 1, result: { end: 'cancelled' } });
      expect(await backfill('resume', '--yes')).toMatchObject({
        code: 2,
        message: expect.stringContaining('BACKFILL_NONE'),
      });
      // Debezium ends the piece that was in flight, and takes its own marks away.
      const signals = async () => (await pool.query('SELECT 1 FROM sluice_signal')).rowCount;
      await expect.poll(signals, { timeout: 30_000 }).toBe(0);
      await expectEqual();
    });
  });
}
