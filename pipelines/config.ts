/** Configuration of every process, from environment variables only: one schema, parsed once, all problems reported together. */
import { z } from 'zod';
import type { ClickHouseConfig } from '../connectors/clickhouse/client.ts';
import type { KafkaOptions } from '../connectors/kafka/cluster.ts';
import { SluiceError } from '../engine/errors.ts';
import { GRAINS, type PricesRetention } from './prices/retention.ts';

const int = (fallback: number, min = 0) => z.coerce.number().int().min(min).default(fallback);

/** Parts between commas. */
const list = (fallback = '') =>
  z
    .string()
    .default(fallback)
    .transform((text) =>
      text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
    );

/** `grain=days,…` */
function retention(text: string, context: z.RefinementCtx): PricesRetention {
  const days = ttlDays(text, context);
  const unknown = Object.keys(days).find((grain) => !(GRAINS as readonly string[]).includes(grain));
  if (unknown === undefined) return days;
  context.addIssue({ code: 'custom', message: `no grain "${unknown}"; there are ${GRAINS.join(', ')}` });
  return z.NEVER;
}

/** `table=days,…` */
function ttlDays(text: string, context: z.RefinementCtx): Record<string, number> {
  const days: Record<string, number> = {};
  for (const part of text.split(',').filter((one) => one.trim() !== '')) {
    const [, table, number] = /^\s*(\w+)=(\d+)\s*$/.exec(part) ?? [];
    if (table === undefined || number === undefined) {
      context.addIssue({ code: 'custom', message: `expected table=days, not "${part}"` });
      return z.NEVER;
    }
    days[table] = Number(number);
  }
  return days;
}

const PIPELINES = ['engagement', 'prices'];

function pipelineNames(text: string, context: z.RefinementCtx): readonly string[] {
  if (text === 'all') return PIPELINES;
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !PIPELINES.includes(name));
  if (unknown === undefined) return names;
  context.addIssue({ code: 'custom', message: `no pipeline "${unknown}"; there are ${PIPELINES.join(', ')}, or all` });
  return z.NEVER;
}

