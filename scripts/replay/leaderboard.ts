/** `npm run replay -- --stage leaderboard`: another variant of the leaderboards is built beside the live one, compared, shown, retired. */
import { createTopics, deleteTopics } from '../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { type Config, kafkaOptions } from '../../pipelines/config.ts';
import {
  DEFAULT_RULES,
  LEADERBOARD,
  type LeaderboardDeployment,
  leaderboardDeployment,
  prepared,
  retired,
  rulesOf,
  shownAnew,
  variantNames,
} from '../../pipelines/engagement/leaderboard-deployment.ts';
import {
  compareVariants,
  dropUnshown,
  type PlaceChange,
  untilCaughtUp,
  untilShown,
} from '../../pipelines/engagement/replay/leaderboard.ts';
import { variantTopics } from '../../pipelines/engagement/topics.ts';
import { readDeployment, writeDeployment } from '../../pipelines/operations/deployments.ts';
import { topicConfig } from '../../pipelines/operations/topics.ts';
import { badArgument } from '../support/arguments.ts';
import { type OperationContext, type Report, runOperation, runReport } from '../support/operation.ts';
import type { ReplayOptions } from './options.ts';

const CLIENT = 'sluice-replay';
const SHOWN_CHANGES = 20;

type Action = 'prepare' | 'compare' | 'swap' | 'retire';

interface Step {
  /** The fact as it is to be; the present one for a step that changes none. */
  readonly next: (present: LeaderboardDeployment) => LeaderboardDeployment;
  readonly lines: readonly string[];
  readonly execute: (next: LeaderboardDeployment, context: OperationContext) => Promise<Report>;
}

export async function replayLeaderboard(options: ReplayOptions): Promise<void> {
  const { variant } = options;
  if (variant === undefined || !/^[a-z][a-z0-9]{0,9}$/.test(variant)) {
    throw badArgument('--variant must be a lower case letter, then at most nine letters and digits');
  }
  const action = actionOf(options);
  if (action === 'compare') return await compare(variant, options);
  const { next, lines, execute } = STEPS[action](variant, options);
  await runOperation({
    command: `replay leaderboard ${action}`,
    arguments: { ...options },
    flags: options,
    unit: 'boards',
    plan: async ({ config }) => {
      const present = await presentDeployment(config);
      const data = next(present);
      return { data, lines, report: { variant, action, present, next: data } };
    },
    execute,
  });
}

function actionOf(options: ReplayOptions): Action {
  const given = (['prepare', 'compare', 'swap', 'retire'] as const).filter((name) => options[name] === true);
  if (given.length !== 1) throw badArgument('say one of --prepare, --compare, --swap, --retire');
  return given[0]!;
}

async function presentDeployment(config: Config): Promise<LeaderboardDeployment> {
  const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
  try {
    return leaderboardDeployment(await readDeployment(kafka, LEADERBOARD));
  } finally {
    await kafka.close();
  }
}

async function publish(config: Config, deployment: LeaderboardDeployment): Promise<void> {
  await writeDeployment(kafkaOptions(config, CLIENT), LEADERBOARD, JSON.stringify(deployment));
}

const STEPS: Readonly<Record<Exclude<Action, 'compare'>, (variant: string, options: ReplayOptions) => Step>> = {
  prepare: (variant, { limit = DEFAULT_RULES.limit, minSamples = DEFAULT_RULES.minSamples, windows }) => ({
    next: (present) => prepared(present, variant, { limit, minSamples, ...(windows === undefined ? {} : { windows }) }),
    lines: [
      `Makes the topics of variant ${variant}: boards of ${limit} places, averages from ${minSamples} samples on. Nothing shows it yet.`,
      `Start its workers then: SLUICE_LEADERBOARD_VARIANT=${variant} npm run worker -- engagement.leaderboard`,
    ],
    execute: async (next, { config }) => {
      const topics = variantTopics(variantNames(variant), config.SLUICE_PARTITIONS);
      await createTopics(
        { ...kafkaOptions(config, CLIENT), replication: 1 },
        topics.map((spec) => ({ ...spec, config: topicConfig(spec) })),
      );
      await publish(config, next);
      return { lines: [`Variant ${variant} is ready for its workers.`], report: next, complete: true };
    },
  }),
  swap: (variant, { deadline }) => ({
    next: (present) => (present.live === variant ? present : shownAnew(present, variant)),
    lines: [
      `Shows variant ${variant} once it has counted all that is there now. The present boards are shown until the new ones are whole.`,
      'Boards of windows that it does not have are taken away then.',
      'Leaderboard workers that are not pinned to a variant end and start again on this one.',
    ],
    execute: async (next, { config, signal }) => {
      const waiting = { signal, deadlineMs: deadline * 1_000 };
      const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
      try {
        await untilCaughtUp(kafka, variantNames(variant).group, waiting);
      } finally {
        await kafka.close();
      }
      await publish(config, next);
      const shown = { generation: config.SLUICE_GENERATION + next.generation, rules: rulesOf(next, variant) };
      await untilShown(config.SLUICE_REDIS_URL, shown, waiting);
      await dropUnshown(config.SLUICE_REDIS_URL, next);
      return { lines: [`Redis shows variant ${variant}.`], report: next, complete: true };
    },
  }),
  retire: (variant) => ({
    next: (present) => retired(present, variant),
    lines: [`Deletes the topics and the consumer group of variant ${variant}. Its workers must be stopped.`],
    execute: async (next, { config }) => {
      const { group, output, changelog } = variantNames(variant);
      await publish(config, next);
      await deleteTopics(kafkaOptions(config, CLIENT), { topics: [output, changelog], group });
      return { lines: [`Variant ${variant} is gone.`], report: next, complete: true };
    },
  }),
};

async function compare(variant: string, options: ReplayOptions): Promise<void> {
  await runReport({
    command: 'replay leaderboard compare',
    arguments: { ...options },
    flags: options,
    unit: 'boards',
    read: async ({ config, signal }) => {
      const waiting = { signal, deadlineMs: options.deadline * 1_000 };
      const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
      try {
        const deployment = leaderboardDeployment(await readDeployment(kafka, LEADERBOARD));
        const side = (name: string) => ({ names: variantNames(name), rules: rulesOf(deployment, name) });
        const sides = { live: side(deployment.live), other: side(variant) };
        await untilCaughtUp(kafka, sides.other.names.group, waiting);
        const schemas = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
        const report = await compareVariants(kafka, sides, { ...waiting, schemas });
        const lines = [
          `${report.changes.length} of ${report.places} places would change (${deployment.live} against ${variant})`,
        ];
        for (const change of report.changes.slice(0, SHOWN_CHANGES)) lines.push(changeLine(change));
        return { lines, report, complete: true };
      } finally {
        await kafka.close();
      }
    },
  });
}

function changeLine({ board, contentId, live, other }: PlaceChange): string {
  const at = (place: PlaceChange['live']) =>
    place === null ? 'not on it' : `place ${place.place}, score ${place.score}`;
  return `  ${board}, content ${contentId}: ${at(live)} → ${at(other)}`;
}
