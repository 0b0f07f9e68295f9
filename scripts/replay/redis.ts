/** `npm run replay -- --sink redis`. */
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { kafkaOptions } from '../../pipelines/config.ts';
import {
  LEADERBOARD,
  leaderboardDeployment,
  rulesOf,
  shownAnew,
} from '../../pipelines/engagement/leaderboard-deployment.ts';
import { untilShown } from '../../pipelines/engagement/replay/leaderboard.ts';
import { readDeployment, writeDeployment } from '../../pipelines/operations/deployments.ts';
import { runOperation } from '../support/operation.ts';
import type { ReplayOptions } from './options.ts';

export async function replayRedis(options: ReplayOptions): Promise<void> {
  await runOperation({
    command: 'replay redis',
    arguments: { ...options },
    flags: options,
    unit: 'boards',
    plan: async ({ config }) => {
      const kafka = new KafkaClient(kafkaOptions(config, 'sluice-replay'));
      try {
        const present = leaderboardDeployment(await readDeployment(kafka, LEADERBOARD));
        return {
          data: shownAnew(present, present.live),
          lines: [
            `Rebuilds all boards in Redis from variant ${present.live} of the leaderboards. The present boards are shown until the new ones are whole.`,
            'engagement.sink.redis does it: now if it runs, else when it is started.',
          ],
          report: { variant: present.live },
        };
      } finally {
        await kafka.close();
      }
    },
    execute: async (deployment, { config, signal }) => {
      await writeDeployment(kafkaOptions(config, 'sluice-replay'), LEADERBOARD, JSON.stringify(deployment));
      const generation = config.SLUICE_GENERATION + deployment.generation;
      const rules = rulesOf(deployment, deployment.live);
      await untilShown(
        config.SLUICE_REDIS_URL,
        { generation, rules },
        { signal, deadlineMs: options.deadline * 1_000 },
      );
      return { lines: ['All boards are rebuilt.'], report: { generation }, complete: true };
    },
  });
}
