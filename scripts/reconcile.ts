/** `npm run reconcile`: does everything that a pipeline feeds say what Postgres says? With --repair it shall. */
import { type Command, Option } from 'commander';
import { KafkaClient } from '../connectors/kafka/client.ts';
import { RegistryClient } from '../connectors/registry/client.ts';
import { type Config, clickHouseConfig, kafkaOptions, loadConfig } from '../pipelines/config.ts';
import { liveRules } from '../pipelines/engagement/leaderboard-deployment.ts';
import type { BoardWindow } from '../pipelines/engagement/reconcile/boards.ts';
import { reconcile } from '../pipelines/engagement/reconcile/reconcile.ts';
import { judgedEnrichment } from '../pipelines/engagement/rollout.ts';
import { reportLines } from '../pipelines/operations/reconcile/print.ts';
import { EXIT_STATUS, type ReconcileReport } from '../pipelines/operations/reconcile/report.ts';
import { reconcilePrices } from '../pipelines/prices/reconcile/reconcile.ts';
import { CANDLES } from '../pipelines/prices/topics.ts';
import { type RepairFlags, runRepair } from './reconcile/repair.ts';
import { badArgument, countOf, timeOf } from './support/arguments.ts';
import { operationFlags, operatorProgram } from './support/operation.ts';
import { runScript } from './support/run.ts';

interface Options extends RepairFlags {
  readonly pipeline: 'engagement' | 'prices';
  readonly repair?: boolean;
  readonly window?: BoardWindow;
  readonly since?: Date;
  readonly deadline: number;
  readonly strict?: boolean;
  readonly limit: number;
}

function windowNamed(text: string): BoardWindow {
  if (/^[1-9]\d{0,4}[mhdw]$/.test(text)) return text;
  throw badArgument(`--window ${text} is no window: give it as 1h`);
}

/** What both ways compare, and how; `close` it. */
function comparing(config: Config, options: Options) {
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
      schemas: new RegistryClient({ url: config.SLUICE_REGISTRY_URL }),
      windows: options.window === undefined ? undefined : [options.window],
      since: options.since ?? null,
      deadlineSeconds: options.deadline,
      strict: options.strict,
    },
    kafka,
    close: async () => {
      await Promise.all([log.close(), externalLog?.close()]);
    },
  };
}

async function compare(options: Options): Promise<void> {
  if (options.dryRun === true || options.yes === true) throw badArgument('--dry-run and --yes go with --repair');
  const { asked, close } = comparing(loadConfig(process.env), options);
  try {
    const report = await reconcile({
      ...asked,
      limit: options.limit,
      unconfirmed: ({ position }) =>
        console.error(`different as of ${position} while contents were edited: comparing once more`),
    });
    tell(report, options);
  } finally {
    await close();
  }
}

function tell(report: ReconcileReport, options: Options): void {
  if (options.json !== true) for (const line of reportLines(report)) console.log(line);
  else console.log(JSON.stringify(report));
  process.exitCode = EXIT_STATUS[report.result];
}

/** Options that the comparison of prices does not have. */
const ENGAGEMENT_ONLY = ['repair', 'dryRun', 'yes', 'max', 'rate', 'window', 'strict'];

async function comparePrices(options: Options): Promise<void> {
  const foreign = ENGAGEMENT_ONLY.find((name) => program.getOptionValueSource(name) === 'cli');
  if (foreign !== undefined) throw badArgument(`--pipeline prices has no option ${foreign}`);
  const config = loadConfig(process.env);
  const log = new KafkaClient(kafkaOptions(config, 'sluice-reconcile'));
  try {
    const report = await reconcilePrices({
      postgresUrl: config.SLUICE_POSTGRES_URL,
      clickHouse: clickHouseConfig(config),
      partitions: await log.partitions(CANDLES),
      since: options.since ?? null,
      deadlineSeconds: options.deadline,
      limit: options.limit,
    });
    tell(report, options);
  } finally {
    await log.close();
  }
}

// Commander's own status for bad arguments is 1, which here means "different": the frame makes it 2.
const program: Command = operatorProgram(
  'reconcile',
  'Compares Postgres with ClickHouse, Redis and the external topic, as of one position.',
);
operationFlags(program, { changes: true })
  .addOption(new Option('--pipeline <name>', 'what to compare').choices(['engagement', 'prices']).default('engagement'))
  .option('--repair', 'make what differs say what Postgres says, then compare again')
  .option('--max <n>', 'with --repair: refuse when more rows, or cells of one rollup, differ', countOf('max'), 1_000)
  .option('--rate <n>', 'with --repair: rows a second that are told to the pipeline', countOf('rate'), 500)
  .option(
    '--window <name>',
    'only the boards of this window (10m, 1h, 1d, 1w, or those of the live variant)',
    windowNamed,
  )
  .option('--since <time>', 'only rows from this event_ts (or ts) on, and periods that begin later', timeOf('since'))
  .option('--deadline <seconds>', 'how long to wait for a sink to reach the position', countOf('deadline'), 120)
  .option('--strict', 'rows in the dead letter queue count as differences')
  .option('--limit <n>', 'differences shown of each sink', countOf('limit'), 20)
  .addHelpText(
    'after',
    [
      '',
      'Exit status: 0 equal, 1 different, 2 could not tell (with --repair: 0 equal now, 1 something is left, 2 could not).',
      'Examples:',
      '  npm run reconcile -- --since 2026-01-01T00:00:00Z',
      '  npm run reconcile -- --pipeline prices',
      '  npm run reconcile -- --repair --dry-run',
      '  npm run reconcile -- --repair --yes --max 5000 --json',
      'See docs/reconcile.md.',
    ].join('\n'),
  )
  .action(async (options: Options) => {
    if (options.pipeline === 'prices') await comparePrices(options);
    else if (options.repair === true) await runRepair(options, (config) => comparing(config, options));
    else await compare(options);
  });

await runScript(program);
