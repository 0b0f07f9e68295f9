/** `npm run clickhouse -- rebuild`: recomputes what ClickHouse's views feed, from the signed log. */
import { Command } from 'commander';
import { rebuildFromLog } from '../connectors/clickhouse/rebuild.ts';
import { clickHouseConfig, loadConfig } from '../pipelines/config.ts';
import { runScript } from './support/run.ts';

const program = new Command('clickhouse').description('Maintenance of the ClickHouse tables.');

program
  .command('rebuild')
  .description(
    'feed current rows again and recompute hourly, daily and weekly sums; stop engagement.sink.clickhouse first',
  )
  .option('--json', 'one JSON object')
  .action(async ({ json }: { readonly json?: boolean }) => {
    const config = clickHouseConfig(loadConfig(process.env));
    const result = await rebuildFromLog({ config, log: 'engagement_changes', current: 'engagement_events' });
    if (json) console.log(JSON.stringify(result));
    else console.log(`fed again: ${result.fed.join(', ')}\nrecomputed: ${result.recomputed.join(', ')}`);
  });

await runScript(program);
