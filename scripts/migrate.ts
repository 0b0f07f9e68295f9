/** `npm run migrate`: brings the databases to the newest numbered SQL. Safe to run at every start. */
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { migrateClickHouse } from '../connectors/clickhouse/migrations.ts';
import { migratePostgres } from '../connectors/postgres/migrations.ts';
import { type Config, clickHouseConfig, loadConfig } from '../pipelines/config.ts';
import { pricesTtlDays } from '../pipelines/prices/retention.ts';
import { runScript } from './support/run.ts';

const CLICKHOUSE_SQL = fileURLToPath(new URL('../sql/clickhouse', import.meta.url));
const POSTGRES_SQL = fileURLToPath(new URL('../sql/postgres', import.meta.url));

/** Which variable holds the password of which role. */
const PASSWORD_VARIABLES = {
  sluice_capture: 'SLUICE_POSTGRES_CAPTURE_PASSWORD',
  sluice_writer: 'SLUICE_POSTGRES_WRITER_PASSWORD',
  sluice_reader: 'SLUICE_POSTGRES_READER_PASSWORD',
} as const;

async function postgres(url: string, env: NodeJS.ProcessEnv): Promise<void> {
  const passwords: Record<string, string> = {};
  const without: string[] = [];
  for (const [role, variable] of Object.entries(PASSWORD_VARIABLES)) {
    const password = env[variable];
    if (password) passwords[role] = password;
    else without.push(`${role} (${variable})`);
  }
  const result = await migratePostgres({ url, directory: POSTGRES_SQL, rolePasswords: passwords });
  for (const name of result.applied) console.log(`postgres: applied ${name}`);
  console.log(`postgres: up to date, ${result.applied.length} applied, ${result.alreadyApplied} before`);
  if (without.length > 0) console.log(`postgres: password not given, left as it is: ${without.join(', ')}`);
}

async function clickhouse(config: Config): Promise<void> {
  const cluster = config.SLUICE_CLICKHOUSE_CLUSTER;
  const result = await migrateClickHouse({
    config: clickHouseConfig(config),
    directory: CLICKHOUSE_SQL,
    // A table that is named itself goes before its grain.
    ttlDays: { ...pricesTtlDays(config.SLUICE_PRICES_RETENTION_DAYS), ...config.SLUICE_CLICKHOUSE_TTL_DAYS },
    ...(cluster === undefined ? {} : { cluster: { name: cluster } }),
  });
  for (const table of result.ttlChanged) console.log(`clickhouse: changed the time to live of ${table}`);
  for (const name of result.applied) console.log(`clickhouse: applied ${name}`);
  console.log(`clickhouse: up to date, ${result.applied.length} applied, ${result.alreadyApplied} before`);
}

const program = new Command('migrate')
  .description('Apply the numbered SQL files of sql/ to Postgres and ClickHouse.')
  .addHelpText(
    'after',
    `\nPasswords of the roles come from the environment:\n  ${Object.values(PASSWORD_VARIABLES).join('\n  ')}`,
  )
  .addOption(new Option('--only <system>', 'one of the two alone').choices(['postgres', 'clickhouse']))
  .action(async ({ only }: { readonly only?: 'postgres' | 'clickhouse' }) => {
    const config = loadConfig(process.env);
    if (only !== 'clickhouse') await postgres(config.SLUICE_POSTGRES_URL, process.env);
    if (only !== 'postgres') await clickhouse(config);
  });

await runScript(program);
