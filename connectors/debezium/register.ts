/** Brings the connector into the state that the code describes, and says what it had to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import { type ConnectorConfig, configDrift, type Drift, PARTITION_COUNT_KEY } from './config.ts';
import type { ConnectApi, ConnectorStatus } from './connect-api.ts';

export interface Registration {
  readonly outcome: 'created' | 'updated' | 'unchanged';
  /** What differed before; empty when nothing was registered or nothing differed. Secrets are masked. */
  readonly drift: readonly Drift[];
}

export interface RegisterOptions {
  readonly name: string;
  readonly config: ConnectorConfig;
  /** For the registration and the start together. */
  readonly deadlineMs?: number;
}

const POLL_MS = 200;
/** A state of FAILED may be left over from before the registration; this long it is not. */
const FAILED_FOR_MS = 3_000;

/**
 * Registers the connector when it is missing or different, starts it again when it has failed, and waits until it runs.
 *
 * Throws CONNECTOR_FAILED (fatal; with the innermost cause of the failure), CONNECTOR_NOT_RUNNING (retry; the deadline
 * passed), CONNECT_CONFIG_REFUSED (fatal; with Connect's own list of problems), else as `connectStatusError`.
 */
export async function registerConnector(api: ConnectApi, options: RegisterOptions): Promise<Registration> {
  const { name, config } = options;
  const deadline = Date.now() + (options.deadlineMs ?? 90_000);
  const found = await untilAnswered(deadline, () => api.config(name));
  const drift = found === null ? [] : configDrift(config, found);
  if (found === null || drift.length > 0) await untilAnswered(deadline, () => api.putConfig(name, config));
  else await untilAnswered(deadline, () => restartWhenFailed(api, name));
  await waitUntilRunning(api, name, deadline - Date.now());
  if (found === null) return { outcome: 'created', drift };
  return { outcome: drift.length > 0 ? 'updated' : 'unchanged', drift };
}

async function restartWhenFailed(api: ConnectApi, name: string): Promise<void> {
  const status = await api.status(name);
  if (status !== null && failureOf(status) !== null) await api.restartFailed(name);
}

/** Waits until the connector and its task run. Throws as `registerConnector`. */
export async function waitUntilRunning(api: ConnectApi, name: string, timeoutMs: number): Promise<ConnectorStatus> {
  const deadline = Date.now() + timeoutMs;
  let failedSince: number | null = null;
  for (;;) {
    const status = await untilAnswered(deadline, () => api.status(name));
    if (status !== null && isRunning(status)) return status;
    const failure = status === null ? null : failureOf(status);
    failedSince = failure === null ? null : (failedSince ?? Date.now());
    if (failure !== null && failedSince !== null && Date.now() - failedSince >= FAILED_FOR_MS) {
      throw new SluiceError(`Connector ${name} has failed: ${failure}`, { code: 'CONNECTOR_FAILED', action: 'fatal' });
    }
    if (Date.now() >= deadline) {
      const states = status === null ? 'not assigned' : describeStatus(status);
      throw new SluiceError(`Connector ${name} does not run within ${timeoutMs} ms: ${states}`, {
        code: 'CONNECTOR_NOT_RUNNING',
        action: 'retry',
      });
    }
    await sleep(POLL_MS);
  }
}

/** Tries again while Connect starts, rebalances or does not answer, until the deadline. */
async function untilAnswered<T>(deadline: number, call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const mayPass = error instanceof SluiceError && error.action === 'retry';
      if (!mayPass || Date.now() >= deadline) throw error;
      await sleep(POLL_MS);
    }
  }
}

export function isRunning(status: ConnectorStatus): boolean {
  const parts = [status.connector, ...status.tasks];
  return status.tasks.length > 0 && parts.every((part) => part.state === 'RUNNING');
}

/** Why it has failed, in one line, or null when it has not. */
export function failureOf(status: ConnectorStatus): string | null {
  const failed = [...status.tasks, status.connector].find((part) => part.state === 'FAILED');
  return failed === undefined ? null : rootCause(failed.trace ?? 'no trace given');
}

/** The innermost cause of a Java stack trace: the outer ones only say that the task is being killed. */
function rootCause(trace: string): string {
  const lines = trace.split('\n').map((line) => line.trim());
  const causes = lines.filter((line) => line.startsWith('Caused by: '));
  return (causes.at(-1)?.slice('Caused by: '.length) ?? lines[0] ?? trace).slice(0, 1_000);
}

/** "connector RUNNING, task 0 FAILED" */
export function describeStatus(status: ConnectorStatus): string {
  const tasks = status.tasks.map((task) => `task ${task.id} ${task.state}`);
  return [`connector ${status.connector.state}`, ...(tasks.length === 0 ? ['no task'] : tasks)].join(', ');
}

/**
 * Checks at start-up that the routing computes with the partition count that the topic has. With another count, contents
 * would be spread over partitions that their state does not live in.
 *
 * Throws PARTITION_COUNT_MISMATCH or CONNECTOR_NOT_ROUTING, both fatal, with what to do.
 * @param partitionsOf the partition count of a topic, from the broker
 */
export async function checkPartitionCount(
  config: ConnectorConfig,
  topic: string,
  partitionsOf: (topic: string) => Promise<number>,
): Promise<number> {
  const routed = Number(config[PARTITION_COUNT_KEY]);
  if (!Number.isInteger(routed) || routed < 1) {
    throw new SluiceError(
      `The registered connector does not route by content (${PARTITION_COUNT_KEY} = ${config[PARTITION_COUNT_KEY]}). Register it again: npm run connector -- register`,
      { code: 'CONNECTOR_NOT_ROUTING', action: 'fatal' },
    );
  }
  const actual = await partitionsOf(topic);
  if (actual === routed) return actual;
  throw new SluiceError(
    `Topic ${topic} has ${actual} partitions, but the connector routes by ${routed}. ` +
      `Set SLUICE_PARTITIONS=${actual} and run npm run connector -- register; rows that were already routed by ${routed} ` +
      'need a rebuild (delete the topics and the state, then snapshot again).',
    { code: 'PARTITION_COUNT_MISMATCH', action: 'fatal' },
  );
}
