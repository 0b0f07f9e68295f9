/** `npm run generate`: realistic traffic into Postgres, the same for the same seed. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { loadConfig } from '../pipelines/config.ts';
import { MAX_LISTINGS } from '../pipelines/prices/traffic/listings.ts';
import { type PricesProgress, type PricesRunOptions, type PricesSummary, runPrices } from './generate/prices-run.ts';
import { type RunSummary, runTraffic, type Totals } from './generate/run.ts';
import { badArgument, timeOf } from './support/arguments.ts';
import { runScript } from './support/run.ts';

interface Options {
  readonly pipeline: 'engagement' | 'prices';
  readonly rate: number;
  readonly seconds: number;
  readonly updates: number;
  readonly deletes: number;
  readonly late: number;
  readonly seed: number;
  readonly contents: number;
  readonly contentEdits: number;
  readonly symbols: number;
  readonly duplicates: number;
  readonly bad: number;
  readonly gaps: number;
  readonly splits: number;
  readonly dailyYears: number;
  readonly start?: Date;
  readonly alwaysOpen: boolean;
  readonly json: boolean;
}

/** Reads a number in a range, or says what is wrong with it. */
function within(low: number, high: number, whole = true): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const fits = text.trim() !== '' && value >= low && value <= high && (!whole || Number.isInteger(value));
    if (!fits) throw new InvalidArgumentError(`expected a ${whole ? 'whole ' : ''}number from ${low} to ${high}.`);
    return value;
  };
}

const percent = within(0, 100, false);

const program = new Command('generate')
  .description('Write traffic into Postgres: engagement events or bars of prices, with updates, deletes and late ones.')
  .addOption(new Option('--pipeline <name>', 'what to write').choices(['engagement', 'prices']).default('engagement'))
  .option('--rate <n>', 'events or bars a second; 0 as fast as possible', within(0, 1_000_000), 1_000)
  .option('--seconds <n>', 'how long; 0 until SIGTERM or Ctrl-C', within(0, 31_536_000), 60)
  .option('--updates <percent>', 'updates (of bars: corrections), in percent of the events or bars', percent, 8)
  .option('--deletes <percent>', 'deletes, in percent of the events or bars', percent, 2)
  .option('--late <percent>', 'how many come late: events minutes to days, bars minutes to hours', percent, 3)
  .option('--seed <n>', 'the same seed gives the same traffic', within(0, Number.MAX_SAFE_INTEGER), 42)
  .option('--contents <n>', 'how many contents there are', within(1, 1_000_000), 1_000)
  .option('--content-edits <n>', 'edits of contents a minute', within(0, 60_000, false), 6)
  .option('--symbols <n>', 'prices: how many stocks there are', within(1, MAX_LISTINGS), 4_000)
  .option(
    '--daily-years <n>',
    'prices: years of daily bars in front; what is there already stays',
    within(0, 5, false),
    0,
  )
  .option(
    '--start <time>',
    'prices: the first minute (default: five days ago); up to now at the rate, then with the clock',
    timeOf('start'),
  )
  .option('--always-open', 'prices: trade at night and at weekends too', false)
  .option('--duplicates <percent>', 'prices: bars written again as they are, in percent', percent, 1)
  .option('--gaps <percent>', 'prices: bars that are missing', percent, 0.5)
  .option('--bad <percent>', 'prices: bars with a fault, which the pipeline puts aside', percent, 0)
  .option('--splits <percent>', 'prices: stocks that split on a day; bars before stay as they are', percent, 0.02)
  .option('--json', 'end with one line of JSON', false)
  .addHelpText(
    'after',
    `
Examples:
  npm run generate -- --rate 10000 --seconds 60 --updates 8 --deletes 2 --late 3 --seed 42
  npm run generate -- --rate 0 --seconds 20 --json
  npm run generate -- --rate 200 --seconds 0
  npm run generate -- --pipeline prices --daily-years 5 --rate 1000 --seconds 60
  npm run generate -- --pipeline prices --symbols 100 --always-open --start 2026-01-05T14:00:00Z --rate 0 --seconds 20`,
  )
  .action(generate);

