/** A rebuild of ClickHouse while a sink writes and readers read: killed at every step, then run to its end. */
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { holdsOf } from '../../../connectors/clickhouse/hold.ts';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { frame } from '../../../engine/avro/framing.ts';
import type { TransactionalWriter } from '../../../engine/log.ts';
import { sinkWorker } from '../../../engine/sink-worker.ts';
import type { RunnableWorker } from '../../../engine/stage-worker.ts';
import { type EventRow, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { changeDecoder, encodeChange } from '../../../pipelines/engagement/codec/change.ts';
import { encodeEventValue } from '../../../pipelines/engagement/codec/event.ts';
import { encodeKey } from '../../../pipelines/engagement/codec/key.ts';
import type { WarehouseReplayResult, WarehouseStep } from '../../../pipelines/operations/replay/warehouse.ts';
import { SUBJECTS, schemaText } from '../../../schemas/subjects.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import {
  type EngagementDatabase,
  engagementDatabase,
  expectedFigures,
  readFigures,
} from '../../support/engagement-figures.ts';
import { contentId } from '../../support/engagement-model.ts';
import { brokers, stackEnv, unique } from '../../support/env.ts';
import { random } from '../../support/random.ts';
import { createTopic } from '../kafka/topics.ts';

const PARTITIONS = 2;
const BASE = 400;
const CHILD = fileURLToPath(new URL('./replay-child.ts', import.meta.url));

const name = unique('replay');
const changes = `${name}.changes`;
const states = `${name}.states`;
const ids = { key: 0, event: 0, change: 0 };

let server: TestClickHouse;
let database: EngagementDatabase;
let kafka: KafkaClient;
let worker: RunnableWorker;
let running: Promise<void>;
let history: History;

/** Rows that are inserted and updated in place, so that nobody may ever see fewer of them. */
class History {
  readonly rows = new Map<bigint, EventRow>();
  readonly #writer: TransactionalWriter;
  readonly #bytes = new ByteWriter();
  readonly #next = random(11);
  #lsn = 100n;

  constructor(writer: TransactionalWriter) {
    this.#writer = writer;
  }

