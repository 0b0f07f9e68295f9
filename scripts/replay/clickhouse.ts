/** `npm run replay -- --sink clickhouse`. */
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { clickHouseConfig, kafkaOptions } from '../../pipelines/config.ts';
import { engagementWarehouse } from '../../pipelines/engagement/replay/clickhouse.ts';
import {
  replayWarehouse,
  type WarehouseReplayResult,
  wholeMonths,
} from '../../pipelines/operations/replay/warehouse.ts';
import { runOperation } from '../support/operation.ts';
import type { ReplayOptions } from './options.ts';

/** What was rebuilt, or would be. */
export function differenceLines({ tables, differences }: WarehouseReplayResult): readonly string[] {
  if (differences === null) return [`rebuilt: ${tables.join(', ')}`];
  return differences.map(
    ({ table, missing, extra, changed }) => `${table}: ${missing} missing, ${extra} too many, ${changed} different`,
  );
}

const dayOf = (date: Date): string => date.toISOString().slice(0, 10);

export async function replayClickHouse(options: ReplayOptions): Promise<void> {
  const compare = options.compare === true;
  await runOperation({
    command: 'replay clickhouse',
    arguments: { ...options },
    flags: options,
    unit: 'records',
    plan: async () => {
      const months = wholeMonths(options.from ?? null, options.to ?? null, new Date());
      const range = months === null ? 'everything' : `${dayOf(months.from)} up to ${dayOf(months.to)} (not included)`;
      const end = compare
        ? 'The rebuilt tables are compared with the present ones and dropped. The sink is held back while they are compared.'
        : 'The rebuilt tables take the place of the present ones. The sink is held back for a moment; readers are not.';
      return {
        data: months,
        lines: [
          `Rebuilds current rows and sums of ${range} from the present state of every event, beside the tables that are read.`,
          end,
          'The signed log engagement_changes stays as it is. engagement.sink.clickhouse must be running.',
        ],
        report: { range: months, compare },
      };
    },
    execute: async (months, { config, runId, signal, progress }) => {
      const kafka = new KafkaClient(kafkaOptions(config, 'sluice-replay'));
      try {
        const report = await replayWarehouse(
          engagementWarehouse(new RegistryClient({ url: config.SLUICE_REGISTRY_URL })),
          {
            kafka,
            clickHouse: clickHouseConfig(config),
            run: runId.replaceAll('-', '').slice(0, 12),
            months,
            mode: compare ? 'compare' : 'swap',
            signal,
            progress: (done, total, note) => progress.update(done, total, note),
          },
        );
        const { states, heldMs } = report;
        const lines = [`${states} states read, the sink held back for ${heldMs} ms`, ...differenceLines(report)];
        return { lines, report, complete: true };
      } finally {
        await kafka.close();
      }
    },
  });
}
