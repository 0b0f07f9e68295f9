/** `npm run clickhouse -- rebuild`: recomputes what ClickHouse's views feed, from the signed log. */
import { rebuildFromLog } from '../connectors/clickhouse/rebuild.ts';
import { clickHouseConfig } from '../pipelines/config.ts';
import { type OperationFlags, operationFlags, operatorProgram, runOperation } from './support/operation.ts';
import { runScript } from './support/run.ts';

const program = operatorProgram('clickhouse', 'Maintenance of the ClickHouse tables.');

operationFlags(program.command('rebuild'), { changes: true })
  .description(
    'feed current rows again and recompute hourly, daily and weekly sums; stop engagement.sink.clickhouse first',
  )
  .action(async (flags: OperationFlags) => {
    await runOperation({
      command: 'clickhouse rebuild',
      arguments: { ...flags },
      flags,
      unit: 'tables',
      plan: async () => ({
        data: null,
        lines: [
          'Feeds engagement_events again from engagement_changes, and recomputes its hourly, daily and weekly sums.',
        ],
        report: { log: 'engagement_changes', current: 'engagement_events' },
      }),
      execute: async (_, { config: all }) => {
        const config = clickHouseConfig(all);
        const report = await rebuildFromLog({ config, log: 'engagement_changes', current: 'engagement_events' });
        const lines = [`fed again: ${report.fed.join(', ')}`, `recomputed: ${report.recomputed.join(', ')}`];
        return { lines, report, complete: true };
      },
    });
  });

await runScript(program);
