import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { MARKET_GATEWAY } from '../../../pipelines/prices/gateway/create.ts';
import { MONITOR, processesOf } from '../../../pipelines/processes.ts';

interface Service {
  readonly image?: string;
  readonly build?: { readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[] };
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly profiles?: readonly string[];
  readonly logging?: unknown;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const ROOT = resolve(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(resolve(ROOT, path), 'utf8');
const text = read('infra/compose.yaml');
const compose = parse(text, { merge: true, maxAliasCount: -1 }) as Compose;
const services = Object.entries(compose.services);
const servers = services.filter(([, { profiles }]) => profiles === undefined);
const imagesOf = (dockerfile: string) =>
  [...read(dockerfile).matchAll(/^FROM (\S+)/gm)].map(([, image]) => image ?? '');
/** A registry may be named before the last slash; the tag has to name a version. */
const PINNED = /^[^:@\s]+:v?\d[\w.-]*$/;

describe('the compose file', () => {
  it('has every server of the native stack', () => {
    const names = servers.map(([name]) => name).sort();
    expect(names).toEqual(['clickhouse', 'connect', 'kafka', 'postgres', 'redis', 'registry']);
  });

  it.each(services)('pins the image of %s', (_, { image }) => expect(image).toMatch(PINNED));

  it.each(['Dockerfile', 'infra/compose/connect.Dockerfile'])('builds %s on pinned images', (file) => {
    const images = imagesOf(file);
    expect(images.length).toBeGreaterThan(0);
    for (const image of images) expect(image).toMatch(PINNED);
  });

  it('runs the same broker version as the native stack, also for Connect', () => {
    const [, version] = /<kafka\.version>([^<]+)</.exec(read('infra/native/pom.xml')) ?? [];
    expect(compose.services.kafka?.image).toBe(`apache/kafka:${version}`);
    expect(imagesOf('infra/compose/connect.Dockerfile')).toContain(`apache/kafka:${version}`);
    const [, registry] = /<apicurio\.version>([^<]+)</.exec(read('infra/native/pom.xml')) ?? [];
    expect(compose.services.registry?.image).toBe(`apicurio/apicurio-registry-sql:${registry}`);
  });

  it.each(services)('checks the health of %s and bounds its logs', (_, { healthcheck, logging }) => {
    expect(healthcheck?.test?.length).toBeGreaterThan(1);
    expect(logging).toMatchObject({ options: { 'max-size': expect.any(String) } });
  });

  it.each(services)('opens the ports of %s on loopback only', (_, { ports }) => {
    for (const port of ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+$/);
  });

  it('keeps what lasts in named volumes', () => {
    for (const name of ['postgres', 'kafka', 'redis', 'clickhouse', 'enrich', 'leaderboard', 'prices-candles']) {
      const [volume] = compose.services[name]?.volumes ?? [];
      expect(Object.keys(compose.volumes)).toContain(volume?.split(':')[0]);
    }
  });

  it('has every process of the pipelines, those of prices in a profile of their own', () => {
    const inProfile = (profile: string) =>
      services.filter(([, { image, profiles }]) => image?.startsWith('sluice-worker:') && profiles?.includes(profile));
    const commands = (profile: string) => inProfile(profile).map(([, { command }]) => command?.[0] ?? '');
    // A mirror needs a second cluster.
    const engagement = processesOf(['engagement']).filter((name) => name !== 'engagement.mirror');
    expect(commands('workers').sort()).toEqual([...engagement].sort());
    const prices = processesOf(['prices']).filter((name) => name !== MONITOR);
    expect(commands('prices').sort()).toEqual([...prices, MARKET_GATEWAY].sort());
  });

  it.each([
    ['targets', ['workers']],
    ['targets-prices', ['workers', 'prices']],
  ])('scrapes with %s every worker of its profiles and no other, by the names of the services', (file, wanted) => {
    const groups = JSON.parse(read(`infra/compose/${file}.json`)) as {
      readonly targets: readonly string[];
      readonly labels: { readonly worker: string };
    }[];
    const scraped = groups.map(({ targets, labels }) => `${targets.join()} ${labels.worker}`);
    const workers = services.filter(
      ([, { image, profiles }]) => image?.startsWith('sluice-worker:') && wanted.some((one) => profiles?.includes(one)),
    );
    expect(workers.length).toBeGreaterThan(4);
    expect(scraped.sort()).toEqual(workers.map(([name, { command }]) => `${name}:9100 ${command?.[0]}`).sort());
  });

  it('tells Prometheus where Alertmanager is', () => {
    const managers = JSON.parse(read('infra/compose/alertmanagers.json')) as unknown;
    expect(managers).toEqual([{ targets: ['alertmanager:9093'] }]);
  });

  it('mounts files that there are', () => {
    // What the environment file may set, as it is without.
    const mounts = services.flatMap(([, { volumes }]) =>
      (volumes ?? []).map((volume) => volume.replaceAll(/\$\{[A-Z_]+:-([^}]+)\}/g, '$1')),
    );
    const files = mounts.filter((volume) => volume.startsWith('./'));
    expect(files.length).toBeGreaterThan(8);
    for (const file of files) expect(existsSync(resolve(ROOT, 'infra', file.split(':')[0]!)), file).toBe(true);
  });

  it('waits for health wherever it waits', () => {
    const waits = services.flatMap(([, { depends_on: waited }]) => Object.entries(waited ?? {}));
    expect(waits.length).toBeGreaterThan(0);
    for (const [name, { condition }] of waits) {
      expect(condition).toBe('service_healthy');
      expect(Object.keys(compose.services)).toContain(name);
    }
  });

  it('has no secret in it: each comes from the environment file and is asked for', () => {
    const secrets = [...text.matchAll(/^.*PASSWORD: (.*)$/gm)].map(([, value]) => value);
    expect(secrets.length).toBeGreaterThan(2);
    for (const value of secrets) expect(value).toMatch(/^\$\{[A-Z_]+:\?.+\}$/);
    const example = read('infra/compose.env.example');
    for (const [, name] of text.matchAll(/\$\{([A-Z_]+):\?/g)) expect(example).toContain(`${name}=\n`);
  });
});

it('gives Grafana its dashboards where their provider looks, and a user of ClickHouse who may only read', () => {
  const { providers } = parse(read('infra/grafana/provisioning/dashboards/sluice.yaml')) as {
    readonly providers: readonly { readonly options: { readonly path: string } }[];
  };
  const mounted = (compose.services.grafana?.volumes ?? []).map((volume) => volume.split(':').slice(0, 2).join(' '));
  expect(mounted).toContain(`./grafana/dashboards ${providers[0]?.options.path}`);
  expect(mounted).toContain('./grafana/provisioning /etc/grafana/provisioning');
  const user = read('infra/compose/clickhouse-reader.xml');
  expect(user).toMatch(/<readonly>2<\/readonly>/);
  expect([...user.matchAll(/GRANT [^<]+/g)].map(([grant]) => grant)).toEqual(['GRANT SELECT ON sluice.*']);
  expect(read('infra/grafana/provisioning/datasources/sluice.yaml')).toContain('username: sluice_reader');
});

it('runs a worker without privileges', () => {
  const dockerfile = read('Dockerfile');
  expect(dockerfile).toMatch(/^USER node$/m);
  expect(dockerfile).toContain('ENTRYPOINT ["node", "scripts/worker.ts"]');
  expect(imagesOf('Dockerfile').every((image) => image.startsWith('node:24'))).toBe(true);
});
