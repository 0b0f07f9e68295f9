/** Every process of Sluice by its name: the workers of the pipelines, and the monitor that watches them all. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { CONNECTOR_NAME, SLOT_NAME } from '../connectors/debezium/config.ts';
import { KafkaClient } from '../connectors/kafka/client.ts';
import { RegistryClient } from '../connectors/registry/client.ts';
import { SluiceError } from '../engine/errors.ts';
import type { Readiness } from '../engine/health.ts';
import { sourceClock } from './capture/source-clock.ts';
import { type Config, clickHouseConfig, kafkaOptions } from './config.ts';
import { engagementMonitored } from './engagement/monitored.ts';
import { ENGAGEMENT_WORKERS } from './engagement/workers.ts';
import { kafkaProbe } from './operations/monitor/kafka-probe.ts';
import { LetterCount } from './operations/monitor/letters.ts';
import { Monitor } from './operations/monitor/monitor.ts';
import { alwaysMonitored, limitSamples, type MonitoredSource } from './operations/monitor/monitored.ts';
import {
  clickHouseProbe,
  connectProbe,
  diskProbe,
  postgresProbe,
  redisProbe,
  registryProbe,
} from './operations/monitor/probes.ts';
import { createMarketGateway, MARKET_GATEWAY } from './prices/gateway/create.ts';
import { PRICES_MONITORED } from './prices/monitored.ts';
import { PRICES_WORKERS } from './prices/workers.ts';
import { workerEnvironment } from './worker-environment.ts';

export const MONITOR = 'sluice.monitor';

const WORKERS = { ...ENGAGEMENT_WORKERS, ...PRICES_WORKERS };

export const PROCESS_NAMES: readonly string[] = [...Object.keys(WORKERS), MARKET_GATEWAY, MONITOR];

/**
 * The workers of these pipelines, and the monitor. A pipeline's name is what the names of its workers begin with. A gateway is not among them: it needs
 * tokens, and whoever wants one starts it.
 */
export function processesOf(pipelines: readonly string[]): readonly string[] {
  const workers = Object.keys(WORKERS).filter((name) => pipelines.includes(name.slice(0, name.indexOf('.'))));
  return [...workers, MONITOR];
}

export interface Process {
  readonly registry: Registry;
  readiness(): Readiness;
  /** Runs until `stop`; rejects with what ended it. */
  run(): Promise<void>;
  stop(): Promise<void>;
}

/** Builds a process; nothing runs yet. `name` is one of `PROCESS_NAMES`. */
export async function createProcess(name: string, config: Config, logger: Logger): Promise<Process> {
  if (name === MONITOR) return createMonitor(config, logger);
  if (name === MARKET_GATEWAY) return createMarketGateway(config, logger);
  const { worker, run, stop } = await WORKERS[name]!(workerEnvironment(name, config, logger));
  return { registry: worker.metrics.registry, readiness: () => worker.readiness(), run, stop };
}

/** Longer than the request deadlines of the clients, so that their own error is what is logged. */
const POLL_DEADLINE_MS = 10_000;

function createMonitor(config: Config, logger: Logger): Monitor {
  const registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  const all: readonly MonitoredSource[] = [
    engagementMonitored({ mirrored: config.SLUICE_MIRROR_KAFKA_BROKERS.length > 0 }),
    alwaysMonitored(PRICES_MONITORED),
  ];
  const sources = all.filter(({ pipeline: { name } }) => config.SLUICE_PIPELINES.includes(name));
  const probes = [
    postgresProbe(readerUrl(config), SLOT_NAME),
    connectProbe(config.SLUICE_CONNECT_URL, CONNECTOR_NAME),
    registryProbe(config.SLUICE_REGISTRY_URL),
    kafkaProbe({
      client: () => new KafkaClient(kafkaOptions(config, MONITOR)),
      clock: sourceClock(registry),
      pipelines: sources.map((source) => ({ source, letters: new LetterCount(source.pipeline.name) })),
    }),
    clickHouseProbe(
      clickHouseConfig(config),
      sources.map(({ pipeline }) => pipeline),
    ),
    redisProbe(config.SLUICE_REDIS_URL, sources),
    diskProbe(config.SLUICE_MONITOR_FOLDERS),
  ];
  const timing = { intervalMs: config.SLUICE_MONITOR_INTERVAL_MS, deadlineMs: POLL_DEADLINE_MS };
  return new Monitor(probes, logger, timing, () => sources.flatMap(({ pipeline }) => limitSamples(pipeline)));
}

/** The owner's address with the reader's login: the monitor may look and no more. */
function readerUrl(config: Config): string {
  const password = config.SLUICE_POSTGRES_READER_PASSWORD;
  if (password === undefined) {
    throw new SluiceError(
      'SLUICE_POSTGRES_READER_PASSWORD is not set: the monitor logs in as sluice_reader. Set it, run npm run migrate, then this again.',
      { code: 'READER_PASSWORD_MISSING', action: 'fatal' },
    );
  }
  const url = new URL(config.SLUICE_POSTGRES_URL);
  url.username = 'sluice_reader';
  url.password = encodeURIComponent(password);
  return url.href;
}
