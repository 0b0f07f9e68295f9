/**
 * The installed Prometheus and Alertmanager on a real run: what a rule names is there, nothing fires while all is well, and true
 * faults arrive at the webhook once, and once more when they are over. The times of rules and notifications are shortened.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CONNECTOR_NAME } from '../../connectors/debezium/config.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { type Alerting, startAlerting, writeTargets } from '../../infra/native/alerting.ts';
import { type Receiver, startReceiver } from '../../scripts/alerting/receiver.ts';
import { RULES_FOLDER, ruleMetrics } from '../support/alert-rules.ts';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';

/** Series that appear with the first fault they count. */
const ONLY_AFTER_A_FAULT = ['sluice_task_restarts_total', 'sluice_dlq_letters'];
const WAIT = { timeout: 90_000, interval: 500 };

let pipeline: Pipeline;
let alerting: Alerting;
let receiver: Receiver;
let config: string;
const told: string[] = [];

beforeAll(async () => {
  pipeline = await startPipeline({
    instances: 1,
    others: ['prices.candles', 'prices.gateway', 'sluice.monitor'],
    ownRegistry: true,
    env: {
      SLUICE_MONITOR_INTERVAL_MS: '500',
      SLUICE_PIPELINES: 'all',
      SLUICE_PRICES_GATEWAY_AUTH: 'none',
    },
  });
  config = shortened();
  receiver = await startReceiver(({ status, labels }) => {
    const { alertname, connector, worker, stage, reason, system } = labels;
    told.push(
      [status, alertname, connector, worker, stage, reason, system].filter((word) => word !== undefined).join(' '),
    );
  });
  const { home, ports } = pipeline.stack;
  writeTargets(
    home,
    pipeline.workers.map(({ name, port }) => ({ worker: name, port })),
  );
  alerting = await startAlerting({ home, ports, webhookUrl: receiver.url, config });
});
afterAll(async () => {
  await alerting?.stop();
  await receiver?.close();
  await pipeline?.stop();
  if (config !== undefined) rmSync(config, { recursive: true });
});

