/** A replay of ClickHouse in a process of its own, which kills itself (-9) at a step. Arguments: the JSON of `ChildArguments`. */
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { clickHouseConfig, kafkaOptions, loadConfig } from '../../../pipelines/config.ts';
import { engagementWarehouse } from '../../../pipelines/engagement/replay/clickhouse.ts';
import { replayWarehouse, type WarehouseStep } from '../../../pipelines/operations/replay/warehouse.ts';

export interface ChildArguments {
  readonly run: string;
  readonly changes: string;
  readonly states: string;
  readonly pipeline: string;
  readonly killAt: WarehouseStep | null;
  readonly mode: 'swap' | 'compare';
}

const { run, changes, states, pipeline, killAt, mode } = JSON.parse(process.argv[2]!) as ChildArguments;
const config = loadConfig(process.env);
const kafka = new KafkaClient(kafkaOptions(config, 'test-replay'));
const spec = engagementWarehouse(new RegistryClient({ url: config.SLUICE_REGISTRY_URL }));
const result = await replayWarehouse(
  { ...spec, changes, states, tables: { ...spec.tables, pipeline, topic: changes } },
  {
    kafka,
    clickHouse: clickHouseConfig(config),
    ...{ run, mode, months: null, holdSeconds: 3, signal: new AbortController().signal, progress: () => {} },
    probe: async (step) => {
      if (step === killAt) process.kill(process.pid, 'SIGKILL');
    },
  },
);
console.log(JSON.stringify(result));
await kafka.close();
