/** `npm run backfill`: reads rows of Postgres again, beside live traffic, and shows that every sink holds them. */
import { SluiceError } from '../engine/errors.ts';
import type { Run } from '../pipelines/operations/backfill/ledger.ts';
import { isDriven } from '../pipelines/operations/backfill/run.ts';
import { idList, list, type Pace, type RangeOptions, rateOf, requestOf, tableOf } from './backfill/request.ts';
import { checkCapture, continued, describe, execute, plan, type Work, withLedger } from './backfill/work.ts';
import { countOf, timeOf } from './support/arguments.ts';
import { type OperationFlags, operationFlags, operatorProgram, runOperation, runReport } from './support/operation.ts';
import { runScript } from './support/run.ts';

const program = operatorProgram(
  'backfill',
  'Reads rows of Postgres again, beside live traffic, and compares every sink.',
);

const start = operationFlags(program.command('start', { isDefault: true }), { changes: true })
  .description('read a range again; the same once more goes on with a run that was cut short')
  .option(
    '--table <name>',
    'engagement_events (contents first), content, stock_prices (stocks first) or stocks',
    tableOf,
  )
  .option('--from <time>', 'rows with an event_ts (a ts) from this time on', timeOf('from'))
  .option('--to <time>', 'rows with an event_ts (a ts) before this time', timeOf('to'))
  .option('--content <uuid>', 'rows of this content; may be repeated', list)
  .option('--stock <id>', 'bars of this stock; may be repeated', list)
  .option('--symbol <symbol>', 'bars of the stock with this symbol; may be repeated', list)
  .option('--ids <ids>', 'rows with these ids, separated by commas', idList)
  .option('--where <condition>', 'comparisons of columns with literals, e.g. "device = \'ios\'"');
const resume = operationFlags(program.command('resume'), { changes: true }).description(
  'go on with the run that is not over',
);
for (const command of [start, resume]) {
  command
    .option('--rate <rows>', 'rows a second at most', rateOf, 2_000)
    .option('--max-lag <records>', 'wait while the workers have more than this to read', countOf('max-lag'), 5_000)
    .option('--deadline <seconds>', 'how long the comparison waits for a sink', countOf('deadline'), 300);
}
start
  .addHelpText(
    'after',
    `
Examples:
  npm run backfill -- --table engagement_events --from 2026-01-01T00:00:00Z --to 2026-01-08T00:00:00Z --dry-run
  npm run backfill -- --table engagement_events --content 00000000-0000-4000-8000-000000000001 --rate 5000
  npm run backfill -- --table engagement_events --where "device = 'ios' AND duration_ms IS NULL"
  npm run backfill -- --table stock_prices --symbol ACME --from 2026-01-01T00:00:00Z --dry-run
  npm run backfill -- status | pause | resume | cancel`,
  )
  .action(async (options: OperationFlags & RangeOptions) => {
    await runOperation<Work>({
      command: 'backfill',
      arguments: { ...options },
      flags: options,
      unit: 'rows',
      plan: async ({ config }) => await plan(config, await requestOf(options, config.SLUICE_POSTGRES_URL), options),
      execute: async (work, context) => await execute(work, options, context),
    });
  });
resume.action(async (options: OperationFlags & Pace) => {
  await runOperation<Work>({
    command: 'backfill resume',
    arguments: { ...options },
    flags: options,
    unit: 'rows',
    plan: async ({ config }) => {
      await checkCapture(config);
      const open = await withLedger(config, async (ledger) => await ledger.open());
      if (open === null) throw new SluiceError('No backfill is under way', { code: 'BACKFILL_NONE', action: 'fatal' });
      return continued(open, options);
    },
    execute: async (work, context) => await execute(work, options, context),
  });
});

for (const [name, status, text] of [
  ['pause', 'paused', 'stop after the piece that is under way; resume goes on'],
  ['cancel', 'cancelled', 'end the run: what was read stays read'],
] as const) {
  operationFlags(program.command(name), { changes: true })
    .description(text)
    .action(async (options: OperationFlags) => {
      await runOperation<Run>({
        command: `backfill ${name}`,
        arguments: { ...options },
        flags: options,
        unit: 'runs',
        plan: async ({ config }) => {
          const open = await withLedger(config, async (ledger) => await ledger.open());
          if (open === null)
            throw new SluiceError('No backfill is under way', { code: 'BACKFILL_NONE', action: 'fatal' });
          return { data: open, lines: [`${name} backfill ${open.runId}: ${describe(open)}`], report: open };
        },
        execute: async (_, { config }) => {
          const run = await withLedger(config, async (ledger) => await ledger.end(status));
          return { lines: [`${run?.runId ?? 'the run'} is ${run?.status ?? 'over'}`], report: run, complete: true };
        },
      });
    });
}

operationFlags(program.command('status'), { changes: false })
  .description('runs, the newest first, and whether a process drives one now')
  .action(async (options: OperationFlags) => {
    await runReport({
      command: 'backfill status',
      arguments: {},
      flags: options,
      unit: 'runs',
      read: async ({ config }) => {
        const runs = await withLedger(config, async (ledger) => await ledger.newest(10));
        const driven = await isDriven(config.SLUICE_POSTGRES_URL);
        const lines = runs.map((run) => `${run.runId}  ${describe(run)}`);
        const now = driven ? 'A process drives it now.' : 'No process drives one now.';
        return {
          lines: [...(lines.length === 0 ? ['no runs'] : lines), now],
          report: { runs, driven },
          complete: true,
        };
      },
    });
  });

await runScript(program);
