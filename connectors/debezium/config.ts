/**
 * The configuration of the source connector, as code. Why each setting is what it is: docs/adr/0002-source-clock-and-capture.md.
 * https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-connector-properties
 */

export const CONNECTOR_NAME = 'sluice-postgres';
export const TOPIC_PREFIX = 'cdc';
export const EVENT_TABLE = 'public.engagement_events';
export const EVENT_TOPIC = `${TOPIC_PREFIX}.${EVENT_TABLE}`;
export const SIGNAL_TABLE = 'public.sluice_signal';
export const NOTIFICATION_TOPIC = 'sluice.notifications';
export const SLOT_NAME = 'sluice';
export const PUBLICATION = 'sluice';
/** Where the routing transform keeps the partition count that it computes with. */
export const PARTITION_COUNT_KEY = 'transforms.route.partition.topic.num';

const NOTIFICATION_CHANNELS_KEY = 'notification.enabled.channels';

/** Dimensions first: a snapshot reads tables in this order. */
const CAPTURED_TABLES = ['public.content', EVENT_TABLE, 'public.sluice_heartbeat'];

/** Apicurio's, asked once for each schema (infra/native/maven/converter): the bytes are the same, at a third of the CPU. */
const CONVERTER = 'sluice.connect.CachingAvroConverter';

const DAY_MS = 86_400_000;

const HEARTBEAT_QUERY =
  'INSERT INTO public.sluice_heartbeat (id, beat_at) VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET beat_at = EXCLUDED.beat_at';

export interface ConnectorOptions {
  /** The database as Kafka Connect reaches it. */
  readonly postgres: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    readonly password: string;
  };
  /** The registry's own API as Kafka Connect reaches it: http://HOST:PORT/apis/registry/v2 */
  readonly registryUrl: string;
  /** Class of the converter, where Kafka Connect has not ours but Apicurio's own. */
  readonly converter?: string;
  /** Partitions of the event topic. */
  readonly partitions: number;
  readonly heartbeatMs?: number;
  /** Rows that an incremental snapshot reads at a time. */
  readonly snapshotChunkRows?: number;
}

export type ConnectorConfig = Readonly<Record<string, string>>;

/** The whole configuration, as Kafka Connect's REST interface takes it. */
export function connectorConfig(options: ConnectorOptions): ConnectorConfig {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    ...database(options),
    ...delivery(),
    ...capture(options),
    ...routing(options.partitions),
    ...topicCreation(options.partitions),
    ...converter('key', options),
    ...converter('value', options),
  };
}

/** The same, silent: for the first snapshot (see `registerConnector`). */
export function withoutNotifications(config: ConnectorConfig): ConnectorConfig {
  return Object.fromEntries(Object.entries(config).filter(([key]) => key !== NOTIFICATION_CHANNELS_KEY));
}

function database({ postgres }: ConnectorOptions): ConnectorConfig {
  return {
    'database.hostname': postgres.host,
    'database.port': String(postgres.port),
    'database.dbname': postgres.database,
    'database.user': postgres.user,
    'database.password': postgres.password,
    'plugin.name': 'pgoutput',
    'publication.name': PUBLICATION,
    // Made by a migration, with an explicit list; the role of the connector may not change it.
    'publication.autocreate.mode': 'disabled',
    'slot.name': SLOT_NAME,
    // After a crash the server needs a moment to see that the old reader of the slot is gone.
    'slot.max.retries': '60',
    'slot.retry.delay.ms': '1000',
    'retriable.restart.connector.wait.ms': '2000',
  };
}

function delivery(): ConnectorConfig {
  return {
    'exactly.once.support': 'required',
    'transaction.boundary': 'poll',
    'poll.interval.ms': '100',
    'max.batch.size': '8192',
    'max.queue.size': '32768',
    'max.queue.size.in.bytes': String(128 * 1024 * 1024),
    'producer.override.compression.type': 'lz4',
    'producer.override.linger.ms': '5',
    'producer.override.batch.size': '262144',
    // About 250 bytes on every record, and quantiles over every record: nobody reads either.
    'extended.headers.enabled': 'false',
    'statistics.metrics.enabled': 'false',
    // A value that cannot be converted must not turn into a NULL that looks like one.
    'event.converting.failure.handling.mode': 'fail',
  };
}

function capture(options: ConnectorOptions): ConnectorConfig {
  return {
    'topic.prefix': TOPIC_PREFIX,
    'table.include.list': CAPTURED_TABLES.join(','),
    'snapshot.mode': 'initial',
    // Unique, else an incremental snapshot loses rows; content first, so that the key says where the row lives.
    'message.key.columns': `${EVENT_TABLE}:content_id,id`,
    'tombstones.on.delete': 'false',
    'decimal.handling.mode': 'string',
    'schema.name.adjustment.mode': 'avro',
    // The source clock: the time travels through the WAL, in commit order, as a row.
    'heartbeat.interval.ms': String(options.heartbeatMs ?? 1_000),
    'heartbeat.action.query': HEARTBEAT_QUERY,
    'topic.heartbeat.prefix': 'heartbeat',
    'signal.data.collection': SIGNAL_TABLE,
    'signal.enabled.channels': 'source',
    [NOTIFICATION_CHANNELS_KEY]: 'sink',
    'notification.sink.topic.name': NOTIFICATION_TOPIC,
    'incremental.snapshot.chunk.size': String(options.snapshotChunkRows ?? 2_048),
    // Each chunk takes its mark away again: the signal table does not grow.
    'incremental.snapshot.watermarking.strategy': 'INSERT_DELETE',
  };
}

