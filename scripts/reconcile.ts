/** `npm run reconcile`: does everything that the engagement pipeline feeds say what Postgres says? */
import { Command, Option } from 'commander';
import { KafkaClient } from '../connectors/kafka/client.ts';
import { RegistryClient } from '../connectors/registry/client.ts';
import { clickHouseConfig, kafkaOptions, loadConfig } from '../pipelines/config.ts';
import { type BoardWindow, WINDOW_NAMES } from '../pipelines/engagement/reconcile/boards.ts';
import { reportLines } from '../pipelines/engagement/reconcile/print.ts';
import { reconcile } from '../pipelines/engagement/reconcile/reconcile.ts';
import { EXIT_STATUS } from '../pipelines/engagement/reconcile/report.ts';
import { countOf, timeOf } from './support/arguments.ts';
import { runScript } from './support/run.ts';

interface Options {
  readonly json?: boolean;
  readonly window?: BoardWindow;
  readonly since?: Date;
  readonly deadline: number;
  readonly strict?: boolean;
  readonly limit: number;
}

const program = new Command('reconcile')
  .description('Compares Postgres with ClickHouse, Redis and the external topic, as of one position.')
  .option('--json', 'the last line is the report as one JSON object')
  .addOption(new Option('--window <name>', 'only the boards of this window').choices([...WINDOW_NAMES]))
  .option('--since <time>', 'only rows from this event_ts on, and periods that begin later', timeOf('since'))
  .option('--deadline <seconds>', 'how long to wait for a sink to reach the position', countOf('deadline'), 120)
  .option('--strict', 'rows in the dead letter queue count as differences')
  .option('--limit <n>', 'differences shown of each sink', countOf('limit'), 20)
  .addHelpText('after', '\nExit status: 0 equal, 1 different, 2 could not tell. See docs/reconcile.md.')
  // Commander's own status for bad arguments is 1, which here means "different".
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (options: Options) => {
    const config = loadConfig(process.env);
    const kafka = kafkaOptions(config, 'sluice-reconcile');
    const log = new KafkaClient(kafka);
    const mirrors = config.SLUICE_MIRROR_KAFKA_BROKERS;
    const externalLog = mirrors.length === 0 ? undefined : new KafkaClient({ ...kafka, brokers: mirrors });
    try {
      const report = await reconcile({
        postgresUrl: config.SLUICE_POSTGRES_URL,
        clickHouse: clickHouseConfig(config),
        redisUrl: config.SLUICE_REDIS_URL,
        log,
        externalLog,
        schemas: new RegistryClient({ url: config.SLUICE_REGISTRY_URL }),
        windows: options.window === undefined ? undefined : [options.window],
        since: options.since ?? null,
        deadlineSeconds: options.deadline,
        strict: options.strict,
        limit: options.limit,
        unconfirmed: ({ position }) =>
          console.error(`different as of ${position} while contents were edited: comparing once more`),
      });
      if (options.json !== true) for (const line of reportLines(report)) console.log(line);
      else console.log(JSON.stringify(report));
      process.exitCode = EXIT_STATUS[report.result];
    } finally {
      await Promise.all([log.close(), externalLog?.close()]);
    }
  });

await runScript(program);
