import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ConnectorConfig,
  configDrift,
  connectorConfig,
  describeDrift,
  PUBLICATION,
  partitionCountKey,
} from '../../../connectors/debezium/config.ts';
import { CAPTURED_TABLES } from '../../../pipelines/capture.ts';
import { EVENTS_TABLE } from '../../../pipelines/engagement/capture.ts';
import { CDC_EVENTS } from '../../../pipelines/engagement/topics.ts';

const OPTIONS = {
  postgres: { host: 'db', port: 5432, database: 'sluice', user: 'sluice_capture', password: 'hush' },
  registryUrl: 'http://registry:8080/apis/registry/v2',
  tables: CAPTURED_TABLES,
  partitions: 4,
};
const config = connectorConfig(OPTIONS);

describe('the configuration of the connector', () => {
  it('is exactly once, and loses no value silently', () => {
    expect(config).toMatchObject({
      'exactly.once.support': 'required',
      'transaction.boundary': 'poll',
      'event.converting.failure.handling.mode': 'fail',
    });
  });

  it('has a key that is unique, and routes by content alone', () => {
    expect(config['message.key.columns']?.split(';')).toContain('public.engagement_events:content_id,id');
    expect(config['transforms.route_public_engagement_events.partition.payload.fields']).toBe('change.content_id');
    expect(config[partitionCountKey(EVENTS_TABLE)]).toBe('4');
    expect(config['topic.creation.routed.partitions']).toBe('4');
    for (const key of ['predicates.route_public_engagement_events.pattern', 'topic.creation.routed.include']) {
      const pattern = new RegExp(`^(?:${config[key]!.replaceAll(',', '|')})$`);
      expect(pattern.test(CDC_EVENTS), key).toBe(true);
      expect(pattern.test('cdc.public.content'), key).toBe(false);
      expect(pattern.test('cdcXpublic.engagement_events'), key).toBe(false);
    }
  });

  it('routes each table by its own column', () => {
    const tables = [
      { name: 'public.a', routeBy: 'x' },
      { name: 'public.b' },
      { name: 'public.c', key: ['y', 'id'], routeBy: 'y' },
    ];
    const found = connectorConfig({ ...OPTIONS, tables });
    expect(found.transforms).toBe('route_public_a,route_public_c');
    expect(found['transforms.route_public_a.partition.payload.fields']).toBe('change.x');
    expect(found['transforms.route_public_c.partition.payload.fields']).toBe('change.y');
    expect(found['predicates.route_public_c.pattern']).toBe('cdc\\.public\\.c');
    expect(found['message.key.columns']).toBe('public.c:y,id');
    expect(found['table.include.list']).toBe('public.a,public.b,public.c,public.sluice_heartbeat');
  });

  it('captures the tables of the publication that the migrations make', () => {
    const folder = new URL('../../../sql/postgres/', import.meta.url);
    const sql = readdirSync(folder)
      .map((name) => readFileSync(new URL(name, folder), 'utf8'))
      .join('\n');
    const published = [
      ...sql.matchAll(
        new RegExp(
          `(?:CREATE PUBLICATION ${PUBLICATION}\\s+FOR|ALTER PUBLICATION ${PUBLICATION} ADD) TABLE ([^;]*?)(?:\\s+WITH|;)`,
          'g',
        ),
      ),
    ].flatMap((match) => match[1]!.split(', ').map((table) => `public.${table}`));
    const wanted = `${config['table.include.list']},${config['signal.data.collection']}`;
    expect(published.sort()).toEqual(wanted.split(',').sort());
  });

  it('reads and writes Avro the same way for key and value', () => {
    const side = (name: string) =>
      Object.fromEntries(
        Object.entries(config).flatMap(([key, value]) =>
          key.startsWith(`${name}.converter`) ? [[key.slice(name.length), value]] : [],
        ),
      );
    expect(side('key')).toEqual(side('value'));
    expect(side('key')['.converter.apicurio.registry.url']).toBe(OPTIONS.registryUrl);
  });
});

describe('drift', () => {
  it('is none against itself, with the name that Connect adds', () => {
    expect(configDrift(config, { ...config, name: 'sluice-postgres' })).toEqual([]);
  });

  it('is named key by key, without telling a secret', () => {
    const { 'poll.interval.ms': _dropped, ...rest } = config;
    const found: ConnectorConfig = { ...rest, 'database.password': 'older', 'max.batch.size': '1', extra: 'x' };
    const drift = configDrift(config, found);
    expect(drift.map(describeDrift)).toEqual([
      '~ database.password = ******** (was ********)',
      '- extra = x',
      '~ max.batch.size = 8192 (was 1)',
      '+ poll.interval.ms = 100',
    ]);
    expect(JSON.stringify(drift)).not.toMatch(/hush|older/);
  });

  it('is empty exactly when the two are equal, and gone when it is applied', () => {
    const some = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2'), {
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(some, some, (wanted, found) => {
        const drift = configDrift(wanted, found);
        const repaired: Record<string, string> = { ...found };
        for (const item of drift) {
          if (item.kind === 'unexpected') delete repaired[item.key];
          else repaired[item.key] = item.wanted;
        }
        expect(repaired).toEqual(wanted);
      }),
      { seed: 3 },
    );
  });
});
