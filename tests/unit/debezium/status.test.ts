import { describe, expect, it } from 'vitest';
import { connectorConfig } from '../../../connectors/debezium/config.ts';
import type { ConnectorStatus } from '../../../connectors/debezium/connect-api.ts';
import { connectStatusError, connectUnreachable } from '../../../connectors/debezium/errors.ts';
import { checkPartitionCount } from '../../../connectors/debezium/partitions.ts';
import { describeStatus, failureOf, isRunning } from '../../../connectors/debezium/status.ts';

const status = (...tasks: ConnectorStatus['tasks']): ConnectorStatus => ({
  name: 'c',
  connector: { state: 'RUNNING', worker_id: 'w' },
  tasks,
});
const TRACE = `org.apache.kafka.connect.errors.ConnectException: Exiting due to unrecoverable exception.
\tat org.apache.kafka.connect.runtime.Worker.run(Worker.java:1)
Caused by: io.debezium.DebeziumException: Failed to start
\tat io.debezium.Start.run(Start.java:1)
Caused by: org.postgresql.util.PSQLException: ERROR: publication "sluice" does not exist
\tat org.postgresql.Driver.connect(Driver.java:1)`;

describe('the state of a connector', () => {
  it('is running only with a task, and with every part of it', () => {
    expect(isRunning(status())).toBe(false);
    expect(isRunning(status({ id: 0, state: 'RUNNING', worker_id: 'w' }))).toBe(true);
    expect(isRunning(status({ id: 0, state: 'UNASSIGNED', worker_id: 'w' }))).toBe(false);
    expect(
      isRunning({
        ...status({ id: 0, state: 'RUNNING', worker_id: 'w' }),
        connector: { state: 'PAUSED', worker_id: 'w' },
      }),
    ).toBe(false);
  });

  it('names the innermost cause of a failure', () => {
    const failed = status({ id: 0, state: 'FAILED', worker_id: 'w', trace: TRACE });
    expect(failureOf(failed)).toBe('org.postgresql.util.PSQLException: ERROR: publication "sluice" does not exist');
    expect(describeStatus(failed)).toBe('connector RUNNING, task 0 FAILED');
    expect(failureOf(status())).toBeNull();
  });
});

describe('the check of the partition count', () => {
  const events = { name: 'public.events', routeBy: 'owner' };
  const config = connectorConfig({
    postgres: { host: 'db', port: 5432, database: 'd', user: 'u', password: 'p' },
    registryUrl: 'http://registry',
    tables: [events],
    partitions: 4,
  });

  it('passes when topic and routing agree', async () => {
    expect(await checkPartitionCount(config, events, async () => 4)).toBe(4);
  });

  it('stops everything when they do not, and says what to do', async () => {
    await expect(checkPartitionCount(config, events, async () => 6)).rejects.toMatchObject({
      code: 'PARTITION_COUNT_MISMATCH',
      action: 'fatal',
      message: expect.stringMatching(/6 partitions.*routes by 4.*SLUICE_PARTITIONS=6/s),
    });
  });

  it('stops everything when there is no routing at all', async () => {
    await expect(checkPartitionCount({}, events, async () => 4)).rejects.toMatchObject({
      code: 'CONNECTOR_NOT_ROUTING',
      action: 'fatal',
    });
  });
});

describe('what to do about an answer of Kafka Connect', () => {
  it.each([
    [400, 'fatal', 'CONNECT_CONFIG_REFUSED'],
    [401, 'fatal', 'CONNECT_NOT_ALLOWED'],
    [404, 'fatal', 'CONNECT_NOT_FOUND'],
    [405, 'fatal', 'CONNECT_NOT_SUPPORTED'],
    [409, 'retry', 'CONNECT_REBALANCING'],
    [500, 'retry', 'CONNECT_FAILED'],
    [503, 'retry', 'CONNECT_STARTING'],
    [504, 'retry', 'CONNECT_UNREACHABLE'],
    [418, 'fatal', 'CONNECT_UNEXPECTED_ANSWER'],
  ])('%i is %s', (code, action, name) => {
    expect(connectStatusError(code, 'why', 'register c')).toMatchObject({
      action,
      code: name,
      message: `Kafka Connect could not register c: why [${code}]`,
    });
  });

  it('is to try again when there is none', () => {
    const cause = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    expect(connectUnreachable('http://connect', cause)).toMatchObject({
      action: 'retry',
      code: 'CONNECT_UNREACHABLE',
      message: 'Kafka Connect does not answer at http://connect: connect ECONNREFUSED',
    });
  });
});
