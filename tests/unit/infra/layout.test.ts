import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { portsOf, stackEnv, stackPlace } from '../../../infra/native/layout.ts';
import { loadConfig } from '../../../pipelines/config.ts';

const folders: string[] = [];
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'sluice-layout-'));
  folders.push(made);
  return made;
};

afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true });
});

describe('portsOf', () => {
  it('gives the documented ports without a base', () => {
    expect(portsOf()).toEqual({
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
    });
  });

  it('gives distinct ports from the base on with one', () => {
    const ports = Object.values(portsOf(21_000));
    expect(new Set(ports).size).toBe(ports.length);
    expect(Math.min(...ports)).toBe(21_000);
    expect(Math.max(...ports)).toBe(21_010);
  });
});

describe('stackPlace', () => {
  it('takes the home and the base from the environment', () => {
    expect(stackPlace({ SLUICE_HOME: '/x/y', SLUICE_PORT_BASE: '21000' })).toEqual({ home: '/x/y', portBase: 21_000 });
  });

  it('puts the home into the clone and leaves the ports alone by default', () => {
    const { home, portBase } = stackPlace({});
    expect(home).toMatch(/\/\.sluice$/);
    expect(portBase).toBeUndefined();
  });

  it.each(['80', '1.5', 'many', '70000'])('refuses the base %s', (base) => {
    expect(() => stackPlace({ SLUICE_PORT_BASE: base })).toThrow(/SLUICE_PORT_BASE/);
  });
});

describe('stackEnv', () => {
  it('is an environment that every process accepts', () => {
    const config = loadConfig(stackEnv(folder(), 21_000));
    expect(config.SLUICE_KAFKA_BROKERS).toEqual(['127.0.0.1:21000']);
    expect(config.SLUICE_CLICKHOUSE_URL).toBe('http://127.0.0.1:21006');
    expect(new URL(config.SLUICE_POSTGRES_URL).pathname).toBe('/sluice');
  });

  it('makes other secrets for each home, the same ones every time, for nobody else to read', () => {
    const home = folder();
    const first = stackEnv(home);
    expect(stackEnv(home)).toEqual(first);
    expect(stackEnv(folder()).SLUICE_POSTGRES_URL).not.toBe(first.SLUICE_POSTGRES_URL);
    expect(statSync(join(home, 'secrets.json')).mode & 0o777).toBe(0o600);
  });
});
