/** Whether the connector runs, and why not. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import type { ConnectApi, ConnectorStatus } from './connect-api.ts';

const POLL_MS = 200;
/** A state of FAILED may be left over from before a registration; this long it is not. */
const FAILED_FOR_MS = 3_000;

/** Waits until the connector and its task run. Throws CONNECTOR_FAILED (fatal) or CONNECTOR_NOT_RUNNING (retry). */
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
export async function untilAnswered<T>(deadline: number, call: () => Promise<T>): Promise<T> {
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
