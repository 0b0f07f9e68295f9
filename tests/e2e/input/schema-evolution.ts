/**
 * The captured tables change while events flow: each case of docs/schema-evolution.md on the real stack, one after the other, each
 * ending with everything that is shown equal to the same SQL over Postgres.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clickHouseClient, selectRows } from '../../../connectors/clickhouse/client.ts';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { PostgresPool, type SqlValue } from '../../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { clickHouseConfig, kafkaOptions, loadConfig } from '../../../pipelines/config.ts';
import { eventDecoder } from '../../../pipelines/engagement/codec/event.ts';
import { DLQ, EVENTS_V1 } from '../../../pipelines/engagement/topics.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { Pipeline } from '../../support/pipeline.ts';
import { SqlTraffic } from '../../support/sql-traffic.ts';

let pipeline: Pipeline;
let postgres: PostgresPool;
let clickHouse: ClickHouseClient;
let kafka: KafkaClient;
let registry: RegistryClient;
let traffic: SqlTraffic;

async function prepare(shared: Pipeline): Promise<void> {
  pipeline = shared;
  const config = loadConfig(pipeline.env);
  postgres = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'schema-evolution-test' });
  clickHouse = clickHouseClient(clickHouseConfig(config));
  kafka = new KafkaClient(kafkaOptions(config, 'schema-evolution-test'));
  registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  traffic = new SqlTraffic(postgres, 20260102);
  await traffic.prepare();
}

const UNTIL = { timeout: 60_000, interval: 250 };

async function expectEqual(): Promise<void> {
  const { code, report, output } = await pipeline.reconcile();
  expect(report.result, output).toBe('equal');
  expect(code).toBe(0);
}

async function alter(...statements: readonly string[]): Promise<void> {
  for (const statement of statements) await postgres.query(statement);
}

/** Inserts one event with these columns, and returns its id. */
async function insert(columns: Readonly<Record<string, SqlValue>> = {}): Promise<bigint> {
  const row = {
    content_id: traffic.quiet,
    user_id: traffic.uuid(),
    event_type: 'play',
    event_ts: new Date(),
    ...columns,
  };
  const names = Object.keys(row);
  const { rows } = await postgres.query<{ id: bigint }>(
    `INSERT INTO engagement_events (${names.join(', ')}) VALUES (${names.map((_, at) => `$${at + 1}`).join(', ')}) RETURNING id`,
    Object.values(row),
  );
  return rows[0]!.id;
}

interface Shown {
  readonly event_type: string;
  readonly content_type: string;
  readonly duration_ms: string | null;
  readonly length: string | null;
  readonly extra: unknown;
}

/** The event as analysts see it. */
async function shown(id: bigint): Promise<Shown | undefined> {
  const [row] = await selectRows<Omit<Shown, 'extra'> & { readonly extra: string | null }>(
    clickHouse,
    `SELECT event_type, content_type, toString(duration_ms) AS duration_ms, toString(content_length_seconds) AS length, extra
     FROM engagement_events WHERE event_id = {id:Int64}`,
    { id: String(id) },
  );
  return row && { ...row, extra: row.extra === null ? null : JSON.parse(row.extra) };
}

async function untilShown(id: bigint, what: Partial<Shown>): Promise<void> {
  await expect.poll(async () => await shown(id), UNTIL).toMatchObject(what);
}

/** The columns carried by each contribution of the event, in order: with its sign. */
async function log(id: bigint): Promise<readonly (readonly [sign: number, extra: string | null])[]> {
  const rows = await selectRows<{ sign: number; extra: string | null }>(
    clickHouse,
    'SELECT sign, extra FROM engagement_changes WHERE event_id = {id:Int64} ORDER BY source_offset, sign',
    { id: String(id) },
  );
  return rows.map(({ sign, extra }) => [sign, extra]);
}

/** The event as other systems read it. */
async function published(id: bigint): Promise<EngagementEvent | undefined> {
  const decoder = eventDecoder(registry);
  const newest = new Map<bigint, EngagementEvent>();
  await eachRecord(EVENTS_V1, async (values) => {
    await decoder.prepare(values);
    for (const value of values) {
      if (value === null) continue;
      const event = decoder.decode(value);
      newest.set(event.event_id, event);
    }
  });
  return newest.get(id);
}

async function letters(reason: string): Promise<number> {
  let found = 0;
  await eachRecord(DLQ, async (_, reasons) => {
    found += reasons.filter((one) => one === reason).length;
  });
  return found;
}

