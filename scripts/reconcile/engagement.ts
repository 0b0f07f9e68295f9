/** How engagement is compared, and repaired. */
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { type Config, clickHouseConfig, kafkaOptions } from '../../pipelines/config.ts';
import { liveRules } from '../../pipelines/engagement/leaderboard-deployment.ts';
import type { BoardWindow } from '../../pipelines/engagement/reconcile/boards.ts';
import { reconcile } from '../../pipelines/engagement/reconcile/reconcile.ts';
import { describeRepair, repair } from '../../pipelines/engagement/repair/repair.ts';
import { judgedEnrichment } from '../../pipelines/engagement/rollout.ts';
import type { ReconcileReport, Watch } from '../../pipelines/operations/reconcile/report.ts';
import type { CompareOptions, Repairing } from './repair.ts';

export interface EngagementOptions extends CompareOptions {
  readonly window?: BoardWindow;
  /** false: --no-log. */
  readonly log: boolean;
}

/** What both ways compare, and how; `close` it. */
function comparing(config: Config, options: EngagementOptions) {
  const kafka = kafkaOptions(config, 'sluice-reconcile');
  const log = new KafkaClient(kafka);
  const mirrors = config.SLUICE_MIRROR_KAFKA_BROKERS;
  const externalLog = mirrors.length === 0 ? undefined : new KafkaClient({ ...kafka, brokers: mirrors });
  return {
    asked: {
      postgresUrl: config.SLUICE_POSTGRES_URL,
      clickHouse: clickHouseConfig(config),
      redisUrl: config.SLUICE_REDIS_URL,
      log,
      externalLog,
      rules: async () => await liveRules(log),
      enrichment: judgedEnrichment(log),
      contents: true,
      skipLog: !options.log,
      schemas: new RegistryClient({ url: config.SLUICE_REGISTRY_URL }),
      windows: options.window === undefined ? undefined : [options.window],
      since: options.since ?? null,
      deadlineSeconds: options.deadline,
      strict: options.strict,
    },
    kafka,
    connect: () => new KafkaClient(kafka),
    close: async () => {
      await Promise.all([log.close(), externalLog?.close()]);
    },
  };
}

export async function compareEngagement(
  config: Config,
  options: EngagementOptions,
  watch: Watch,
): Promise<ReconcileReport> {
  const { asked, close } = comparing(config, options);
  try {
    return await reconcile({
      ...asked,
      limit: options.limit,
      watch,
      unconfirmed: ({ position }) =>
        console.error(`different as of ${position} while contents were edited: comparing once more`),
    });
  } finally {
    await close();
  }
}

export function repairEngagement(config: Config, options: EngagementOptions, watch: Watch): Repairing {
  const { asked, kafka, connect, close } = comparing(config, options);
  return {
    async look(max) {
      let described: ReturnType<typeof describeRepair> = { lines: [], plan: null };
      const before = await reconcile({
        ...asked,
        limit: max,
        watch,
        different: async ({ report, subjects }) => {
          described = describeRepair(report, subjects, max);
        },
      });
      return { before, ...described };
    },
    repair: async (run) => await repair({ ...asked, kafka, connect, ...run }),
    close,
  };
}
