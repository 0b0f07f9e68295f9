/** `npm run generate`: realistic traffic into Postgres, the same for the same seed. */
import { Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../pipelines/config.ts';
import { type RunSummary, runTraffic, type Totals } from './generate/run.ts';
import { runScript } from './support/run.ts';

interface Options {
  readonly rate: number;
  readonly seconds: number;
  readonly updates: number;
  readonly deletes: number;
  readonly late: number;
  readonly seed: number;
  readonly contents: number;
  readonly contentEdits: number;
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
  .description('Write engagement traffic into Postgres: events, updates, deletes, late events and content edits.')
  .option('--rate <n>', 'events a second; 0 as fast as possible', within(0, 1_000_000), 1_000)
  .option('--seconds <n>', 'how long; 0 until SIGTERM or Ctrl-C', within(0, 31_536_000), 60)
  .option('--updates <percent>', 'updates, in percent of the events', percent, 8)
  .option('--deletes <percent>', 'deletes, in percent of the events', percent, 2)
  .option('--late <percent>', 'how many events are minutes to days late', percent, 3)
  .option('--seed <n>', 'the same seed gives the same traffic', within(0, Number.MAX_SAFE_INTEGER), 42)
  .option('--contents <n>', 'how many contents there are', within(1, 1_000_000), 1_000)
  .option('--content-edits <n>', 'edits of contents a minute', within(0, 60_000, false), 6)
  .option('--json', 'end with one line of JSON', false)
  .addHelpText(
    'after',
    `
Examples:
  npm run generate -- --rate 10000 --seconds 60 --updates 8 --deletes 2 --late 3 --seed 42
  npm run generate -- --rate 0 --seconds 20 --json
  npm run generate -- --rate 200 --seconds 0`,
  )
  .action(generate);

async function generate(options: Options): Promise<void> {
  const config = loadConfig(process.env);
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);
  const summary = await runTraffic({
    ...options,
    contentEditsPerMinute: options.contentEdits,
    url: config.SLUICE_POSTGRES_URL,
    signal: stop.signal,
    onProgress: process.stderr.isTTY ? showProgress : undefined,
  });
  if (process.stderr.isTTY) process.stderr.write('\n');
  console.log(describe(summary));
  if (options.json) console.log(JSON.stringify(summary));
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

await runScript(program);
