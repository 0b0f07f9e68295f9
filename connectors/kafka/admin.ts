/** Creating topics with explicit settings, and noticing those that are otherwise. Public kafkajs API only. */
import kafkajs, { type Admin } from 'kafkajs';
import { pause } from '../../engine/backoff.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { KafkaOptions } from './cluster.ts';
import { isKafka, kafkaError } from './errors.ts';
import { plainKafka } from './plain.ts';

const LEADERS_DEADLINE_MS = 15_000;
const LEADERS_PAUSE_MS = 50;

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
        // kafkajs gives up when the broker that it asks has not heard of the topic yet.
        waitForLeaders: false,
        topics: missing.map(({ name, partitions, config }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: options.replication,
          configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
        })),
      });
      await untilLed(
        admin,
        missing.map(({ name }) => name),
      );
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

/** Waits until every partition can be written. Throws KAFKA_LEADER_NOT_AVAILABLE (retry) when that takes too long. */
async function untilLed(admin: Admin, topics: string[]): Promise<void> {
  const deadline = Date.now() + LEADERS_DEADLINE_MS;
  while (!(await areLed(admin, topics))) {
    if (Date.now() > deadline) {
      throw new SluiceError(`Topics ${topics.join(', ')} have no leaders after ${LEADERS_DEADLINE_MS / 1000} s`, {
        code: 'KAFKA_LEADER_NOT_AVAILABLE',
        action: 'retry',
      });
    }
    await pause(LEADERS_PAUSE_MS);
  }
}

async function areLed(admin: Admin, topics: string[]): Promise<boolean> {
  try {
    const found = await admin.fetchTopicMetadata({ topics });
    return found.topics.every(
      ({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0),
    );
  } catch (error) {
    if (isKafka(kafkaError(error, 'look up topics'), 'UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE'))
      return false;
    throw error;
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

/** Those of the topics that exist. Throws as `kafkaError`. */
export async function existingTopics(options: KafkaOptions, topics: readonly string[]): Promise<ReadonlySet<string>> {
  const admin = plainKafka(options).admin();
  try {
    await admin.connect();
    const existing = new Set(await admin.listTopics());
    return new Set(topics.filter((name) => existing.has(name)));
  } catch (error) {
    throw kafkaError(error, 'list topics');
  } finally {
    await admin.disconnect().catch(() => {});
  }
}

/** Deletes topics and a consumer group; what is not there is no error. Throws KAFKA_NON_EMPTY_GROUP while a member is in it. */
export async function deleteTopics(
  options: KafkaOptions,
  { topics, group }: { readonly topics: readonly string[]; readonly group: string },
): Promise<void> {
  const admin = plainKafka(options).admin();
  try {
    await admin.connect();
    const { groups } = await admin.listGroups();
    if (groups.some(({ groupId }) => groupId === group)) await admin.deleteGroups([group]);
    const existing = new Set(await admin.listTopics());
    const present = topics.filter((name) => existing.has(name));
    if (present.length > 0) await admin.deleteTopics({ topics: present });
  } catch (error) {
    throw kafkaError(error, `delete the group ${group} and its topics`);
  } finally {
    await admin.disconnect().catch(() => {});
  }
}
