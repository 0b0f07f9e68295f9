/** `npm run replay`: rebuilds one sink or one stage beside what is read, and puts it in its place. docs/replay.md says how. */
import { Option } from 'commander';
import { type WindowSpec, windowOf } from '../pipelines/engagement/leaderboard/windows.ts';
import { replayClickHouse } from './replay/clickhouse.ts';
import { replayEnrichment } from './replay/enrichment.ts';
import { replayExternal } from './replay/external.ts';
import { replayLeaderboard } from './replay/leaderboard.ts';
import type { ReplayOptions } from './replay/options.ts';
import { replayPricesClickHouse, replayPricesRedis } from './replay/prices.ts';
import { replayRedis } from './replay/redis.ts';
import { badArgument, countOf, timeOf } from './support/arguments.ts';
import { operationFlags, operatorProgram } from './support/operation.ts';
import { runScript } from './support/run.ts';

const LEADERBOARD_ONLY = ['variant', 'prepare', 'retire', 'limit', 'minSamples', 'windows'] as const;
/** Each costs the stage its panes, and every event a sum. */
const MAX_WINDOWS = 8;
const ENRICH_ONLY = ['maxPct'] as const;

function windowsFrom(text: string): WindowSpec[] {
  const windows = text.split(',').map((one) => {
    const window = windowOf(one.trim());
    if (typeof window === 'string') throw badArgument(`--windows: ${window}`);
    return window;
  });
  if (new Set(windows.map(({ name }) => name)).size < windows.length) throw badArgument('--windows names one twice');
  if (windows.length > MAX_WINDOWS) throw badArgument(`--windows: at most ${MAX_WINDOWS}`);
  return windows;
}

/** In basis points; null for none. */
function maxPctOf(text: string): number | null {
  if (text === 'none') return null;
  const percent = countOf('max-pct')(text);
  if (percent === 0) throw badArgument('--max-pct must be at least 1, or none');
  return percent * 100;
}

const program = operatorProgram('replay', 'Rebuilds what one sink or stage shows from Kafka, while everything runs.');
operationFlags(program, { changes: true })
  .addOption(
    new Option('--pipeline <name>', 'of which pipeline').choices(['engagement', 'prices']).default('engagement'),
  )
  .addOption(new Option('--sink <name>', 'which sink').choices(['clickhouse', 'redis', 'external']))
  .addOption(new Option('--stage <name>', 'which stage').choices(['leaderboard', 'enrich']))
  .option(
    '--from <time>',
    'only what happened from this time on (ClickHouse: from the beginning of its month)',
    timeOf('from'),
  )
  .option('--to <time>', 'only what happened before this time (ClickHouse: to the end of its month)', timeOf('to'))
  .option('--compare', 'show what a swap would change, and leave everything as it is (ClickHouse, stage)')
  .option('--variant <name>', 'of leaderboard: a letter, then letters and digits')
  .option('--prepare', 'of leaderboard: make the topics of the variant; then start its workers')
  .option('--limit <n>', 'with --prepare: places of a board', countOf('limit'))
  .option('--min-samples <n>', 'with --prepare: percent samples that the average needs', countOf('min-samples'))
  .option('--windows <list>', 'with --prepare: windows as size/pane, e.g. 10m,6h/5m,1d', windowsFrom)
  .option('--max-pct <percent>', 'of enrich: the most percent that an event counts for, or none', maxPctOf)
  .option('--swap', 'of a stage: show the variant; of enrich: make all rows anew')
  .option('--retire', 'of leaderboard: delete the topics of a variant that is not shown')
  .option('--deadline <seconds>', 'how long to wait for workers', countOf('deadline'), 300)
  .addHelpText(
    'after',
    `
Examples:
  npm run replay -- --sink clickhouse --dry-run
  npm run replay -- --sink clickhouse --from 2026-01-01 --to 2026-02-01 --compare
  npm run replay -- --sink redis --yes
  npm run replay -- --pipeline prices --sink clickhouse --compare
  npm run replay -- --sink external --from 2026-01-31T00:00:00Z
  npm run replay -- --stage leaderboard --variant b --prepare --min-samples 5
  SLUICE_LEADERBOARD_VARIANT=b npm run worker -- engagement.leaderboard
  npm run replay -- --stage leaderboard --variant b --compare
  npm run replay -- --stage leaderboard --variant b --swap
  npm run replay -- --stage leaderboard --variant a --retire
  npm run replay -- --stage enrich --max-pct 100 --compare
  npm run replay -- --stage enrich --max-pct 100 --swap`,
  )
  .action(async (options: ReplayOptions) => {
    check(options);
    const { sink, pipeline } = options;
    if (pipeline === 'prices') {
      return sink === 'redis' ? await replayPricesRedis(options) : await replayPricesClickHouse(options);
    }
    switch (sink) {
      case undefined:
        return options.stage === 'enrich' ? await replayEnrichment(options) : await replayLeaderboard(options);
      case 'clickhouse':
        return await replayClickHouse(options);
      case 'redis':
        return await replayRedis(options);
      case 'external':
        return await replayExternal(options);
      default:
        sink satisfies never;
    }
  });

function check({ sink, stage, from, to, compare, ...options }: ReplayOptions): void {
  if ((sink === undefined) === (stage === undefined))
    throw badArgument('say what to rebuild: either --sink or --stage');
  if (from !== undefined && to !== undefined && from >= to) throw badArgument('--from must be before --to');
  const unused = (given: boolean, name: string, of: string) => {
    if (given) throw badArgument(`${name} has no meaning for ${of}`);
  };
  if (options.pipeline === 'prices') {
    if (sink !== 'clickhouse' && sink !== 'redis') throw badArgument('--pipeline prices: --sink clickhouse or redis');
    unused(from !== undefined || to !== undefined, '--from or --to', '--pipeline prices: it is rebuilt as a whole');
  }
  const what = sink === undefined ? `--stage ${stage}` : `--sink ${sink}`;
  if (sink !== 'clickhouse') unused(to !== undefined, '--to', what);
  if (sink === 'redis' || sink === 'external') unused(compare === true, '--compare', what);
  if (sink === 'redis' || stage !== undefined) unused(from !== undefined, '--from', what);
  const foreign = { leaderboard: ENRICH_ONLY, enrich: LEADERBOARD_ONLY };
  for (const name of stage === undefined ? [...LEADERBOARD_ONLY, ...ENRICH_ONLY, 'swap' as const] : foreign[stage]) {
    unused(options[name] !== undefined, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, what);
  }
}

await runScript(program);
