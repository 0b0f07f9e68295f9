import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layoutOf } from '../../../infra/native/layout.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { freePortBase } from '../../support/ports.ts';

let stack: Stack;
let home: string;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'sluice-jvm-'));
  // One random id in 64 begins with a dash, which must not look like an option to the tool that formats the disk.
  const secrets = { ...layoutOf(home).secrets, clusterId: '-k8Kbc_Xmb9H_0YfFJQ6IQ' };
  writeFileSync(join(home, 'secrets.json'), JSON.stringify(secrets));
  stack = await startStack({ home, portBase: await freePortBase(), services: ['kafka', 'registry', 'connect'] });
});
afterAll(() => stack.stop({ remove: true }));

async function json(url: string, init: RequestInit = {}): Promise<unknown> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(30_000) });
  return response.json();
}

describe('the servers on Java', () => {
  it('run Connect with Debezium and the Avro converter', async () => {
    const plugins = (await json(`${stack.env.SLUICE_CONNECT_URL}/connector-plugins?connectorsOnly=false`)) as readonly {
      class: string;
      version?: string;
    }[];
    const versions = new Map(plugins.map(({ class: name, version }) => [name, version]));
    expect(versions.get('io.debezium.connector.postgresql.PostgresConnector')).toBe('3.7.0.Final');
    expect(versions.has('io.apicurio.registry.utils.converter.AvroConverter')).toBe(true);
    expect(versions.has('sluice.connect.CachingAvroConverter')).toBe(true);
    expect(versions.has('io.debezium.transforms.partitions.PartitionRouting')).toBe(true);
  });

  it('keep a schema that was registered right before the registry was killed', async () => {
    const subject = `${stack.env.SLUICE_REGISTRY_URL}/subjects/kept-value/versions`;
    const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' };
    await json(subject, { method: 'POST', headers, body: JSON.stringify({ schema: '{"type":"string"}' }) });
    await stack.kill('registry', 'SIGKILL');
    await stack.untilUp('registry');
    expect(await json(`${subject}/latest`)).toMatchObject({ subject: 'kept-value', version: 1 });
  });

  it('leave nothing of theirs in the temporary folder of the system, even when they are killed', async () => {
    const { registry } = stack.pids();
    // What Vert.x makes at its start, and what each JVM makes unless it is told not to.
    const made = () => readdirSync(join(home, 'tmp', 'registry')).filter((name) => name.startsWith('vertx-cache'));
    expect(made()).not.toEqual([]);
    await stack.kill('registry', 'SIGKILL');
    await stack.untilUp('registry');
    expect(made()).not.toEqual([]);
    expect(existsSync(join('/tmp', `hsperfdata_${userInfo().username}`, String(registry)))).toBe(false);
  });

  it('come back when the broker is killed', async () => {
    const before = stack.pids();
    await stack.kill('kafka', 'SIGKILL');
    await stack.untilUp('kafka');
    expect(await json(`${stack.env.SLUICE_CONNECT_URL}/connectors`)).toEqual([]);
    expect(stack.pids()).toMatchObject({ connect: before.connect, registry: expect.any(Number) });
    expect(stack.pids().kafka).not.toBe(before.kafka);
  });
});
