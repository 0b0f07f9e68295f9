/** `npm run replay -- --stage enrich`: other logic of the enrichment over all rows that are there, looked at first or rolled out. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { type Config, kafkaOptions } from '../../pipelines/config.ts';
import {
  ENRICHMENT,
  type EnrichmentDeployment,
  editionOf,
  editionText,
  revised,
} from '../../pipelines/engagement/enrichment-deployment.ts';
import {
  type ChangedRow,
  compareEnrichment,
  type DayComparison,
  untilRolledOut,
} from '../../pipelines/engagement/replay/enrichment.ts';
import { pendingText, type Rollout, readRollout } from '../../pipelines/engagement/rollout.ts';
import type { EnrichmentRules } from '../../pipelines/engagement/semantics.ts';
import { jsonText } from '../../pipelines/operations/audit.ts';
import { writeDeployment } from '../../pipelines/operations/deployments.ts';
import { exclusively } from '../../pipelines/operations/exclusive.ts';
import { badArgument } from '../support/arguments.ts';
import { type OperationContext, type Report, runOperation, runReport } from '../support/operation.ts';
import type { ReplayOptions } from './options.ts';

const CLIENT = 'sluice-replay';
const SHOWN = 20;

export async function replayEnrichment(options: ReplayOptions): Promise<void> {
  if ((options.compare === true) === (options.swap === true)) throw badArgument('say one of --compare, --swap');
  const framed = { arguments: { ...options }, flags: options, unit: 'rows' };
  if (options.compare === true) {
    const read = async (context: OperationContext) => await compare(options, context);
    return await runReport({ command: 'replay enrich compare', ...framed, read });
  }
  await runOperation<null>({
    command: 'replay enrich swap',
    ...framed,
    plan: async ({ config }) => {
      const { rollout, next } = await withKafka(config, async (kafka) => await planned(kafka, options));
      const lines = [
        next === rollout.deployment
          ? `Goes on with what was begun: ${pendingText(rollout)}.`
          : `Makes every row anew by ${rulesText(next)} and the code that runs (edition ${editionText(editionOf(next))}); now it is by ${rulesText(rollout.deployment)}.`,
        'engagement.enrich ends, starts again and does it between its events; what differs follows in every sink as corrections.',
        'Look first with --compare.',
      ];
      return { data: null, lines, report: { present: rollout.deployment, next } };
    },
    execute: async (_, context) => {
      const lock = { url: context.config.SLUICE_POSTGRES_URL, name: 'replay of enrich' };
      return await withKafka(context.config, async (kafka) => {
        // Only the writing is alone: who waits holds nobody up.
        await exclusively(lock, async () => {
          const { rollout, next } = await planned(kafka, options);
          if (next === rollout.deployment) return;
          await writeDeployment(kafkaOptions(context.config, CLIENT), ENRICHMENT, JSON.stringify(next));
        });
        return await rolledOut(kafka, options, context);
      });
    },
  });
}

async function withKafka<T>(config: Config, work: (kafka: KafkaClient) => Promise<T>): Promise<T> {
  const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
  try {
    return await work(kafka);
  } finally {
    await kafka.close();
  }
}

/** The fact as it is to be: the present one when it says so already and is not done yet. */
async function planned(
  kafka: KafkaClient,
  options: ReplayOptions,
): Promise<{ readonly rollout: Rollout; readonly next: EnrichmentDeployment }> {
  const rollout = await readRollout(kafka);
  const { deployment, pending } = rollout;
  const rules = rulesOf(options, deployment);
  const begun = pending.length > 0 && rules.maxPctBp === deployment.maxPctBp;
  return { rollout, next: begun ? deployment : revised(deployment, rules) };
}

function rulesOf({ maxPct }: ReplayOptions, present: EnrichmentRules): EnrichmentRules {
  return { maxPctBp: maxPct === undefined ? present.maxPctBp : maxPct };
}

function rulesText({ maxPctBp }: EnrichmentRules): string {
  return maxPctBp === null ? 'no limit of the percent' : `at most ${maxPctBp / 100} %`;
}

async function rolledOut(kafka: KafkaClient, options: ReplayOptions, context: OperationContext): Promise<Report> {
  const { signal, progress } = context;
  const { deployment, edition } = await untilRolledOut(kafka, {
    signal,
    deadlineMs: options.deadline * 1_000,
    progress: (done, total) => progress.update(done, total, 'made anew'),
  });
  return {
    lines: [`All rows are by ${rulesText(deployment)} (edition ${editionText(edition)}). The sinks follow.`],
    report: { deployment, edition: editionText(edition) },
    complete: true,
  };
}

async function compare(options: ReplayOptions, { config, signal, progress }: OperationContext): Promise<Report> {
  // One name, so that what a killed run left is found and taken away.
  const dir = join(config.SLUICE_STATE_DIR, 'replay.enrich.compare');
  rmSync(dir, { recursive: true, force: true });
  try {
    return await withKafka(config, async (client) => {
      const { deployment } = await readRollout(client);
      const rules = rulesOf(options, deployment);
      const registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
      const shown = (done: number, total: number | null) => progress.update(done, total, 'compared');
      const report = await compareEnrichment({ client, registry, rules, dir, signal, progress: shown });
      const { rows, changed, days, samples } = report;
      const lines = [
        `${changed} of ${rows} rows would change, by ${rulesText(rules)} and this code instead of ${rulesText(deployment)}`,
        ...days.slice(0, SHOWN).map(dayLine),
        ...(days.length > SHOWN ? [`  and ${days.length - SHOWN} more days (--json)`] : []),
        ...samples.map(sampleLine),
      ];
      return { lines, report, complete: true };
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function dayLine({ day, rows, changed, pctBpSum, pctSamples }: DayComparison): string {
  const average = (side: 'before' | 'after') =>
    pctSamples[side] === 0 ? 'none' : `${(pctBpSum[side] / pctSamples[side] / 100).toFixed(2)} %`;
  return `  ${day}: ${changed} of ${rows} rows, average ${average('before')} → ${average('after')}, sum ${pctBpSum.before} → ${pctBpSum.after} bp`;
}

function sampleLine({ eventId, contentId, before, after }: ChangedRow): string {
  return `  event ${eventId} of content ${contentId}: ${jsonText(before)} → ${jsonText(after)}`;
}
