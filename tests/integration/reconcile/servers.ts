/** A private Postgres, broker, Redis and ClickHouse for the tests of reconcile, set up as Sluice does it. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { migrateClickHouse } from '../../../connectors/clickhouse/migrations.ts';
import { createTopics } from '../../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { migratePostgres } from '../../../connectors/postgres/migrations.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { type Config, clickHouseConfig, kafkaOptions, loadConfig } from '../../../pipelines/config.ts';
import { topicConfig } from '../../../pipelines/operations/topics.ts';
import { allTopics } from '../../../pipelines/topics.ts';
import { SUBJECTS, schemaText } from '../../../schemas/subjects.ts';
import { freePortBase } from '../../support/ports.ts';
import { CDC_KEY, CDC_VALUE } from './letters.ts';

export const PARTITIONS = 2;

/** Ids of the schemas in `schemas`. */
export const IDS = { key: 1, event: 2, cdcKey: 3, cdcValue: 4 } as const;

const TEXTS: Readonly<Record<number, string>> = {
  [IDS.key]: schemaText(SUBJECTS.eventKey.schema),
  [IDS.event]: schemaText(SUBJECTS.event.schema),
  [IDS.cdcKey]: JSON.stringify(CDC_KEY),
  [IDS.cdcValue]: JSON.stringify(CDC_VALUE),
};

/** Schemas by id, as a registry would give them. */
export const schemas: SchemaSource = { schemaById: async (id) => TEXTS[id] ?? null };

export interface Servers {
  readonly config: Config;
  readonly pool: PostgresPool;
  readonly log: KafkaClient;
  readonly clickHouse: ReturnType<typeof clickHouseClient>;
  stop(): Promise<void>;
}

const folder = (name: string): string => fileURLToPath(new URL(`../../../sql/${name}`, import.meta.url));

export async function startServers(): Promise<Servers> {
  const home = mkdtempSync(join(tmpdir(), 'sluice-reconcile-'));
  const services = ['postgres', 'kafka', 'redis', 'clickhouse'] as const;
  const stack = await startStack({ home, portBase: await freePortBase(), services });
  try {
    return await setUp(stack);
  } catch (error) {
    await stack.stop({ remove: true });
    throw error;
  }
}

async function setUp(stack: Stack): Promise<Servers> {
  const config = loadConfig({ ...stack.env, SLUICE_PARTITIONS: String(PARTITIONS) });
  const kafka = kafkaOptions(config, 'test-reconcile');
  await migratePostgres({ url: config.SLUICE_POSTGRES_URL, directory: folder('postgres') });
  await migrateClickHouse({ config: clickHouseConfig(config), directory: folder('clickhouse') });
  await createTopics(
    { ...kafka, replication: 1 },
    allTopics(PARTITIONS).map((spec) => ({ ...spec, config: topicConfig(spec) })),
  );
  const pool = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'test-reconcile' });
  const log = new KafkaClient(kafka);
  const clickHouse = clickHouseClient(clickHouseConfig(config));
  return {
    config,
    pool,
    log,
    clickHouse,
    async stop() {
      await Promise.allSettled([pool.close(), log.close(), clickHouse.close()]);
      await stack.stop({ remove: true });
    },
  };
}
