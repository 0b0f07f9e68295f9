/** What the monitor (pipelines/operations/monitor/monitored.ts) is told of the engagement pipeline: of the leaderboards, the live variant. */
import { asOfKey } from '../../connectors/redis/keys.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { MonitoredPipeline, MonitoredSource } from '../operations/monitor/monitored.ts';
import { ENRICHMENT } from './enrichment-deployment.ts';
import {
  FIRST_LEADERBOARDS,
  type LeaderboardDeployment,
  readLeaderboards,
  rulesOf,
  variantNames,
  windowsOf,
} from './leaderboard-deployment.ts';
import { leaderboardName } from './redis-boards.ts';
import { CDC_EVENTS, CHANGES, CLICKHOUSE_SINK, DLQ, EVENTS_V1, MIRROR, REDIS_SINK } from './topics.ts';

/** Of one deployment of the leaderboards. */
export function monitoredOf(
  deployment: LeaderboardDeployment,
  { mirrored }: { readonly mirrored: boolean },
): MonitoredPipeline {
  const { group, output, changelog } = variantNames(deployment.live);
  const windows = windowsOf(rulesOf(deployment, deployment.live));
  return {
    name: 'engagement',
    workers: [
      { name: ENRICHMENT, input: CDC_EVENTS },
      { name: group, input: CHANGES },
      { name: CLICKHOUSE_SINK, input: CHANGES },
      { name: REDIS_SINK, input: output },
      ...(mirrored ? [{ name: MIRROR, input: EVENTS_V1 }] : []),
    ],
    transactional: [CDC_EVENTS, CHANGES, EVENTS_V1, output, changelog, DLQ],
    dlq: DLQ,
    clickHouseSinks: [CLICKHOUSE_SINK],
    redisSinks: [{ name: REDIS_SINK, stamps: windows.map(({ name }) => asOfKey(leaderboardName(name))) }],
  };
}

/** Follows the variant that is live. */
export function engagementMonitored(options: { readonly mirrored: boolean }): MonitoredSource {
  let pipeline = monitoredOf(FIRST_LEADERBOARDS, options);
  return {
    get pipeline() {
      return pipeline;
    },
    async refresh(client) {
      try {
        pipeline = monitoredOf(await readLeaderboards(client), options);
      } catch (error) {
        // A log that is away is told by what is asked of it next; a record that makes no sense, by the workers that go by it.
        if (!(error instanceof SluiceError)) throw error;
      }
    },
  };
}
