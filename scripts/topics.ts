/** `npm run topics -- create`: creates the pipeline's topics with explicit settings and reports drift. Idempotent. */
import { Command } from 'commander';
import { createTopics } from '../connectors/kafka/admin.ts';
import { kafkaOptions, loadConfig } from '../pipelines/config.ts';
import { EVENTS_V1 } from '../pipelines/engagement/topics.ts';
import { topicConfig } from '../pipelines/operations/topics.ts';
import { allTopics } from '../pipelines/topics.ts';
import { runScript } from './support/run.ts';

const program = new Command('topics').description('Kafka topics of the pipelines');

program
  .command('create')
  .description('create missing topics; exit 1 when an existing one has other settings')
  .option('--replication <n>', 'replication factor of new topics', '1')
  .option('--mirror', 'the public topic on the other cluster (SLUICE_MIRROR_KAFKA_BROKERS)')
  .option('--json', 'one JSON object')
  .action(async (options: { replication: string; json?: boolean; mirror?: boolean }) => {
    const config = loadConfig(process.env);
    const specs = allTopics(config.SLUICE_PARTITIONS).filter(({ name }) => !options.mirror || name === EVENTS_V1);
    const topics = specs.map((spec) => ({
      name: spec.name,
      partitions: spec.partitions,
      config: topicConfig(spec),
    }));
    const here = kafkaOptions(config, 'sluice-topics');
    const brokers = options.mirror ? config.SLUICE_MIRROR_KAFKA_BROKERS : here.brokers;
    const outcomes = await createTopics({ ...here, brokers, replication: Number(options.replication) }, topics);
    const drifted = outcomes.filter(({ drift }) => drift.length > 0);
    if (options.json) console.log(JSON.stringify({ topics: outcomes }));
    else {
      for (const { name, outcome, drift } of outcomes) console.log(`${outcome.padEnd(8)} ${name} ${drift.join('; ')}`);
    }
    if (drifted.length > 0) process.exitCode = 1;
  });

await runScript(program);
