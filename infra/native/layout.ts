/** Where one stack lives: its folder, its ports, its secrets, and the environment its clients need. */
import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const SERVICES = ['postgres', 'kafka', 'registry', 'connect', 'redis', 'clickhouse'] as const;
export type Service = (typeof SERVICES)[number];

export type PortName = Service | 'controller' | 'prometheus' | 'alertmanager' | 'feed' | 'metrics';
export type Ports = Readonly<Record<PortName, number>>;

const CONTRACT_PORTS: Ports = {
  kafka: 19_092,
  controller: 19_093,
  registry: 18_081,
  connect: 18_083,
  postgres: 15_432,
  redis: 16_379,
  clickhouse: 18_123,
  prometheus: 19_090,
  alertmanager: 19_091,
  feed: 19_300,
  metrics: 19_100,
};

/** Without a base the ports of docs/architecture.md; with base B the servers are on B to B+8, the market feed on B+9 and metrics from B+10. */
export function portsOf(portBase?: number): Ports {
  if (portBase === undefined) return CONTRACT_PORTS;
  return {
    kafka: portBase,
    controller: portBase + 1,
    registry: portBase + 2,
    connect: portBase + 3,
    postgres: portBase + 4,
    redis: portBase + 5,
    clickhouse: portBase + 6,
    prometheus: portBase + 7,
    alertmanager: portBase + 8,
    feed: portBase + 9,
    metrics: portBase + 10,
  };
}

export const REPOSITORY = resolve(import.meta.dirname, '../..');

/** The home and port base that the environment asks for (`SLUICE_HOME`, `SLUICE_PORT_BASE`). */
export function stackPlace(env: Readonly<Record<string, string | undefined>>): { home: string; portBase?: number } {
  const home = resolve(REPOSITORY, env.SLUICE_HOME ?? '.sluice');
  const base = Number(env.SLUICE_PORT_BASE);
  if (env.SLUICE_PORT_BASE === undefined || env.SLUICE_PORT_BASE === '') return { home };
  if (!Number.isInteger(base) || base < 1024 || base > 65_000) {
    throw new RangeError(`SLUICE_PORT_BASE must be a port between 1024 and 65000, not "${env.SLUICE_PORT_BASE}"`);
  }
  return { home, portBase: base };
}

export interface Layout {
  /** Absolute path of the stack's folder. */
  readonly home: string;
  readonly ports: Ports;
  readonly secrets: Secrets;
}

/** Made once per home; never in git. */
export interface Secrets {
  readonly postgres: string;
  readonly capture: string;
  readonly writer: string;
  readonly reader: string;
  /** Kafka's cluster id: 16 random bytes, base64url. */
  readonly clusterId: string;
}

/** Makes the home and its secrets when they are not there yet. */
export function layoutOf(home: string, portBase?: number): Layout {
  const absolute = resolve(home);
  mkdirSync(join(absolute, 'logs'), { recursive: true });
  // Passable for the system user that Postgres runs as; the secrets inside have their own modes.
  chmodSync(absolute, 0o711);
  return { home: absolute, ports: portsOf(portBase), secrets: secretsOf(absolute) };
}

function secretsOf(home: string): Secrets {
  const path = join(home, 'secrets.json');
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Secrets;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const password = () => randomBytes(18).toString('base64url');
  const secrets: Secrets = {
    postgres: password(),
    capture: password(),
    writer: password(),
    reader: password(),
    clusterId: randomBytes(16).toString('base64url'),
  };
  // Written aside and linked, so that two first starts at once agree on one set and none reads half a file.
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(secrets), { mode: 0o600 });
  try {
    linkSync(draft, path);
    return secrets;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return JSON.parse(readFileSync(path, 'utf8')) as Secrets;
  } finally {
    rmSync(draft);
  }
}

/** The `SLUICE_*` environment of workers, scripts and tests that talk to this stack. */
export function environmentOf({ home, ports, secrets }: Layout): Readonly<Record<string, string>> {
  return {
    SLUICE_HOME: home,
    SLUICE_KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
    SLUICE_REGISTRY_URL: `http://127.0.0.1:${ports.registry}/apis/ccompat/v7`,
    SLUICE_CONNECT_URL: `http://127.0.0.1:${ports.connect}`,
    SLUICE_POSTGRES_URL: `postgres://postgres:${secrets.postgres}@127.0.0.1:${ports.postgres}/sluice`,
    SLUICE_POSTGRES_CAPTURE_PASSWORD: secrets.capture,
    SLUICE_POSTGRES_WRITER_PASSWORD: secrets.writer,
    SLUICE_POSTGRES_READER_PASSWORD: secrets.reader,
    SLUICE_REDIS_URL: `redis://127.0.0.1:${ports.redis}`,
    SLUICE_CLICKHOUSE_URL: `http://127.0.0.1:${ports.clickhouse}`,
    SLUICE_CLICKHOUSE_DATABASE: 'sluice',
    SLUICE_STATE_DIR: join(home, 'state'),
    SLUICE_MONITOR_FOLDERS: home,
    SLUICE_PRICES_GATEWAY_PORT: String(ports.feed),
    SLUICE_PRICES_GATEWAY_TOKENS_FILE: join(home, 'feed-tokens'),
  };
}

/** The `SLUICE_*` environment of the stack at `home`; makes the home's secrets when it is new. */
export function stackEnv(home: string, portBase?: number): Readonly<Record<string, string>> {
  return environmentOf(layoutOf(home, portBase));
}
