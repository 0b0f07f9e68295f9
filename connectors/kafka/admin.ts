/** Creating topics with explicit settings, and noticing those that are otherwise. Public kafkajs API only. */
import { readFileSync } from 'node:fs';
import kafkajs, { type Admin, type Kafka, type SASLOptions } from 'kafkajs';
import { SluiceError } from '../../engine/errors.ts';
import type { KafkaOptions } from './cluster.ts';
import { kafkaError } from './errors.ts';

export interface TopicSettings {
  readonly name: string;
  readonly partitions: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface TopicOutcome {
  readonly name: string;
  readonly outcome: 'created' | 'present';
  /** Settings that differ from what is wanted: `name: is X, wanted Y`. */
  readonly drift: readonly string[];
}

/** A kafkajs client for scripts, with the same connection settings as the workers. */
export function plainKafka(options: KafkaOptions): Kafka {
  return new kafkajs.Kafka({
    clientId: options.clientId,
    brokers: [...options.brokers],
    ssl: options.ssl === undefined ? undefined : { ca: [readFileSync(options.ssl.caFile, 'utf8')] },
    sasl: options.sasl as SASLOptions | undefined,
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: 3_000,
    retry: { initialRetryTime: 100, retries: 8 },
  });
}

/**
 * Creates what is missing; what exists is compared, never changed. Throws TOPIC_PARTITIONS (fatal) when a topic has another partition
 * count: everything about one content must stay in one partition, so that cannot be mended in place.
 */
export async function createTopics(
  options: KafkaOptions & { readonly replication: number },
  topics: readonly TopicSettings[],
): Promise<readonly TopicOutcome[]> {
  const admin = plainKafka(options).admin();
  try {
    await admin.connect();
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter(({ name }) => !existing.has(name));
    if (missing.length > 0) {
      await admin.createTopics({
        waitForLeaders: true,
        topics: missing.map(({ name, partitions, config }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: options.replication,
          configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
        })),
      });
    }
    const present = topics.filter(({ name }) => existing.has(name));
    const drift = await compare(admin, present);
    return topics.map(({ name }) => ({
      name,
      outcome: existing.has(name) ? 'present' : 'created',
      drift: drift.get(name) ?? [],
    }));
  } catch (error) {
    throw kafkaError(error, 'create topics');
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

async function compare(admin: Admin, topics: readonly TopicSettings[]): Promise<Map<string, string[]>> {
  if (topics.length === 0) return new Map();
  const metadata = await admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(({ name }) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
  });
  return new Map(
    topics.map(({ name, partitions, config }) => {
      const found = metadata.topics.find((topic) => topic.name === name)!.partitions.length;
      if (found !== partitions) {
        throw new SluiceError(
          `Topic ${name} has ${found} partitions, wanted ${partitions}. Set SLUICE_PARTITIONS=${found}, or start with new topics`,
          { code: 'TOPIC_PARTITIONS', action: 'fatal' },
        );
      }
      const entries = resources.find((resource) => resource.resourceName === name)?.configEntries ?? [];
      const is = new Map(entries.map((entry) => [entry.configName, entry.configValue]));
      const drift = Object.entries(config)
        .filter(([key, value]) => is.get(key) !== value)
        .map(([key, value]) => `${key}: is ${is.get(key)}, wanted ${value}`);
      return [name, drift];
    }),
  );
}