/** infra/prometheus with seconds where there are minutes. */
function shortened(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-rules-'));
  mkdirSync(folder, { recursive: true });
  const edit = (name: string, change: (text: string) => string) => {
    copyFileSync(join(RULES_FOLDER, name), join(folder, name));
    const text = readFileSync(join(folder, name), 'utf8');
    expect(change(text), name).not.toBe(text);
    writeFileSync(join(folder, name), change(text));
  };
  edit('rules.yml', (text) =>
    text.replace(/\bfor: \d+m\b/g, 'for: 10s').replace('_clock_seconds[30m])) > 60', '_clock_seconds[30m])) > 30'),
  );
  edit('prometheus.yml', (text) =>
    text.replace(/_interval: 5s/g, '_interval: 1s').replace('timeout: 4s', 'timeout: 1s'),
  );
  edit('alertmanager.yml', (text) =>
    text.replace('group_wait: 10s', 'group_wait: 0s').replace('interval: 1m', 'interval: 1s'),
  );
  return folder;
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

async function query(expression: string): Promise<readonly Series[]> {
  const url = `${alerting.prometheusUrl}/api/v1/query?query=${encodeURIComponent(expression)}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  const body = (await response.json()) as { status: string; error?: string; data: { result: readonly Series[] } };
  expect(body.status, body.error).toBe('success');
  return body.data.result;
}

/** What Alertmanager does about a firing alert. */
async function stateOf(alert: string): Promise<string | undefined> {
  const filter = encodeURIComponent(`alertname="${alert}"`);
  const response = await fetch(`${alerting.alertmanagerUrl}/api/v2/alerts?filter=${filter}`, {
    signal: AbortSignal.timeout(10_000),
  });
  const alerts = (await response.json()) as readonly { readonly status: { readonly state: string } }[];
  return alerts[0]?.status.state;
}

const eventually = (question: () => unknown) => expect.poll(question, WAIT);

it('scrapes every process, finds every metric that a rule names, and fires nothing while all is well', async () => {
  await pipeline.during(['--rate', '200'], async () => {
    await eventually(async () => (await query('up == 1')).map(({ metric }) => metric.worker).sort()).toEqual(
      pipeline.workers.map(({ name }) => name).sort(),
    );
    for (const name of ruleMetrics()) {
      if (ONLY_AFTER_A_FAULT.includes(name)) continue;
      // A histogram has its buckets.
      await eventually(async () => (await query(`{__name__=~"${name}(_bucket)?"}`)).length).toBeGreaterThan(0);
    }
    // Many evaluations after everything was there.
    await eventually(async () =>
      Number((await query('count_over_time(sluice_probe_up{system="kafka"}[10m])'))[0]?.value[1]),
    ).toBeGreaterThan(15);
  });
  expect(await query('count_over_time(ALERTS{alertstate="firing"}[10m])')).toEqual([]);
  expect(told).toEqual([]);
});

it('tells of a connector that was paused, once, and that it runs again', async () => {
  const url = `${pipeline.env.SLUICE_CONNECT_URL}/connectors/${CONNECTOR_NAME}`;
  const about = () => told.filter((line) => line.includes('SluiceConnectorNotRunning'));
  const firing = `firing SluiceConnectorNotRunning ${CONNECTOR_NAME}`;
  await fetch(`${url}/pause`, { method: 'PUT', signal: AbortSignal.timeout(10_000) });
  try {
    await eventually(about).toEqual([firing]);
    // That the capture stands still follows from it: it fires as well, and is not told.
    await eventually(async () => await stateOf('SluiceCaptureStalled')).toBe('suppressed');
    expect(told.filter((line) => line.includes('SluiceCaptureStalled'))).toEqual([]);
  } finally {
    await fetch(`${url}/resume`, { method: 'PUT', signal: AbortSignal.timeout(10_000) });
  }
  await eventually(about).toEqual([firing, firing.replace('firing', 'resolved')]);
});

it('tells of a worker that is down, and shows its lag though it cannot', async () => {
  const worker = 'engagement.sink.redis';
  const { process } = pipeline.workers.find(({ name }) => name === worker)!;
  const about = () => told.filter((line) => line.includes('SluiceWorkerDown'));
  const lag = async () => Number((await query(`sum(sluice_group_lag_records{worker="${worker}"})`))[0]?.value[1]);
  await process.stop();
  await eventually(about).toEqual([`firing SluiceWorkerDown ${worker}`]);
  await eventually(lag).toBeGreaterThan(0);
  await process.start();
  await eventually(about).toEqual([`firing SluiceWorkerDown ${worker}`, `resolved SluiceWorkerDown ${worker}`]);
  await eventually(lag).toBeLessThan(50);
});

it('tells of the first dead letter of a kind', async () => {
  const postgres = new PostgresPool({
    url: pipeline.env.SLUICE_POSTGRES_URL!,
    applicationName: 'test',
    maxConnections: 1,
  });
  try {
    await postgres.query(
      `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms)
       SELECT id, gen_random_uuid(), 'play', now(), $1 FROM content LIMIT 1`,
      [-1],
    );
  } finally {
    await postgres.close();
  }
  await eventually(() => told).toContain('firing SluiceDeadLetters engagement.enrich NEGATIVE_DURATION');
});

it('sees one system down and no other', async () => {
  const up = async () =>
    (await query('sluice_probe_up')).map(({ metric, value }) => `${metric.system} ${value[1]}`).sort();
  const systems = ['clickhouse', 'connect', 'disk', 'kafka', 'postgres', 'redis', 'registry'];
  await pipeline.stack.down('registry');
  await eventually(up).toEqual(systems.map((system) => `${system} ${system === 'registry' ? 0 : 1}`));
  await eventually(() => told).toContain('firing SluiceSystemDown registry');
  await pipeline.stack.up('registry');
  await eventually(up).toEqual(systems.map((system) => `${system} 1`));
});
