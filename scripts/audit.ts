/** `npm run audit`: what operators did, newest first. */
import { clickHouseClient, selectRows } from '../connectors/clickhouse/client.ts';
import { clickHouseError } from '../connectors/clickhouse/errors.ts';
import { clickHouseConfig } from '../pipelines/config.ts';
import { countOf, timeOf } from './support/arguments.ts';
import { type OperationFlags, operationFlags, operatorProgram, runReport } from './support/operation.ts';
import { runScript } from './support/run.ts';

interface Options extends OperationFlags {
  readonly since?: Date;
  readonly command?: string;
  readonly limit: number;
}

interface Row {
  readonly run_id: string;
  readonly started_at: string;
  readonly command: string;
  readonly actor: string;
  readonly host: string;
  readonly arguments: string;
  readonly outcome: string;
  readonly message: string;
}

const QUERY = `SELECT run_id, started_at, ended_at, command, actor, host, arguments, outcome, message, result
FROM sluice_operations
WHERE started_at >= {since:DateTime64(3, 'UTC')} AND startsWith(command, {command:String})
ORDER BY started_at DESC, run_id
LIMIT {limit:UInt32}`;

const program = operatorProgram('audit', 'What operators did: who, when, with which arguments, and how it ended.');
operationFlags(program, { changes: false })
  .option('--since <time>', 'only what began from this time on', timeOf('since'))
  .option('--command <words>', 'only commands that begin with these words, e.g. "dlq"')
  .option('--limit <n>', 'at most so many', countOf('limit'), 50)
  .addHelpText(
    'after',
    '\nExamples:\n  npm run audit -- --since 2026-01-31T00:00:00Z\n  npm run audit -- --command "dlq redrive" --json',
  )
  .action(async (options: Options) => {
    const { since = new Date(0), command = '', limit } = options;
    await runReport({
      command: 'audit',
      arguments: { ...options },
      flags: options,
      unit: 'runs',
      read: async ({ config }) => {
        const client = clickHouseClient(clickHouseConfig(config));
        try {
          const rows = await selectRows<Row>(client, QUERY, {
            since: since.toISOString().replace('T', ' ').replace('Z', ''),
            command,
            limit,
          });
          const lines = rows.map(
            (row) =>
              `${row.started_at}  ${row.outcome.padEnd(11)}  ${row.actor}@${row.host}  ${row.command} ${row.arguments} ${row.message}`,
          );
          return { lines: lines.length === 0 ? ['nothing'] : lines, report: rows, complete: true };
        } catch (error) {
          throw clickHouseError(error, 'list the audit records');
        } finally {
          await client.close();
        }
      },
    });
  });

await runScript(program);