/** Everything about one content in one partition, whatever the key. */
function routing(partitions: number): ConnectorConfig {
  return {
    transforms: 'route',
    'transforms.route.type': 'io.debezium.transforms.partitions.PartitionRouting',
    'transforms.route.partition.payload.fields': 'change.content_id',
    [PARTITION_COUNT_KEY]: String(partitions),
    'transforms.route.partition.hash.function': 'murmur',
    'transforms.route.predicate': 'isEvent',
    predicates: 'isEvent',
    'predicates.isEvent.type': 'org.apache.kafka.connect.transforms.predicates.TopicNameMatches',
    'predicates.isEvent.pattern': EVENT_TOPIC.replaceAll('.', '\\.'),
  };
}

/**
 * The topics are made beforehand, with their own settings. What is made here is what Debezium adds of its own
 * (heartbeats, notifications, the signal table's topic), and should the event topic be missing, it gets the right partitions.
 */
function topicCreation(partitions: number): ConnectorConfig {
  return {
    'topic.creation.groups': 'events',
    'topic.creation.default.replication.factor': '-1',
    'topic.creation.default.partitions': '1',
    'topic.creation.default.cleanup.policy': 'delete',
    'topic.creation.default.retention.ms': String(DAY_MS),
    'topic.creation.events.include': EVENT_TOPIC.replaceAll('.', '\\.'),
    'topic.creation.events.replication.factor': '-1',
    'topic.creation.events.partitions': String(partitions),
    'topic.creation.events.cleanup.policy': 'delete',
    'topic.creation.events.retention.ms': String(7 * DAY_MS),
  };
}

/** Avro in Confluent's framing: byte 0, schema id, body. */
function converter(side: 'key' | 'value', options: ConnectorOptions): ConnectorConfig {
  const name = `${side}.converter`;
  return {
    [name]: options.converter ?? CONVERTER,
    [`${name}.apicurio.registry.url`]: options.registryUrl,
    [`${name}.apicurio.registry.auto-register`]: 'true',
    [`${name}.apicurio.registry.find-latest`]: 'true',
    [`${name}.apicurio.registry.as-confluent`]: 'true',
    [`${name}.apicurio.registry.use-id`]: 'contentId',
    // Without these the id is in headers, or eight bytes long.
    [`${name}.apicurio.registry.headers.enabled`]: 'false',
    [`${name}.apicurio.registry.id-handler`]: 'io.apicurio.registry.serde.Legacy4ByteIdHandler',
    // Plain types without Connect's annotations: readers get a plain long where there was an annotated one.
    [`${name}.connect.meta.data`]: 'false',
  };
}

const SECRET_KEY = /password|secret|token|credential|jaas|sslkey/i;
const MASK = '********';

/** A value fit to be shown. */
export function masked(key: string, value: string): string {
  return SECRET_KEY.test(key) ? MASK : value;
}

/** One key in which what is registered differs from what should be. */
export type Drift =
  | { readonly kind: 'missing'; readonly key: string; readonly wanted: string }
  | { readonly kind: 'unexpected'; readonly key: string; readonly found: string }
  | { readonly kind: 'different'; readonly key: string; readonly wanted: string; readonly found: string };

/** Compares key by key, in the order of the keys; secrets are compared but shown masked. */
export function configDrift(wanted: ConnectorConfig, found: ConnectorConfig): readonly Drift[] {
  const keys = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].sort();
  const drift: Drift[] = [];
  for (const key of keys) {
    // Connect adds the name itself.
    if (key === 'name') continue;
    const want = wanted[key];
    const have = found[key];
    if (want === have) continue;
    if (have === undefined) drift.push({ kind: 'missing', key, wanted: masked(key, want!) });
    else if (want === undefined) drift.push({ kind: 'unexpected', key, found: masked(key, have) });
    else drift.push({ kind: 'different', key, wanted: masked(key, want), found: masked(key, have) });
  }
  return drift;
}

/** One line for a person. */
export function describeDrift(drift: Drift): string {
  switch (drift.kind) {
    case 'missing':
      return `+ ${drift.key} = ${drift.wanted}`;
    case 'unexpected':
      return `- ${drift.key} = ${drift.found}`;
    case 'different':
      return `~ ${drift.key} = ${drift.wanted} (was ${drift.found})`;
    default:
      return drift satisfies never;
  }
}
