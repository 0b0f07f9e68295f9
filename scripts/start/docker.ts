/** `npm start -- --docker`: the same servers, from infra/compose.yaml. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { StackError } from '../../infra/native/error.ts';
import { environmentOf, layoutOf, REPOSITORY } from '../../infra/native/layout.ts';
import { takeLock } from '../../infra/native/lock.ts';
import type { ProcessStatus } from '../../infra/native/process.ts';
import { onPath } from '../../infra/native/tools.ts';
import type { ServerOptions, Servers } from './servers.ts';

const run = promisify(execFile);
const POLL_MS = 5_000;
const WAY_OUT = 'Install Docker with its compose plugin and start it, or leave --docker out: npm start needs none.';

interface Container {
  readonly Service: string;
  readonly State: string;
  readonly Health?: string;
}

/** What `docker compose ps --format json` prints: an array, or since version 2.21 one object a line. */
export function parseContainers(output: string): readonly Container[] {
  const text = output.trim();
  if (text === '') return [];
  if (text.startsWith('[')) return JSON.parse(text) as readonly Container[];
  return text.split('\n').map((line) => JSON.parse(line) as Container);
}

function statusOf({ Service: name, State: state, Health: health }: Container): ProcessStatus {
  const up = state === 'running' && (health === undefined || health === '' || health === 'healthy');
  const detail = up ? null : `${state} ${health ?? ''}`.trim();
  return { name, state: up ? 'up' : 'starting', pid: null, restarts: 0, since: Date.now(), detail };
}

function up(args: readonly string[], { say, signal }: ServerOptions): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn('docker', [...args, 'up', '--detach', '--build', '--wait'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    });
    let tail = '';
    const read = (chunk: Buffer) => {
      tail = (tail + chunk.toString('utf8')).slice(-4_000);
      for (const line of chunk.toString('utf8').trim().split('\n')) say(line.trim());
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', (cause) =>
      fail(new StackError('DOCKER_FAILED', 'docker could not be started.', WAY_OUT, cause)),
    );
    child.once('close', (code) =>
      code === 0 ? done() : fail(new StackError('DOCKER_FAILED', `docker compose up failed:\n${tail.trim()}`, WAY_OUT)),
    );
  });
}

/** Throws ALREADY_RUNNING, TOOL_MISSING, DOCKER_FAILED. */
export async function startDocker(options: ServerOptions): Promise<Servers> {
  if (onPath('docker') === undefined) throw new StackError('TOOL_MISSING', 'Docker is not installed.', WAY_OUT);
  const home = join(options.home, 'docker');
  const layout = layoutOf(home, options.portBase);
  const release = await takeLock(join(home, 'stack.lock'), 'A stack in this folder');
  const compose = writeEnvironmentFile(home, layout);
  const stop = async () => {
    await run('docker', [...compose, 'stop'], { timeout: 120_000 });
    release();
  };
  try {
    await up(compose, options);
  } catch (error) {
    await stop().catch(release);
    throw error;
  }
  let containers: readonly ProcessStatus[] = [];
  const poll = async () => {
    const { stdout } = await run('docker', [...compose, 'ps', '--all', '--format', 'json'], { timeout: POLL_MS });
    containers = parseContainers(stdout).map(statusOf);
  };
  await poll();
  // A poll that fails keeps what the one before said; the workers notice a missing server by themselves.
  const timer = setInterval(() => void poll().catch(() => undefined), POLL_MS);
  return {
    env: dockerEnvironment(layout),
    metricsPort: layout.ports.metrics,
    status: () => containers,
    // All containers are healthy.
    untilConnect: async () => {},
    stop: async () => {
      clearInterval(timer);
      await stop();
    },
  };
}

/** Connect reaches the other servers inside the compose network. */
function dockerEnvironment(layout: ReturnType<typeof layoutOf>): Readonly<Record<string, string>> {
  return {
    ...environmentOf(layout),
    SLUICE_CLICKHOUSE_PASSWORD: layout.secrets.reader,
    SLUICE_CAPTURE_POSTGRES_ADDRESS: 'postgres:5432',
    SLUICE_CAPTURE_REGISTRY_URL: 'http://registry:8080/apis/registry/v2',
  };
}

/** Secrets and ports for the compose file; returns the arguments that name both. */
function writeEnvironmentFile(home: string, { ports, secrets }: ReturnType<typeof layoutOf>): readonly string[] {
  const file = join(home, 'compose.env');
  const settings = {
    POSTGRES_PASSWORD: secrets.postgres,
    POSTGRES_READER_PASSWORD: secrets.reader,
    CLICKHOUSE_PASSWORD: secrets.reader,
    CLICKHOUSE_READER_PASSWORD: secrets.reader,
    GRAFANA_PASSWORD: secrets.reader,
    KAFKA_CLUSTER_ID: secrets.clusterId,
    KAFKA_PORT: ports.kafka,
    REGISTRY_PORT: ports.registry,
    CONNECT_PORT: ports.connect,
    POSTGRES_PORT: ports.postgres,
    REDIS_PORT: ports.redis,
    CLICKHOUSE_PORT: ports.clickhouse,
    PROMETHEUS_PORT: ports.prometheus,
    ALERTMANAGER_PORT: ports.alertmanager,
  };
  const text = Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text, { mode: 0o600 });
  return [
    'compose',
    '--project-name',
    'sluice',
    '--env-file',
    file,
    '--file',
    join(REPOSITORY, 'infra', 'compose.yaml'),
  ];
}
