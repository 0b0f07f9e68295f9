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
import { EXIT_STATUS, type ReconcileReport, verdictOf } from '../pipelines/operations/reconcile/report.ts';
import { reconcilePrices } from '../pipelines/prices/reconcile/reconcile.ts';
import { type RepairFlags, runRepair } from './reconcile/repair.ts';
import { badArgument, countOf, timeOf } from './support/arguments.ts';
import { operationFlags, operatorProgram } from './support/operation.ts';
import { runScript } from './support/run.ts';

interface Options extends RepairFlags {
  /** Those that are configured without. */
  readonly pipeline?: PipelineName;
  readonly repair?: boolean;
  readonly window?: BoardWindow;
  readonly since?: Date;
  readonly deadline: number;
  readonly strict?: boolean;
  /** false: --no-log. */
  readonly log: boolean;
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

type PipelineName = 'engagement' | 'prices';

/** How each pipeline is compared, and the options that it alone has. */
const COMPARED: Readonly<
  Record<
    PipelineName,
    { compare(config: Config, options: Options): Promise<ReconcileReport>; readonly options: readonly string[] }
  >
> = {
  engagement: { compare: compareEngagement, options: ['repair', 'dryRun', 'yes', 'max', 'rate', 'window', 'log'] },
  prices: { compare: comparePrices, options: [] },
};
const PIPELINE_NAMES = Object.keys(COMPARED) as PipelineName[];

async function run(options: Options): Promise<void> {
  const config = loadConfig(process.env);
  const configured = PIPELINE_NAMES.filter((name) => config.SLUICE_PIPELINES.includes(name));
  const names = options.pipeline === undefined ? configured : [options.pipeline];
  for (const name of PIPELINE_NAMES) {
    const given = COMPARED[name].options.find((option) => program.getOptionValueSource(option) === 'cli');
    // An option of one pipeline that is given to several would do less than it says.
    if (given === undefined || (names.length === 1 && names[0] === name)) continue;
    throw badArgument(`${given} is an option of --pipeline ${name} alone; this is about ${names.join(' and ')}`);
  }
  if (options.repair === true) return await runRepair(options, (of) => comparing(of, options));
  if (options.dryRun === true || options.yes === true) throw badArgument('--dry-run and --yes go with --repair');
  const reports: [PipelineName, ReconcileReport][] = [];
  for (const name of names) reports.push([name, await COMPARED[name].compare(config, options)]);
  tell(reports, options);
}

async function compareEngagement(config: Config, options: Options): Promise<ReconcileReport> {
  const { asked, close } = comparing(config, options);
  try {
    return await reconcile({
      ...asked,
      limit: options.limit,
      unconfirmed: ({ position }) =>
        console.error(`different as of ${position} while contents were edited: comparing once more`),
    });
  } finally {
    await close();
  }
}

async function comparePrices(config: Config, options: Options): Promise<ReconcileReport> {
  const log = new KafkaClient(kafkaOptions(config, 'sluice-reconcile'));
  try {
    return await reconcilePrices({
      postgresUrl: config.SLUICE_POSTGRES_URL,
      clickHouse: clickHouseConfig(config),
      redisUrl: config.SLUICE_REDIS_URL,
      sectors: config.SLUICE_PRICES_SECTORS,
      log,
      schemas: new RegistryClient({ url: config.SLUICE_REGISTRY_URL }),
      scope: { since: options.since ?? null, until: null, stocks: [] },
      deadlineSeconds: options.deadline,
      strict: options.strict,
      limit: options.limit,
    });
  } finally {
    await log.close();
  }
}

/** One pipeline is told by its report, several by all of theirs. */
function tell(reports: readonly (readonly [PipelineName, ReconcileReport])[], { json }: Options): void {
  const result = verdictOf(Object.fromEntries(reports));
  const [first] = reports;
  if (json === true) {
    const all = { result, pipelines: Object.fromEntries(reports) };
    console.log(JSON.stringify(reports.length === 1 ? first![1] : all));
  } else {
    for (const [name, report] of reports) {
      if (reports.length > 1) console.log(`${name}:`);
      for (const line of reportLines(report)) console.log(line);
    }
  }
  process.exitCode = EXIT_STATUS[result];
}

// Commander's own status for bad arguments is 1, which here means "different": the frame makes it 2.
const program: Command = operatorProgram(
  'reconcile',
  'Compares Postgres with ClickHouse, Redis and the external topic, as of one position.',
);
operationFlags(program, { changes: true })
  .addOption(
    new Option('--pipeline <name>', 'what to compare (default: what SLUICE_PIPELINES says)').choices(PIPELINE_NAMES),
  )
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
  .option('--no-log', 'do not hold the log of ClickHouse against its rows: it is known not to hold everything')
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
  .action(run);

await runScript(program);
