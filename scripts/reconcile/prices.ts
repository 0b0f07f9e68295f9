/** How prices are compared, and repaired. */
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { type Config, clickHouseConfig, kafkaOptions } from '../../pipelines/config.ts';
import type { ReconcileReport, Watch } from '../../pipelines/operations/reconcile/report.ts';
import { reconcilePrices } from '../../pipelines/prices/reconcile/reconcile.ts';
import { lookAtPrices, repairPrices } from '../../pipelines/prices/repair/repair.ts';
import type { CompareOptions, Repairing } from './repair.ts';

/** `close` the log. */
function comparing(config: Config, options: CompareOptions) {
  const kafka = kafkaOptions(config, 'sluice-reconcile');
  const asked = {
    postgresUrl: config.SLUICE_POSTGRES_URL,
    clickHouse: clickHouseConfig(config),
    redisUrl: config.SLUICE_REDIS_URL,
    sectors: config.SLUICE_PRICES_SECTORS,
    log: new KafkaClient(kafka),
    schemas: new RegistryClient({ url: config.SLUICE_REGISTRY_URL }),
    scope: { since: options.since ?? null, until: null, stocks: [] },
    deadlineSeconds: options.deadline,
    strict: options.strict,
  };
  return { asked, kafka };
}

export async function comparePrices(config: Config, options: CompareOptions, watch: Watch): Promise<ReconcileReport> {
  const { asked } = comparing(config, options);
  try {
    return await reconcilePrices({ ...asked, limit: options.limit, watch });
  } finally {
    await asked.log.close();
  }
}

export function repairOfPrices(config: Config, options: CompareOptions, watch: Watch): Repairing {
  const { asked, kafka } = comparing(config, options);
  return {
    async look(max) {
      const { report, lines } = await lookAtPrices({ ...asked, max, watch });
      return { before: report, lines, plan: { steps: lines } };
    },
    repair: async (run) => await repairPrices({ ...asked, kafka, ...run }),
    close: () => asked.log.close(),
  };
}
