import { describe, expect, it } from 'vitest';
import { kafkaOptions, loadConfig } from '../../../pipelines/config.ts';

describe('configuration', () => {
  it('has defaults for everything, on loopback', () => {
    const config = loadConfig({});
    expect(config.SLUICE_KAFKA_BROKERS).toEqual(['127.0.0.1:19092']);
    expect(config.SLUICE_PIPELINES).toEqual(['engagement']);
    expect(loadConfig({ SLUICE_PIPELINES: 'prices' }).SLUICE_PIPELINES).toEqual(['prices']);
    expect(loadConfig({ SLUICE_PIPELINES: 'all' }).SLUICE_PIPELINES).toEqual(['engagement', 'prices']);
    expect(config.SLUICE_METRICS_HOST).toBe('127.0.0.1');
    expect(config.SLUICE_CLICKHOUSE_TTL_DAYS).toEqual({});
    expect(kafkaOptions(config, 'x')).toEqual({ brokers: ['127.0.0.1:19092'], clientId: 'x' });
  });

  it('reports all problems together, each with its variable', () => {
    const bad = {
      SLUICE_PARTITIONS: 'four',
      SLUICE_REGISTRY_URL: 'nowhere',
      SLUICE_CLICKHOUSE_TTL_DAYS: 'events:90',
      SLUICE_LOG_LEVEL: 'loud',
      SLUICE_PIPELINES: 'engagement,sentiment',
    };
    let message = '';
    try {
      loadConfig(bad);
    } catch (error) {
      message = (error as Error).message;
    }
    for (const name of Object.keys(bad)) expect(message).toContain(name);
    expect(message).toContain('no pipeline "sentiment"');
    expect(message).toContain('expected table=days, not "events:90"');
  });

  it('reads brokers, times to live, TLS and SASL', () => {
    const config = loadConfig({
      SLUICE_KAFKA_BROKERS: 'a:1, b:2',
      SLUICE_CLICKHOUSE_TTL_DAYS: 'engagement_changes=400, engagement_hourly_store=90',
      SLUICE_KAFKA_SSL_CA: '/ca.pem',
      SLUICE_KAFKA_SASL_MECHANISM: 'scram-sha-512',
      SLUICE_KAFKA_SASL_USERNAME: 'user',
      SLUICE_KAFKA_SASL_PASSWORD: 'secret',
    });
    expect(config.SLUICE_CLICKHOUSE_TTL_DAYS).toEqual({ engagement_changes: 400, engagement_hourly_store: 90 });
    expect(kafkaOptions(config, 'x')).toEqual({
      brokers: ['a:1', 'b:2'],
      clientId: 'x',
      ssl: { caFile: '/ca.pem' },
      sasl: { mechanism: 'scram-sha-512', username: 'user', password: 'secret' },
    });
  });
});
