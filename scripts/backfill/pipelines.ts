/** What the backfill command needs of each pipeline beside its tables. */
import type { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { sourceClock } from '../../pipelines/capture/source-clock.ts';
import { type Config, clickHouseConfig, kafkaOptions } from '../../pipelines/config.ts';
import { heldEvents } from '../../pipelines/engagement/backfill/strays.ts';
import { ENGAGEMENT_BACKFILL } from '../../pipelines/engagement/backfill/tables.ts';
import { liveRules, readLeaderboards } from '../../pipelines/engagement/leaderboard-deployment.ts';
import { monitoredOf } from '../../pipelines/engagement/monitored.ts';
import { reconcile } from '../../pipelines/engagement/reconcile/reconcile.ts';
import { judgedEnrichment } from '../../pipelines/engagement/rollout.ts';
import type { BackfillTable, RowRange } from '../../pipelines/operations/backfill/condition.ts';
import type { LiveWorker } from '../../pipelines/operations/backfill/live-lag.ts';
import { correctStrays, type StraysFound, type StraysOptions } from '../../pipelines/operations/backfill/strays.ts';
import type { MonitoredPipeline } from '../../pipelines/operations/monitor/monitored.ts';
import type { ReconcileReport } from '../../pipelines/operations/reconcile/report.ts';
import { heldBars } from '../../pipelines/prices/backfill/strays.ts';
import { PRICES_BACKFILL } from '../../pipelines/prices/backfill/tables.ts';
import { PRICES_MONITORED } from '../../pipelines/prices/monitored.ts';
import { reconcilePrices } from '../../pipelines/prices/reconcile/reconcile.ts';

export type TableName = keyof typeof ENGAGEMENT_BACKFILL | keyof typeof PRICES_BACKFILL;

/** How strays of a range are looked for. */
export type StraysRun = Pick<StraysOptions, 'runId' | 'range' | 'condition' | 'signal' | 'report'>;

export interface CompareRun {
  readonly range: RowRange;
  readonly deadlineSeconds: number;
}

interface Backfilled {
  readonly table: BackfillTable;
  /** Workers that a backfill must not keep waiting. */
  readonly live: (log: KafkaClient) => Promise<readonly LiveWorker[]>;
  /** Takes off what Postgres has no more; null for a table of which nothing is held row by row. */
  readonly strays: ((config: Config, log: KafkaClient, run: StraysRun) => Promise<StraysFound>) | null;
  readonly compare: (config: Config, log: KafkaClient, run: CompareRun) => Promise<ReconcileReport>;
}

const registryOf = (config: Config) => new RegistryClient({ url: config.SLUICE_REGISTRY_URL });

function straysServers(config: Config, log: KafkaClient) {
  const schemas = registryOf(config);
  const kafka = kafkaOptions(config, 'sluice-backfill');
  return { postgresUrl: config.SLUICE_POSTGRES_URL, kafka, log, schemas, clock: sourceClock(schemas) };
}

/** All but the ClickHouse sinks, whose readers look at hours and not at seconds. */
function livePath({ workers }: Pick<MonitoredPipeline, 'workers'>): readonly LiveWorker[] {
  return workers.filter(({ name }) => !name.includes('.sink.clickhouse'));
}

const ENGAGEMENT = {
  live: async (log: KafkaClient) => livePath(monitoredOf(await readLeaderboards(log), { mirrored: false })),
  /** Rows of the range. What is not limited to a range is compared whole, sums and boards included. */
  compare: async (config: Config, log: KafkaClient, { range, deadlineSeconds }: CompareRun) => {
    const { from, to, groups, ids } = range;
    const limited = to !== null || groups.length > 0 || ids.length > 0;
    return await reconcile({
      postgresUrl: config.SLUICE_POSTGRES_URL,
      clickHouse: clickHouseConfig(config),
      redisUrl: config.SLUICE_REDIS_URL,
      log,
      schemas: registryOf(config),
      rules: async () => await liveRules(log),
      enrichment: judgedEnrichment(log),
      since: from,
      scope: limited ? { until: to, contents: groups, ids } : undefined,
      deadlineSeconds,
    });
  },
};

const PRICES = {
  live: async () => livePath(PRICES_MONITORED),
  /** Bars of the range, and candles that are made of such alone; without an end all that follows from them, of the stocks of the range. */
  compare: async (config: Config, log: KafkaClient, { range: { from, to, groups }, deadlineSeconds }: CompareRun) =>
    await reconcilePrices({
      postgresUrl: config.SLUICE_POSTGRES_URL,
      clickHouse: clickHouseConfig(config),
      redisUrl: config.SLUICE_REDIS_URL,
      sectors: config.SLUICE_PRICES_SECTORS,
      log,
      schemas: registryOf(config),
      scope: { since: from, until: to, stocks: groups.map(BigInt) },
      deadlineSeconds,
      limit: 20,
    }),
};

export const BACKFILLED: Readonly<Record<TableName, Backfilled>> = {
  engagement_events: {
    ...ENGAGEMENT,
    table: ENGAGEMENT_BACKFILL.engagement_events,
    strays: async (config, log, run) => {
      const servers = straysServers(config, log);
      return await correctStrays(heldEvents(servers.schemas), { ...servers, ...run });
    },
  },
  content: { ...ENGAGEMENT, table: ENGAGEMENT_BACKFILL.content, strays: null },
  stock_prices: {
    ...PRICES,
    table: PRICES_BACKFILL.stock_prices,
    strays: async (config, log, run) => {
      const servers = straysServers(config, log);
      return await correctStrays(heldBars(servers.schemas), { ...servers, ...run });
    },
  },
  stocks: { ...PRICES, table: PRICES_BACKFILL.stocks, strays: null },
};
