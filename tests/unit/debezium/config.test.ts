import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ConnectorConfig,
  configDrift,
  connectorConfig,
  describeDrift,
  EVENT_TOPIC,
  PARTITION_COUNT_KEY,
  PUBLICATION,
} from '../../../connectors/debezium/config.ts';

const OPTIONS = {
  postgres: { host: 'db', port: 5432, database: 'sluice', user: 'sluice_capture', password: 'hush' },
  registryUrl: 'http://registry:8080/apis/registry/v2',
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
    expect(config['message.key.columns']).toBe('public.engagement_events:content_id,id');
    expect(config['transforms.route.partition.payload.fields']).toBe('change.content_id');
    expect(config[PARTITION_COUNT_KEY]).toBe('4');
    expect(config['topic.creation.events.partitions']).toBe('4');
    for (const key of ['predicates.isEvent.pattern', 'topic.creation.events.include']) {
      const pattern = new RegExp(`^(?:${config[key]})$`);
      expect(pattern.test(EVENT_TOPIC), key).toBe(true);
      expect(pattern.test('cdc.public.content'), key).toBe(false);
      expect(pattern.test('cdcXpublic.engagement_events'), key).toBe(false);
    }
  });

  it('captures the tables of the publication that the migrations make', () => {
    const folder = new URL('../../../sql/postgres/', import.meta.url);
    const sql = readdirSync(folder)
      .map((name) => readFileSync(new URL(name, folder), 'utf8'))
      .join('\n');
    const published = new RegExp(`CREATE PUBLICATION ${PUBLICATION}\\s+FOR TABLE ([^;]*?)\\s+WITH`).exec(sql)?.[1];
    const wanted = `${config['table.include.list']},${config['signal.data.collection']}`;
    expect(published?.split(', ').map((table) => `public.${table}`)).toEqual(wanted.split(','));
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
