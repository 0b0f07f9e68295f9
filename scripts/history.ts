/** `npm run history`: loads daily bars of years into Postgres, no faster than the pipeline takes them, and tells how old prices are. */

import { SluiceError } from '../engine/errors.ts';
import { clickHouseConfig } from '../pipelines/config.ts';
import type { HistoryRun } from '../pipelines/prices/history/ledger.ts';
import { isLoading } from '../pipelines/prices/history/load.ts';
import { KNOWN_SYMBOLS_MAX, type LoadFlags, requestOf } from './history/request.ts';
import { readListed, stalenessReport } from './history/staleness.ts';
import { describeRun, execute, plan, type Work, withLedger } from './history/work.ts';
import { badArgument, countOf, timeOf } from './support/arguments.ts';
import { type OperationFlags, operationFlags, operatorProgram, runOperation, runReport } from './support/operation.ts';
import { runScript } from './support/run.ts';

const program = operatorProgram(
  'history',
  'Loads daily bars into Postgres, and tells how old the prices of each stock are.',
);

/** A count within bounds. */
const within =
  (name: string, low: number, high: number) =>
  (text: string): number => {
    const count = countOf(name)(text);
    if (count >= low && count <= high) return count;
    throw badArgument(`--${name} ${text} is not from ${low} to ${high}`);
  };

operationFlags(program.command('load', { isDefault: true }), { changes: true })
  .description('load a file or made-up history; the same once more goes on with a run that was cut short')
  .option('--file <path>', 'symbol,date,open,high,low,close,volume with a line of names first; .gz is decompressed')
  .option('--generate', 'make the history up instead, its stocks too')
  .option('--symbols <n>', 'generate: how many stocks', within('symbols', 1, KNOWN_SYMBOLS_MAX), 4_000)
  .option('--years <n>', 'generate: how many years', within('years', 1, 5), 5)
  .option('--seed <n>', 'generate: the same seed gives the same bars', countOf('seed'), 42)
  .option('--until <day>', 'generate: days before this one (default: today)', timeOf('until'))
  .option('--chunk <rows>', 'rows of a transaction', within('chunk', 1, 100_000), 10_000)
  .option('--max-lag <records>', 'wait while the pipeline is more than this behind', countOf('max-lag'), 200_000)
  .option('--rejects <path>', 'write every line that is not loaded there, with its reason')
  .addHelpText(
    'after',
    `
Examples:
  npm run history -- load --file bars.csv.gz --dry-run --rejects rejects.csv
  npm run history -- load --file bars.csv.gz
  npm run history -- load --generate --symbols 4000 --years 5
  npm run history -- status | cancel`,
  )
  .action(async (options: OperationFlags & LoadFlags) => {
    await runOperation<Work>({
      command: 'history load',
      arguments: { ...options },
      flags: options,
      unit: 'rows',
      plan: async (context) => await plan(await requestOf(options), options, context),
      execute: async (work, context) => await execute(work, options, context),
    });
  });

operationFlags(program.command('cancel'), { changes: true })
  .description('end the run that is not over: what was loaded stays')
  .action(async (options: OperationFlags) => {
    await runOperation<HistoryRun>({
      command: 'history cancel',
      arguments: {},
      flags: options,
      unit: 'runs',
      plan: async ({ config }) => {
        const open = await withLedger(config, async (ledger) => await ledger.open());
        if (open === null) throw new SluiceError('No load is under way', { code: 'HISTORY_NONE', action: 'fatal' });
        return { data: open, lines: [`cancel load ${open.runId}: ${describeRun(open)}`], report: open };
      },
      execute: async (_, { config }) => {
        const run = await withLedger(config, async (ledger) => await ledger.end('cancelled'));
        return { lines: [`${run?.runId ?? 'the run'} is ${run?.status ?? 'over'}`], report: run, complete: true };
      },
    });
  });

operationFlags(program.command('status'), { changes: false })
  .description('loads, the newest first, and how old the newest bar of each stock is')
  .option('--limit <n>', 'stocks shown, the oldest first', countOf('limit'), 20)
  .action(async (options: OperationFlags & { readonly limit: number }) => {
    await runReport({
      command: 'history status',
      arguments: { limit: options.limit },
      flags: options,
      unit: 'runs',
      read: async ({ config }) => {
        const runs = await withLedger(config, async (ledger) => await ledger.newest(10));
        const driven = await isLoading(config.SLUICE_POSTGRES_URL);
        const staleness = stalenessReport(await readListed(clickHouseConfig(config)), Date.now(), options.limit);
        return {
          lines: [
            ...(runs.length === 0 ? ['no loads'] : runs.map((run) => `${run.runId}  ${describeRun(run)}`)),
            driven ? 'A process loads now.' : 'No process loads now.',
            ...staleness.lines,
          ],
          report: { runs, driven, staleness: staleness.report },
          complete: true,
        };
      },
    });
  });

await runScript(program);