/** Options of one pipeline only: given to another, they would do nothing. */
const OPTIONS_OF: Readonly<Record<Options['pipeline'], readonly string[]>> = {
  engagement: ['contents', 'contentEdits'],
  prices: ['symbols', 'duplicates', 'bad', 'gaps', 'splits', 'dailyYears', 'start', 'alwaysOpen'],
};

const DEFAULT_BACK_MS = 5 * 86_400_000;

async function generate(options: Options): Promise<void> {
  const other = options.pipeline === 'prices' ? 'engagement' : 'prices';
  const foreign = OPTIONS_OF[other].find((name) => program.getOptionValueSource(name) === 'cli');
  if (foreign !== undefined) throw badArgument(`${foreign} is of --pipeline ${other} only`);
  const config = loadConfig(process.env);
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);
  const common = { url: config.SLUICE_POSTGRES_URL, signal: stop.signal };
  const onTerminal = process.stderr.isTTY;
  const { text, summary } =
    options.pipeline === 'prices'
      ? described(
          await generatePrices(options, { ...common, onProgress: onTerminal ? showPrices : undefined }),
          ofPrices,
        )
      : described(
          await runTraffic({
            ...options,
            ...common,
            contentEditsPerMinute: options.contentEdits,
            onProgress: onTerminal ? showProgress : undefined,
          }),
          describe,
        );
  if (onTerminal) process.stderr.write('\n');
  console.log(text);
  if (options.json) console.log(JSON.stringify(summary));
}

function described<T>(summary: T, inWords: (summary: T) => string): { readonly text: string; readonly summary: T } {
  return { text: inWords(summary), summary };
}

async function generatePrices(
  options: Options,
  common: Pick<PricesRunOptions, 'url' | 'signal' | 'onProgress'>,
): Promise<PricesSummary> {
  const startMs = options.start?.getTime() ?? Date.now() - DEFAULT_BACK_MS;
  return await runPrices({ ...options, ...common, corrections: options.updates, startMs });
}

function showPrices({ history, counts, seconds }: PricesProgress): void {
  const of = history.about === 0 ? '' : `${history.done} of about ${history.about} daily bars, `;
  const rest = `${counts.bars} bars, ${counts.corrections} corrected, ${counts.deletes} deleted`;
  process.stderr.write(`\r${Math.round(seconds)} s  ${of}${rest} \x1b[K`);
}

function showProgress(totals: Totals): void {
  const rate = Math.round(totals.inserted / (totals.elapsedMs / 1_000));
  const seconds = Math.round(totals.elapsedMs / 1_000);
  process.stderr.write(
    `\r${seconds} s  ${totals.inserted} events, ${rate}/s, ${totals.updated} updated, ${totals.deleted} deleted \x1b[K`,
  );
}

function describe(summary: RunSummary): string {
  const { inserted, updated, deleted, contentEdits, seconds, achievedRate, rate } = summary;
  const what = `${inserted} events, ${updated} updates, ${deleted} deletes, ${contentEdits} content edits`;
  const slow = rate > 0 && achievedRate < rate * 0.98 ? `; the database was slower than the ${rate}/s asked for` : '';
  return `${what} in ${seconds.toFixed(1)} s: ${achievedRate} events/s${slow}`;
}

function ofPrices(summary: PricesSummary): string {
  const { history, bars, late, bad, corrections, duplicates, deletes, seconds, achievedRate } = summary;
  const of = history === 0 ? '' : `${history} daily bars; `;
  const what = `${bars} bars (${late} late, ${bad} bad), ${corrections} corrections, ${duplicates} repeated, ${deletes} deletes`;
  return `${of}${what} in ${seconds.toFixed(1)} s: ${achievedRate} bars/s`;
}

await runScript(program);