async function eachRecord(
  topic: string,
  each: (values: readonly (Buffer | null)[], reasons: readonly (string | undefined)[]) => Promise<void>,
): Promise<void> {
  const partitions = Array.from({ length: await kafka.partitions(topic) }, (_, partition) => partition);
  const ends = await kafka.offsets(topic, partitions, 'lastStable');
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 8 << 20 });
  try {
    for (const partition of partitions) {
      const range = { topic, partition, from: 0n, end: ends.get(partition) ?? 0n };
      await readToEnd(reader, range, async ({ records }) => {
        const reasons = records.map(({ headers }) => headers.find(({ key }) => key === 'sluice.reason')?.value);
        await each(
          records.map(({ value }) => value),
          reasons.map((reason) => reason && Buffer.from(reason).toString()),
        );
      });
    }
  } finally {
    await reader.close();
  }
}

/** On a stack with a registry of its own. Afterwards the generator cannot write any more: `duration_ms` is wider. */
export function describeSchemaEvolution(shared: () => Pipeline): void {
  describe('a captured table that changes', () => {
    beforeAll(async () => await prepare(shared()));
    afterAll(async () => {
      await postgres?.close();
      await clickHouse?.close();
      await kafka?.close();
    });

    it('carries a column that was added, and takes a change of it for a change', async () => {
      const before = await insert();
      const id = await traffic.during(async () => {
        await untilShown(before, { extra: null });
        await alter('ALTER TABLE engagement_events ADD COLUMN campaign text');
        return await insert({ campaign: 'may' });
      });
      await untilShown(id, { extra: { campaign: 'may' } });
      await expect.poll(async () => (await published(id))?.extra, UNTIL).toBe('{"campaign":"may"}');
      await postgres.query("UPDATE engagement_events SET campaign = 'june' WHERE id = $1", [id]);
      // What the client sent is left behind on purpose: no change.
      await postgres.query(`UPDATE engagement_events SET raw_payload = '{"a":1}' WHERE id = $1`, [id]);
      await postgres.query('UPDATE engagement_events SET campaign = NULL WHERE id = $1', [id]);
      await untilShown(id, { extra: null });
      const [may, june] = ['{"campaign":"may"}', '{"campaign":"june"}'];
      expect(await log(id)).toEqual([
        [1, may],
        ...[[-1, may] as const, [1, june] as const],
        ...[[-1, june] as const, [1, null] as const],
      ]);
      expect(await log(before)).toEqual([[1, null]]);
      await expectEqual();
    });

    it('carries a column with a default for every row that is written from then on', async () => {
      const before = await insert({ campaign: 'old' });
      await untilShown(before, { extra: { campaign: 'old' } });
      const id = await traffic.during(async () => {
        await alter("ALTER TABLE engagement_events ADD COLUMN app_version text NOT NULL DEFAULT '1.0'");
        return await insert();
      });
      await untilShown(id, { extra: { app_version: '1.0' } });
      // Postgres writes nothing for the rows that are there; touching one brings it up to date.
      expect((await shown(before))?.extra).toEqual({ campaign: 'old' });
      await postgres.query('UPDATE engagement_events SET user_id = user_id WHERE id = $1', [before]);
      await untilShown(before, { extra: { app_version: '1.0', campaign: 'old' } });
      await expectEqual();
    });

    it('stops at a captured schema that the registry refuses, says so, and loses nothing', async () => {
      const subject = `${pipeline.env.SLUICE_REGISTRY_URL}/config/cdc.public.content-value`;
      const rule = await fetch(subject, {
        method: 'PUT',
        headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
        body: JSON.stringify({ compatibility: 'FULL' }),
      });
      expect(rule.status, await rule.text()).toBe(200);
      const id = await traffic.during(async () => {
        await alter('ALTER TABLE content ALTER COLUMN length_seconds TYPE bigint');
        await postgres.query('UPDATE content SET length_seconds = 3000000000 WHERE id = $1', [traffic.quiet]);
        await expect
          .poll(async () => (await pipeline.script('connector.ts', 'status')).output, UNTIL)
          .toMatch(/task 0 FAILED\n.*[Ii]ncompatible/);
        return await insert({ duration_ms: 1_000 });
      });
      expect((await pipeline.script('connector.ts', 'status')).code).toBe(1);
      expect(await shown(id)).toBeUndefined();
      expect((await fetch(subject, { method: 'DELETE' })).ok).toBe(true);
      const mended = await pipeline.script('connector.ts', 'register');
      expect(mended, mended.output).toMatchObject({ code: 0 });
      await untilShown(id, { length: '3000000000', duration_ms: '1000' });
      await expectEqual();
    });

    it('shows values that only a widened column holds', async () => {
      const narrow = await insert({ duration_ms: 60_000 });
      const wide = await traffic.during(async () => {
        await alter('ALTER TABLE engagement_events ALTER COLUMN duration_ms TYPE bigint');
        return await insert({ duration_ms: 3_000_000_000 });
      });
      await untilShown(wide, { duration_ms: '3000000000', length: '3000000000' });
      await untilShown(narrow, { duration_ms: '60000' });
      // The contract may not widen its field: what does not fit has one of its own.
      await expect
        .poll(async () => await published(wide), UNTIL)
        .toMatchObject({
          duration_ms: null,
          duration_ms_wide: 3_000_000_000,
          content_length_seconds: null,
          content_length_seconds_wide: 3_000_000_000,
          engagement_pct_bp: 10,
        });
      expect(await published(narrow)).toMatchObject({ duration_ms: 60_000, duration_ms_wide: null });
      await expectEqual();
    });

    it('follows a column that is renamed by adding, copying and dropping', async () => {
      const id = await insert({ campaign: 'july' });
      await traffic.during(async () => {
        await alter(
          'ALTER TABLE engagement_events ADD COLUMN campaign_name text',
          'UPDATE engagement_events SET campaign_name = campaign WHERE campaign IS NOT NULL',
        );
        await untilShown(id, { extra: { app_version: '1.0', campaign: 'july', campaign_name: 'july' } });
        await alter('ALTER TABLE engagement_events DROP COLUMN campaign');
        await postgres.query("UPDATE engagement_events SET campaign_name = 'august' WHERE id = $1", [id]);
      });
      await untilShown(id, { extra: { app_version: '1.0', campaign_name: 'august' } });
      await expectEqual();
    });

    it('goes on without a column that is dropped', async () => {
      const kept = await insert({ app_version: '2.0' });
      await untilShown(kept, { extra: { app_version: '2.0' } });
      const id = await traffic.during(async () => {
        await alter('ALTER TABLE engagement_events DROP COLUMN app_version');
        return await insert({ campaign_name: 'autumn' });
      });
      await untilShown(id, { extra: { campaign_name: 'autumn' } });
      // Nothing was written for the rows that are there: they keep what they had until they are.
      expect((await shown(kept))?.extra).toEqual({ app_version: '2.0' });
      await postgres.query('UPDATE engagement_events SET user_id = user_id WHERE id = $1', [kept]);
      await untilShown(kept, { extra: null });
      await expectEqual();
    });

    it('counts new kinds of events and contents', async () => {
      const content = traffic.uuid();
      const id = await traffic.during(async () => {
        await alter(
          `ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_event_type_known,
         ADD CONSTRAINT engagement_events_event_type_known
           CHECK (event_type IN ('play', 'pause', 'finish', 'click', 'share')) NOT VALID`,
          'ALTER TABLE engagement_events VALIDATE CONSTRAINT engagement_events_event_type_known',
          `ALTER TABLE content DROP CONSTRAINT content_content_type_known,
         ADD CONSTRAINT content_content_type_known CHECK (content_type IN ('podcast', 'newsletter', 'video', 'article')) NOT VALID`,
          'ALTER TABLE content VALIDATE CONSTRAINT content_content_type_known',
          `INSERT INTO content (id, slug, title, content_type, publish_ts) VALUES ('${content}', 'article', 'Article', 'article', now())`,
        );
        return await insert({ content_id: content, event_type: 'share' });
      });
      await untilShown(id, { event_type: 'share', content_type: 'article' });
      const hours = await selectRows<{ events: string; plays: string }>(
        clickHouse,
        'SELECT sum(events) AS events, sum(plays) AS plays FROM engagement_hourly WHERE content_id = {content:UUID}',
        { content },
      );
      expect(hours).toEqual([{ events: '1', plays: '0' }]);
      // The boards among it: one event, no play.
      await expectEqual();
    });

    it('puts rows aside that lack a column which figures are made of, and takes them back when it is there again', async () => {
      traffic.measured = false;
      const kept = await insert({ duration_ms: 5_000 });
      await untilShown(kept, { duration_ms: '5000' });
      const id = await traffic.during(async () => {
        await alter('ALTER TABLE engagement_events DROP COLUMN duration_ms');
        return await insert();
      });
      await expect.poll(async () => await letters('MISSING_FIELD'), UNTIL).toBeGreaterThan(80);
      // What could not be read has changed nothing: no figure turns into NULL unseen.
      expect(await shown(id)).toBeUndefined();
      expect(await shown(kept)).toMatchObject({ duration_ms: '5000' });
      await traffic.during(async () => {
        await alter(
          'ALTER TABLE engagement_events ADD COLUMN duration_ms bigint',
          // Locked first: rows updated in another order than the traffic's would end one of the two in a deadlock.
          `BEGIN; LOCK TABLE engagement_events IN SHARE ROW EXCLUSIVE MODE;
           UPDATE engagement_events SET user_id = user_id; COMMIT`,
        );
      });
      await untilShown(id, { duration_ms: null });
      await untilShown(kept, { duration_ms: null });
      await expectEqual();
    });
  });
}
