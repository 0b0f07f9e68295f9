/** `npm run reconcile`: does everything that a pipeline feeds say what Postgres says? With --repair it shall. */
import { type Command, Option } from 'commander';
import { type Config, loadConfig } from '../pipelines/config.ts';
import type { BoardWindow } from '../pipelines/engagement/reconcile/boards.ts';
import { reportLines } from '../pipelines/operations/reconcile/print.ts';
import { EXIT_STATUS, type ReconcileReport, verdictOf, type Watch } from '../pipelines/operations/reconcile/report.ts';
import { compareEngagement, type EngagementOptions, repairEngagement } from './reconcile/engagement.ts';
import { comparePrices, repairOfPrices } from './reconcile/prices.ts';
import { type RepairFlags, type Repairing, runRepair } from './reconcile/repair.ts';
import { watching } from './reconcile/watching.ts';
import { badArgument, countOf, timeOf } from './support/arguments.ts';
import { operationFlags, operatorProgram } from './support/operation.ts';
import { runScript } from './support/run.ts';

interface Options extends RepairFlags, EngagementOptions {
  /** Those that are configured without. */
  readonly pipeline?: PipelineName;
  readonly repair?: boolean;
}

function windowNamed(text: string): BoardWindow {
  if (/^[1-9]\d{0,4}[mhdw]$/.test(text)) return text;
  throw badArgument(`--window ${text} is no window: give it as 1h`);
}

type PipelineName = 'engagement' | 'prices';

/** How each pipeline is compared and repaired, and the options that it alone has. */
const COMPARED: Readonly<
  Record<
    PipelineName,
    {
      compare(config: Config, options: Options, watch: Watch): Promise<ReconcileReport>;
      repairing(config: Config, options: Options, watch: Watch): Repairing;
      readonly options: readonly string[];
    }
  >
> = {
  engagement: { compare: compareEngagement, repairing: repairEngagement, options: ['window', 'log'] },
  prices: { compare: comparePrices, repairing: repairOfPrices, options: [] },
};
const PIPELINE_NAMES = Object.keys(COMPARED) as PipelineName[];

async function run(options: Options): Promise<void> {
  const watched = watching((line) => console.error(line));
  try {
    await compareOrRepair(options, watched.watch);
  } finally {
    watched.end();
  }
}

async function compareOrRepair(options: Options, watch: Watch): Promise<void> {
  const config = loadConfig(process.env);
  const configured = PIPELINE_NAMES.filter((name) => config.SLUICE_PIPELINES.includes(name));
  const names = options.pipeline === undefined ? configured : [options.pipeline];
  for (const name of PIPELINE_NAMES) {
    const given = COMPARED[name].options.find((option) => program.getOptionValueSource(option) === 'cli');
    // An option of one pipeline that is given to several would do less than it says.
    if (given === undefined || (names.length === 1 && names[0] === name)) continue;
    throw badArgument(`${given} is an option of --pipeline ${name} alone; this is about ${names.join(' and ')}`);
  }
  if (options.repair === true) {
    const [name] = names;
    if (names.length !== 1)
      throw badArgument(`--repair is of one pipeline at a time: add --pipeline ${names.join(' or ')}`);
    return await runRepair(options, (of) => COMPARED[name!].repairing(of, options, watch));
  }
  if (options.dryRun === true || options.yes === true) throw badArgument('--dry-run and --yes go with --repair');
  const reports: [PipelineName, ReconcileReport][] = [];
  for (const name of names) reports.push([name, await COMPARED[name].compare(config, options, watch)]);
  tell(reports, options);
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
      '  npm run reconcile -- --pipeline prices --repair --dry-run',
      'See docs/reconcile.md.',
    ].join('\n'),
  )
  .action(run);

await runScript(program);
