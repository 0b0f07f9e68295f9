/** Brings the connector into the state that the code describes, and says what it had to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import { type ConnectorConfig, configDrift, type Drift, withoutNotifications } from './config.ts';
import type { ConnectApi } from './connect-api.ts';
import { failureOf, untilAnswered, waitUntilRunning } from './status.ts';

export interface Registration {
  readonly outcome: 'created' | 'updated' | 'unchanged';
  /** What differed before; empty when nothing was registered or nothing differed. Secrets are masked. */
  readonly drift: readonly Drift[];
}

export interface RegisterOptions {
  readonly name: string;
  readonly config: ConnectorConfig;
  /** For each registration and the start after it. */
  readonly deadlineMs?: number;
  /** For the first snapshot of the tables. */
  readonly snapshotDeadlineMs?: number;
}

const POLL_MS = 200;

/**
 * Registers the connector when it is missing or different, starts it again when it has failed, and waits until it streams.
 *
 * The first snapshot runs without Debezium's notifications, which are turned on when it is done: the notification that a
 * snapshot starts is stored with an offset that looks like a finished one, so that a restart at that moment would skip
 * the snapshot and lose every row there was.
 *
 * Throws CONNECTOR_FAILED (fatal; with the innermost cause of the failure), CONNECTOR_NOT_RUNNING (retry),
 * CONNECTOR_SNAPSHOTTING (retry; the deadline passed, call again), CONNECT_CONFIG_REFUSED (fatal; with Connect's own list
 * of problems), else as `connectStatusError`.
 */
export async function registerConnector(api: ConnectApi, options: RegisterOptions): Promise<Registration> {
  const { name, config } = options;
  const deadlineMs = options.deadlineMs ?? 90_000;
  const found = await untilAnswered(Date.now() + deadlineMs, () => api.config(name));
  const streams = found !== null && (await hasPosition(api, name, deadlineMs));
  if (!streams) {
    await bringTo(api, { name, deadlineMs, config: withoutNotifications(config) }, found);
    await waitUntilStreaming(api, name, options.snapshotDeadlineMs ?? 900_000);
  }
  const before = streams ? found : withoutNotifications(config);
  const drift = await bringTo(api, { name, deadlineMs, config }, before);
  if (found === null) return { outcome: 'created', drift: [] };
  const whole = streams ? drift : configDrift(config, found);
  return { outcome: whole.length > 0 ? 'updated' : 'unchanged', drift: whole };
}

/** Registers when there is a difference, and waits until it runs. Returns the difference. */
async function bringTo(
  api: ConnectApi,
  wanted: { readonly name: string; readonly config: ConnectorConfig; readonly deadlineMs: number },
  found: ConnectorConfig | null,
): Promise<readonly Drift[]> {
  const { name, config, deadlineMs } = wanted;
  const deadline = Date.now() + deadlineMs;
  const drift = found === null ? [] : configDrift(config, found);
  if (found === null || drift.length > 0) await untilAnswered(deadline, () => api.putConfig(name, config));
  else await untilAnswered(deadline, () => restartWhenFailed(api, name));
  await waitUntilRunning(api, name, deadline - Date.now());
  return drift;
}

async function restartWhenFailed(api: ConnectApi, name: string): Promise<void> {
  const status = await api.status(name);
  if (status !== null && failureOf(status) !== null) await api.restartFailed(name);
}

/** Whether its stored offset is one of streaming: behind every snapshot. */
async function hasPosition(api: ConnectApi, name: string, timeoutMs: number): Promise<boolean> {
  const offset = await untilAnswered(Date.now() + timeoutMs, () => api.offset(name));
  return offset !== null && offset.lsn !== undefined && offset.snapshot === undefined;
}

/** Heartbeats move the offset every second, so that the end of the snapshot shows without any traffic. */
async function waitUntilStreaming(api: ConnectApi, name: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await hasPosition(api, name, deadline - Date.now()))) {
    if (Date.now() >= deadline) {
      throw new SluiceError(`Connector ${name} is still reading the tables for the first time: register again later`, {
        code: 'CONNECTOR_SNAPSHOTTING',
        action: 'retry',
      });
    }
    // A task that fails during the snapshot is reported now, not at the deadline.
    await waitUntilRunning(api, name, deadline - Date.now());
    await sleep(POLL_MS);
  }
}
