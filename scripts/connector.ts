/** `npm run connector -- register|status|config|delete`: the Debezium connector that captures Postgres. */
import { Command } from 'commander';
import {
  CONNECTOR_NAME,
  type ConnectorOptions,
  configDrift,
  connectorConfig,
  describeDrift,
  masked,
  SLOT_NAME,
} from '../connectors/debezium/config.ts';
import { ConnectApi } from '../connectors/debezium/connect-api.ts';
import { checkPartitionCount } from '../connectors/debezium/partitions.ts';
import { registerConnector } from '../connectors/debezium/register.ts';
import { describeStatus, failureOf, isRunning } from '../connectors/debezium/status.ts';
import { KafkaClient } from '../connectors/kafka/client.ts';
import { PostgresPool } from '../connectors/postgres/pool.ts';
import { SluiceError } from '../engine/errors.ts';
import { CAPTURED_TABLES } from '../pipelines/capture.ts';
import { type Config, kafkaOptions, loadConfig } from '../pipelines/config.ts';
import { runScript } from './support/run.ts';

/** The connector as the environment asks for it. Connect may reach the servers by other addresses than we do. */
function optionsFrom(config: Config, env: NodeJS.ProcessEnv): ConnectorOptions {
  const password = env.SLUICE_POSTGRES_CAPTURE_PASSWORD;
  if (!password) {
    throw new SluiceError(
      'SLUICE_POSTGRES_CAPTURE_PASSWORD is not set: the connector logs in as sluice_capture. Set it, run npm run migrate, then this again.',
      { code: 'CAPTURE_PASSWORD_MISSING', action: 'fatal' },
    );
  }
  const database = new URL(config.SLUICE_POSTGRES_URL);
  const address = new URL(`tcp://${env.SLUICE_CAPTURE_POSTGRES_ADDRESS || database.host}`);
  return {
    postgres: {
      host: address.hostname,
      port: Number(address.port || 5_432),
      database: decodeURIComponent(database.pathname.slice(1)),
      user: 'sluice_capture',
      password,
    },
    registryUrl:
      env.SLUICE_CAPTURE_REGISTRY_URL || config.SLUICE_REGISTRY_URL.replace(/\/apis\/.*$/, '/apis/registry/v2'),
    converter: env.SLUICE_CAPTURE_CONVERTER || undefined,
    tables: CAPTURED_TABLES,
    partitions: config.SLUICE_PARTITIONS,
  };
}

async function register(): Promise<void> {
  const config = loadConfig(process.env);
  const api = new ConnectApi(config.SLUICE_CONNECT_URL);
  const wanted = connectorConfig(optionsFrom(config, process.env));
  await checkTopic(config, wanted);
  const { outcome, drift } = await registerConnector(api, { name: CONNECTOR_NAME, config: wanted });
  for (const item of drift) console.log(describeDrift(item));
  console.log(`${CONNECTOR_NAME}: ${outcome}, running`);
}

async function checkTopic(config: Config, wanted: Readonly<Record<string, string>>): Promise<void> {
  const kafka = new KafkaClient(kafkaOptions(config, 'sluice-connector'));
  try {
    for (const table of CAPTURED_TABLES) {
      if (table.routeBy !== undefined) await checkPartitionCount(wanted, table, (topic) => partitionsOf(kafka, topic));
    }
  } finally {
    await kafka.close();
  }
}

async function partitionsOf(kafka: KafkaClient, topic: string): Promise<number> {
  try {
    return await kafka.partitions(topic);
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'KAFKA_UNKNOWN_TOPIC_OR_PARTITION') throw error;
    throw new SluiceError(`Topic ${topic} does not exist: run npm run topics -- create first`, {
      code: 'CAPTURED_TOPIC_MISSING',
      action: 'fatal',
      cause: error,
    });
  }
}

async function status(options: { readonly json: boolean }): Promise<void> {
  const config = loadConfig(process.env);
  const api = new ConnectApi(config.SLUICE_CONNECT_URL);
  const [found, registered] = await Promise.all([api.status(CONNECTOR_NAME), api.config(CONNECTOR_NAME)]);
  if (found === null || registered === null) {
    console.log(options.json ? JSON.stringify({ registered: false }) : `${CONNECTOR_NAME}: not registered`);
    process.exitCode = 1;
    return;
  }
  const drift = configDrift(connectorConfig(optionsFrom(config, process.env)), registered);
  const failure = failureOf(found);
  if (options.json) {
    console.log(JSON.stringify({ registered: true, running: isRunning(found), status: found, failure, drift }));
  } else {
    console.log(`${CONNECTOR_NAME}: ${describeStatus(found)}`);
    if (failure !== null) console.log(failure);
    for (const item of drift) console.log(describeDrift(item));
    if (drift.length > 0) console.log('The registered configuration differs: npm run connector -- register');
  }
  process.exitCode = isRunning(found) && drift.length === 0 ? 0 : 1;
}

function showConfig(): void {
  const config = connectorConfig(optionsFrom(loadConfig(process.env), process.env));
  const shown = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, masked(key, value)]));
  console.log(JSON.stringify(shown, null, 2));
}

async function remove(options: { readonly forget: boolean }): Promise<void> {
  const config = loadConfig(process.env);
  const api = new ConnectApi(config.SLUICE_CONNECT_URL);
  // Offsets and slot go together: one without the other is a gap that nobody would see.
  if (options.forget && (await api.config(CONNECTOR_NAME)) !== null) {
    await api.stop(CONNECTOR_NAME);
    await api.deleteOffsets(CONNECTOR_NAME);
  }
  const existed = await api.delete(CONNECTOR_NAME);
  console.log(existed ? `${CONNECTOR_NAME}: deleted` : `${CONNECTOR_NAME}: was not registered`);
  if (options.forget) await dropSlot(config.SLUICE_POSTGRES_URL);
  else console.log(`The slot ${SLOT_NAME} stays and keeps WAL until the connector is back; --forget drops it.`);
}

async function dropSlot(url: string): Promise<void> {
  const pool = new PostgresPool({ url, applicationName: 'sluice-connector' });
  try {
    const dropped = await pool.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
      [SLOT_NAME],
    );
    console.log(dropped.rowCount > 0 ? `slot ${SLOT_NAME}: dropped` : `slot ${SLOT_NAME}: was not there`);
  } finally {
    await pool.close();
  }
}

const program = new Command('connector').description('The Debezium connector that captures Postgres into Kafka.');
program
  .command('register')
  .description('register it, or bring it up to date; says what differed, and waits until it runs')
  .action(register);
program
  .command('status')
  .description('state, and what differs from the code; exit 0 only when it runs as the code says')
  .option('--json', 'one line of JSON', false)
  .action(status);
program.command('config').description('print the configuration, secrets masked').action(showConfig);
program
  .command('delete')
  .description('delete it')
  .option('--forget', 'also its offsets and its replication slot: the next start snapshots everything again', false)
  .action(remove);

await runScript(program);
