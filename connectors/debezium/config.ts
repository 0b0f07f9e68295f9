/**
 * The configuration of the source connector, as code. Why each setting is what it is: docs/adr/0002-source-clock-and-capture.md.
 * https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-connector-properties
 */

export const CONNECTOR_NAME = 'sluice-postgres';
export const TOPIC_PREFIX = 'cdc';
export const SIGNAL_TABLE = 'public.sluice_signal';
export const NOTIFICATION_TOPIC = 'sluice.notifications';
export const SLOT_NAME = 'sluice';
export const PUBLICATION = 'sluice';
/** The source clock: Debezium updates its one row, and reads it back from the WAL. */
export const HEARTBEAT_TABLE = 'public.sluice_heartbeat';

const NOTIFICATION_CHANNELS_KEY = 'notification.enabled.channels';

/** A table that a pipeline asks to be captured, into the topic `topicOf` names. */
export interface CapturedTable {
  /** `schema.table` */
  readonly name: string;
  /** Columns of the record key, where it is not the primary key. Unique together, else an incremental snapshot loses rows. */
  readonly key?: readonly string[];
  /** The column whose rows stay together in one of the topic's partitions. Without: a topic of one partition. */
  readonly routeBy?: string;
}

export function topicOf<N extends string>({ name }: { readonly name: N }): `${typeof TOPIC_PREFIX}.${N}` {
  return `${TOPIC_PREFIX}.${name}`;
}

/** Where the routing transform of a table keeps the partition count that it computes with. */
export function partitionCountKey(table: CapturedTable): string {
  return `transforms.${transformOf(table)}.partition.topic.num`;
}

/** Apicurio's, asked once for each schema (infra/native/maven/converter): the bytes are the same, at a third of the CPU. */
const CONVERTER = 'sluice.connect.CachingAvroConverter';

/** The largest change that is captured: an update carries its row twice, before and after. A larger one stops the connector. */
export const MAX_CAPTURED_BYTES = 32 << 20;

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
  /** Dimensions first: a snapshot reads them in this order. */
  readonly tables: readonly CapturedTable[];
  /** Partitions of the topics that are routed by a column. */
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
    ...routing(options),
    ...topicCreation(options),
    ...converter('key', options),
    ...converter('value', options),
  };
}

/** Whether the connector reports its snapshots. */
export function notifies(config: ConnectorConfig): boolean {
  return config[NOTIFICATION_CHANNELS_KEY] !== undefined;
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
    // Where an incremental snapshot is in a key, Debezium keeps times as text; Postgres takes them for times only if they come without a type.
    'driver.stringtype': 'unspecified',
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
    // By default a change of more than 1 MB would stop the connector; the buffer must hold one too.
    'producer.override.max.request.size': String(MAX_CAPTURED_BYTES),
    'producer.override.buffer.memory': String(2 * MAX_CAPTURED_BYTES),
    // A Connect that starts again waits for the end of the transaction that a killed one had left open, a minute by default. As long
    // as the broker is away for less than this, no transaction times out under a living task.
    'producer.override.transaction.timeout.ms': '30000',
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
    'table.include.list': [...options.tables.map(({ name }) => name), HEARTBEAT_TABLE].join(','),
    'snapshot.mode': 'initial',
    'message.key.columns': options.tables
      .flatMap(({ name, key }) => (key === undefined ? [] : [`${name}:${key.join(',')}`]))
      .join(';'),
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

const routed = (tables: readonly CapturedTable[]) => tables.filter(({ routeBy }) => routeBy !== undefined);

const transformOf = ({ name }: CapturedTable) => `route_${name.replace(/\W/g, '_')}`;

const patternOf = (table: CapturedTable) => topicOf(table).replaceAll('.', '\\.');

/** Rows with one value in the routing column in one partition, whatever the key. One transform for each table: they route by other columns. */
function routing({ tables, partitions }: ConnectorOptions): ConnectorConfig {
  const names = routed(tables).map(transformOf);
  const settings = routed(tables).map((table): ConnectorConfig => {
    const name = transformOf(table);
    return {
      [`transforms.${name}.type`]: 'io.debezium.transforms.partitions.PartitionRouting',
      [`transforms.${name}.partition.payload.fields`]: `change.${table.routeBy}`,
      [partitionCountKey(table)]: String(partitions),
      [`transforms.${name}.partition.hash.function`]: 'murmur',
      [`transforms.${name}.predicate`]: name,
      [`predicates.${name}.type`]: 'org.apache.kafka.connect.transforms.predicates.TopicNameMatches',
      [`predicates.${name}.pattern`]: patternOf(table),
    };
  });
  return Object.assign({ transforms: names.join(','), predicates: names.join(',') }, ...settings) as ConnectorConfig;
}

/**
 * The topics are made beforehand, with their own settings. What is made here is what Debezium adds of its own
 * (heartbeats, notifications, the signal table's topic), and should a routed topic be missing, it gets the right partitions.
 */
function topicCreation({ tables, partitions }: ConnectorOptions): ConnectorConfig {
  return {
    'topic.creation.groups': 'routed',
    'topic.creation.default.replication.factor': '-1',
    'topic.creation.default.partitions': '1',
    'topic.creation.default.cleanup.policy': 'delete',
    'topic.creation.default.retention.ms': String(DAY_MS),
    'topic.creation.routed.include': routed(tables).map(patternOf).join(','),
    'topic.creation.routed.replication.factor': '-1',
    'topic.creation.routed.partitions': String(partitions),
    'topic.creation.routed.cleanup.policy': 'delete',
    'topic.creation.routed.retention.ms': String(7 * DAY_MS),
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