const schema = z.object({
  SLUICE_KAFKA_BROKERS: z
    .string()
    .default('127.0.0.1:19092')
    .transform((text) => text.split(',').map((broker) => broker.trim())),
  SLUICE_KAFKA_SSL_CA: z.string().optional().describe('path of a PEM file; turns TLS on'),
  SLUICE_KAFKA_SASL_MECHANISM: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).optional(),
  SLUICE_KAFKA_SASL_USERNAME: z.string().optional(),
  SLUICE_KAFKA_SASL_PASSWORD: z.string().optional(),
  SLUICE_MIRROR_KAFKA_BROKERS: z
    .string()
    .default('')
    .transform((text) => text.split(',').filter((broker) => broker !== '')),
  SLUICE_REGISTRY_URL: z.url().default('http://127.0.0.1:18081/apis/ccompat/v7'),
  SLUICE_CONNECT_URL: z.url().default('http://127.0.0.1:18083'),
  SLUICE_POSTGRES_URL: z.string().default('postgres://postgres:sluice@127.0.0.1:15432/sluice'),
  SLUICE_POSTGRES_READER_PASSWORD: z.string().optional().describe('of sluice_reader, as whom the monitor logs in'),
  SLUICE_REDIS_URL: z.string().default('redis://127.0.0.1:16379'),
  SLUICE_CLICKHOUSE_URL: z.url().default('http://127.0.0.1:18123'),
  SLUICE_CLICKHOUSE_DATABASE: z.string().default('sluice'),
  SLUICE_CLICKHOUSE_USER: z.string().default('default'),
  SLUICE_CLICKHOUSE_PASSWORD: z.string().default(''),
  SLUICE_CLICKHOUSE_CLUSTER: z.string().optional().describe('replicated engines and ON CLUSTER; one node without'),
  SLUICE_CLICKHOUSE_TTL_DAYS: z
    .string()
    .default('')
    .transform(ttlDays)
    .describe('days kept by table, e.g. engagement_changes=400,engagement_hourly_store=90; what is not named is kept'),
  SLUICE_PRICES_SECTORS: list('Consumer,Energy,Finance,Health,Industry,Technology').describe(
    'whose boards of movers are in Redis; those of another are in the topic only',
  ),
  SLUICE_PRICES_RETENTION_DAYS: z
    .string()
    .default('')
    .transform(retention)
    .describe(
      'days that ClickHouse keeps prices, by grain: minute=90,hour=365,day=1830,versions=90; what is not named is kept',
    ),
  SLUICE_STATE_DIR: z.string().default('.sluice/state'),
  SLUICE_METRICS_PORT: int(0).describe('0 lets the system choose'),
  SLUICE_PARTITIONS: int(4, 1),
  SLUICE_GENERATION: int(1, 1).describe('raised for a deliberate replay of a sink'),
  SLUICE_METRICS_HOST: z.string().default('127.0.0.1'),
  SLUICE_ENRICH_GATHER_MS: int(200).describe('how long enrich gathers a batch: latency against cost'),
  SLUICE_LEADERBOARD_GATHER_MS: int(250),
  SLUICE_CLICKHOUSE_GATHER_MS: int(1_500).describe('an insert costs ClickHouse 50 ms whatever its size'),
  SLUICE_REDIS_GATHER_MS: int(50),
  SLUICE_LEADERBOARD_VARIANT: z
    .string()
    .regex(/^[a-z][a-z0-9]{0,9}$/, 'a lower case letter, then letters and digits')
    .optional()
    .describe('which leaderboards a worker computes (docs/replay.md); the live ones without'),
  SLUICE_PIPELINES: z
    .string()
    .default('engagement')
    .transform(pipelineNames)
    .describe('which pipelines run here, by name and separated by commas, or all'),
  SLUICE_PRICES_CANDLES_GATHER_MS: int(200),
  SLUICE_PRICES_INDICATORS_GATHER_MS: int(200),
  SLUICE_PRICES_SCANNER_GATHER_MS: int(500),
  SLUICE_PRICES_LATENESS_MS: int(300_000).describe('how long after its end a candle waits for late bars'),
  SLUICE_CHECKPOINT_MS: int(10_000).describe('how often the leaderboard writes its changed state to the changelog'),
  SLUICE_SESSION_TIMEOUT_MS: int(10_000, 6_000).describe('after how long a silent worker loses its partitions'),
  SLUICE_MONITOR_INTERVAL_MS: int(5_000, 100).describe('how often the monitor asks each system'),
  SLUICE_MONITOR_FOLDERS: z
    .string()
    .default('.')
    .transform((text) => text.split(',').filter((folder) => folder !== ''))
    .describe('whose free space the monitor watches'),
  SLUICE_PRICES_GATEWAY_HOST: z.string().default('127.0.0.1').describe('where the market feed listens'),
  SLUICE_PRICES_GATEWAY_PORT: int(19_300).describe('0 lets the system choose'),
  SLUICE_PRICES_GATEWAY_AUTH: z.enum(['token', 'none']).default('token').describe('none: on loopback only'),
  SLUICE_PRICES_GATEWAY_TOKENS_FILE: z.string().optional().describe('a line for each token: npm run gateway -- token'),
  SLUICE_PRICES_GATEWAY_ORIGINS: list().describe('pages that may connect, e.g. https://charts.example.com'),
  SLUICE_PRICES_GATEWAY_TLS_CERT: z.string().optional().describe('path of a PEM file; with the key turns TLS on'),
  SLUICE_PRICES_GATEWAY_TLS_KEY: z.string().optional(),
  SLUICE_PRICES_GATEWAY_MAX_CONNECTIONS: int(2_000, 1),
  SLUICE_PRICES_GATEWAY_MAX_CONNECTIONS_PER_TOKEN: int(500, 1).describe('of a token whose line says no other'),
  SLUICE_PRICES_GATEWAY_HEARTBEAT_MS: int(15_000, 100).describe('a client that does not answer until the next is dead'),
  SLUICE_PRICES_GATEWAY_DELAYED_MS: int(10_000, 1_000).describe('clients are told when the values are older'),
  SLUICE_LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info'),
});

export type Config = z.infer<typeof schema>;

/** Parses the environment. Throws CONFIG_INVALID naming every variable at fault. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith('SLUICE_')));
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new SluiceError(`Bad configuration:\n${problems.join('\n')}`, { code: 'CONFIG_INVALID', action: 'fatal' });
}

/** The Kafka connection of a process. */
export function kafkaOptions(config: Config, clientId: string): KafkaOptions {
  const { SLUICE_KAFKA_BROKERS: brokers, SLUICE_KAFKA_SSL_CA: caFile } = config;
  const mechanism = config.SLUICE_KAFKA_SASL_MECHANISM;
  return {
    brokers,
    clientId,
    ...(caFile === undefined ? {} : { ssl: { caFile } }),
    ...(mechanism === undefined
      ? {}
      : {
          sasl: {
            mechanism,
            username: config.SLUICE_KAFKA_SASL_USERNAME ?? '',
            password: config.SLUICE_KAFKA_SASL_PASSWORD ?? '',
          },
        }),
  };
}

/** The ClickHouse connection of a process. */
export function clickHouseConfig(config: Config): ClickHouseConfig {
  return {
    url: config.SLUICE_CLICKHOUSE_URL,
    database: config.SLUICE_CLICKHOUSE_DATABASE,
    username: config.SLUICE_CLICKHOUSE_USER,
    password: config.SLUICE_CLICKHOUSE_PASSWORD,
  };
}