  async transaction(inserts: number, updates: number): Promise<void> {
    const partition = Math.floor(this.#next() * PARTITIONS);
    const changed = this.#writer.batch(changes, partition);
    const present = this.#writer.batch(states, partition);
    const mine = [...this.rows.values()].filter((row) => row.content_id === contentId(partition));
    for (let index = 0; index < inserts + updates; index++) {
      const old = index < inserts ? null : (mine[Math.floor(this.#next() * mine.length)] ?? null);
      const id = old?.event_id ?? BigInt(this.rows.size + 1);
      const before = old === null ? null : this.rows.get(id)!;
      const after = this.#row(id, partition, before);
      this.rows.set(id, after);
      this.#lsn += 1n;
      const source = { lsn: this.#lsn, xid: this.#lsn, commitTsMs: Date.now() };
      // What is taken off is compared by nobody here.
      const encoded = { before: before === null ? null : this.#body(before, source), after: this.#body(after, source) };
      this.#bytes.reset();
      const kind = before === null ? 'insert' : 'update';
      changed.append(null, encodeChange(this.#bytes, ids.change, { kind, ...source, ...encoded }), source.commitTsMs);
      this.#bytes.reset();
      const key = Buffer.from(encodeKey(this.#bytes, ids.key, after.content_id, id));
      this.#bytes.reset();
      present.append(key, frame(this.#bytes, ids.event, encoded.after), source.commitTsMs);
    }
    this.#bytes.reset();
    const mark = { kind: 'mark', lsn: this.#lsn, xid: 0n, commitTsMs: Date.now(), before: null, after: null } as const;
    changed.append(null, encodeChange(this.#bytes, ids.change, mark), mark.commitTsMs);
    const offsets = { group: `${name}.history`, topic: changes, partition, offset: 0n, metadata: '' };
    await this.#writer.commit(present.count === 0 ? [changed] : [changed, present], offsets);
  }

  #row(id: bigint, partition: number, before: EventRow | null): EventRow {
    const day = Math.floor(this.#next() * 90);
    return {
      event_id: id,
      content_id: contentId(partition),
      user_id: contentId(9),
      event_type: ['play', 'pause', 'finish', 'click'][Math.floor(this.#next() * 4)]!,
      event_ts: before?.event_ts ?? (Date.UTC(2026, 0, 1) + day * 86_400_000) * 1_000,
      duration_ms: Math.floor(this.#next() * 100_000),
      device: before === null ? (this.#next() < 0.5 ? 'ios' : null) : before.device,
      content_slug: `content-${partition}`,
      content_title: `Title ${partition}`,
      content_type: 'video',
      content_length_seconds: null,
      content_length_seconds_wide: null,
      duration_ms_wide: null,
      extra: null,
      engagement_pct_bp: null,
    };
  }

  #body(row: EventRow, { lsn, commitTsMs }: { readonly lsn: bigint; readonly commitTsMs: number }): Buffer {
    const writer = new ByteWriter({ chunkBytes: 1_024 });
    writer.begin();
    encodeEventValue(writer, { ...row, source_lsn: lsn, source_commit_ts: commitTsMs });
    return Buffer.from(writer.take());
  }
}

async function register(): Promise<RegistryClient> {
  const registry = new RegistryClient({ url: stackEnv().SLUICE_REGISTRY_URL! });
  for (const [kind, subject] of [
    ['key', SUBJECTS.eventKey],
    ['event', SUBJECTS.event],
    ['change', SUBJECTS.change],
  ] as const) {
    const text = schemaText(subject.schema);
    await registry.register({ ...subject, text });
    ids[kind] = await registry.idOf({ name: subject.name, text });
  }
  return registry;
}

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'warehouse');
  await createTopic(brokers(), changes, { partitions: PARTITIONS });
  await createTopic(brokers(), states, { partitions: PARTITIONS, config: { 'cleanup.policy': 'compact' } });
  const registry = await register();
  kafka = new KafkaClient({ brokers: brokers(), clientId: name });
  const writer = kafka.writer(`${name}.history`);
  await writer.fence();
  history = new History(writer);
  const decoder = changeDecoder(registry);
  worker = sinkWorker({
    definition: {
      ...{ name, input: changes, dlq: `${name}.dlq` },
      sink: engagementClickHouseSink({ name, config: database.config }),
      prepare: async (records) => await decoder.prepare(records.map(({ value }) => value)),
      decode: (value) => decoder.decode(value),
      streamTimeMs: (change) => change.commit_ts,
      ...{ generation: 1, maxRecords: 1_000 },
    },
    client: new KafkaClient({ brokers: brokers(), clientId: `${name}.sink` }),
    logger: pino({ level: 'silent' }),
    ...{ gatherMs: 50, gatherBytes: 1 << 20 },
  });
  running = worker.run();
  running.catch(() => {});
});
afterAll(async () => {
  await worker?.stop();
  await kafka?.close();
  await database?.close();
  await server?.stop();
});

interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

async function child(killAt: WarehouseStep | null, run: string, mode: 'swap' | 'compare' = 'swap'): Promise<Ended> {
  const given = JSON.stringify({ run, changes, states, pipeline: name, killAt, mode });
  const env = {
    ...process.env,
    ...stackEnv(),
    SLUICE_CLICKHOUSE_URL: server.url,
    SLUICE_CLICKHOUSE_DATABASE: database.config.database,
  };
  const process_ = spawn(process.execPath, [CHILD, given], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 90_000 });
  let output = '';
  for (const stream of [process_.stdout, process_.stderr]) stream.on('data', (chunk) => (output += chunk));
  const signal = await new Promise<NodeJS.Signals | null>((resolve) =>
    process_.once('close', (_, sent) => resolve(sent)),
  );
  return { signal, output };
}

const COUNTS = `SELECT (SELECT count() FROM engagement_events) AS events, (SELECT sum(events) FROM engagement_hourly) AS hourly,
  (SELECT sum(events) FROM engagement_weekly) AS weekly`;
type Counts = Readonly<Record<'events' | 'hourly' | 'weekly', string>>;

/** Between one piece of work and the next: as fast as it can, traffic would only make the history longer, and readers the machine slower. */
const PACE_MS = 20;

/** Does `work` until told to stop; the answer is what went wrong. */
function forever(work: () => Promise<void>): { stop(): Promise<void> } {
  let stopped = false;
  const ended = (async () => {
    while (!stopped) {
      await work();
      await pause(PACE_MS);
    }
  })();
  ended.catch(() => {});
  return {
    stop: async () => {
      stopped = true;
      await ended;
    },
  };
}

async function untilWritten(): Promise<void> {
  await expect
    .poll(async () => (await selectRows<Counts>(database.client, COUNTS))[0]!.events, { timeout: 60_000 })
    .toBe(String(history.rows.size));
}

const command = (query: string) => database.client.command({ query });

it('is whole to readers at every moment, whatever step it dies at, and right in the end', {
  timeout: 300_000,
}, async () => {
  while (history.rows.size < BASE) await history.transaction(50, 10);
  await untilWritten();
  const traffic = forever(async () => await history.transaction(2, 3));
  await command('INSERT INTO engagement_daily_store SELECT * FROM engagement_daily_store');
  let last: Counts = { events: '0', hourly: '0', weekly: '0' };
  const dropped: string[] = [];
  const readers = forever(async () => {
    const [now] = await selectRows<Counts>(database.client, COUNTS);
    for (const view of ['events', 'hourly', 'weekly'] as const) {
      if (Number(now![view]) < Number(last[view])) dropped.push(`${view} from ${last[view]} to ${now![view]}`);
    }
    last = now!;
  });
  for (const [index, step] of (['begun', 'staged', 'filled', 'held', 'swapped'] as const).entries()) {
    const { signal, output } = await child(step, `k${index}`);
    expect(signal, `${step}: ${output}`).toBe('SIGKILL');
  }
  // What the last one died of was done: daily sums are right again, so spoil them once more.
  await command('ALTER TABLE engagement_daily_store UPDATE events = events + 1 WHERE 1 SETTINGS mutations_sync = 2');
  const compared = await child(null, 'compare', 'compare');
  const { differences } = JSON.parse(compared.output) as WarehouseReplayResult;
  expect(differences!.map(({ table, missing, extra, changed }) => [table, missing + extra + changed > 0])).toEqual([
    ['engagement_content_store', false],
    ['engagement_daily_store', true],
    ['engagement_events_store', false],
    ['engagement_hourly_store', false],
    ['engagement_weekly_store', false],
  ]);
  const { signal, output } = await child(null, 'whole');
  expect(signal, output).toBeNull();
  expect(output).toMatch(/"heldMs":\d+/);
  await traffic.stop();
  await untilWritten();
  await readers.stop();
  expect(dropped).toEqual([]);
  await expect
    .poll(async () => await readFigures(database.client), { timeout: 60_000 })
    .toEqual(expectedFigures([...history.rows.values()]));
  expect(await selectRows(database.client, "SHOW TABLES LIKE '%shadow%'")).toEqual([]);
  expect(await holdsOf(database.client, 'engagement_changes')).toEqual([]);
});
