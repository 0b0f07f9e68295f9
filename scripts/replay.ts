/** `npm run replay`: rebuilds one sink, or a time range of it, without touching the others. docs/replay.md says how. */
import { Option } from 'commander';
import { replayClickHouse } from './replay/clickhouse.ts';
import type { ReplayOptions } from './replay/options.ts';
import { badArgument, timeOf } from './support/arguments.ts';
import { operationFlags, operatorProgram } from './support/operation.ts';
import { runScript } from './support/run.ts';

const program = operatorProgram('replay', 'Rebuilds what one sink shows from Kafka, while everything runs.');
operationFlags(program, { changes: true })
  .addOption(new Option('--sink <name>', 'which sink').choices(['clickhouse']))
  .option(
    '--from <time>',
    'only what happened from this time on (ClickHouse: from the beginning of its month)',
    timeOf('from'),
  )
  .option('--to <time>', 'only what happened before this time (ClickHouse: to the end of its month)', timeOf('to'))
  .option('--compare', 'rebuild aside, show what a swap would change, and leave everything as it is')
  .addHelpText(
    'after',
    `
Examples:
  npm run replay -- --sink clickhouse --dry-run
  npm run replay -- --sink clickhouse --from 2026-01-01 --to 2026-02-01 --compare
  npm run replay -- --sink clickhouse --yes`,
  )
  .action(async (options: ReplayOptions) => {
    if (options.sink === undefined) throw badArgument('--sink is missing: say what to rebuild');
    if (options.from !== undefined && options.to !== undefined && options.from >= options.to) {
      throw badArgument('--from must be before --to');
    }
    await replayClickHouse(options);
  });

await runScript(program);
