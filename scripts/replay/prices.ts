/** `npm run replay -- --pipeline prices --sink clickhouse|redis`. */
import { setTimeout as pause } from 'node:timers/promises';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { fencesIn } from '../../connectors/redis/fences.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogClient } from '../../engine/log.ts';
import { clickHouseConfig, kafkaOptions } from '../../pipelines/config.ts';
import { readDeployment, writeDeployment } from '../../pipelines/operations/deployments.ts';
import { replayWarehouse } from '../../pipelines/operations/replay/warehouse.ts';
import { PRICES_MONITORED } from '../../pipelines/prices/monitored.ts';
import { PRICES_REDIS, pricesRedisGeneration } from '../../pipelines/prices/redis-deployment.ts';
import { PRICES_WAREHOUSES } from '../../pipelines/prices/replay/warehouses.ts';
import { runOperation } from '../support/operation.ts';
import { differenceLines } from './clickhouse.ts';
import type { ReplayOptions } from './options.ts';

const CLIENT = 'sluice-replay';

export async function replayPricesClickHouse(options: ReplayOptions): Promise<void> {
  const compare = options.compare === true;
  await runOperation({
    command: 'replay prices clickhouse',
    arguments: { ...options },
    flags: options,
    unit: 'records',
    plan: async () => {
      const end = compare
        ? 'The rebuilt tables are compared with the present ones and dropped. Each sink is held back while its tables are compared.'
        : 'The rebuilt tables take the place of the present ones. Each sink is held back for a moment; readers are not.';
      return {
        data: null,
        lines: [
          'Rebuilds bars, candles, indicators and stocks from their topics, beside the tables that are read.',
          end,
          'The logs of versions stay as they are. The sinks may run or not.',
        ],
        report: { compare, sinks: Object.keys(PRICES_WAREHOUSES) },
      };
    },
    execute: async (_, { config, runId, signal, progress }) => {
      const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
      const schemas = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
      const run = runId.replaceAll('-', '').slice(0, 12);
      const lines: string[] = [];
      const report: Record<string, unknown> = {};
      try {
        for (const [sink, warehouse] of Object.entries(PRICES_WAREHOUSES)) {
          const done = await replayWarehouse(warehouse(schemas), {
            ...{ kafka, clickHouse: clickHouseConfig(config), run, months: null, signal },
            mode: compare ? 'compare' : 'swap',
            progress: (at, total, note) => progress.update(at, total, `${sink}: ${note}`),
          });
          report[sink] = done;
          lines.push(`${sink}: ${done.states} states read, held back for ${done.heldMs} ms`, ...differenceLines(done));
        }
        return { lines, report, complete: true };
      } finally {
        await kafka.close();
      }
    },
  });
}

export async function replayPricesRedis(options: ReplayOptions): Promise<void> {
  const sinks = PRICES_MONITORED.redisSinks.map(({ name }) => name);
  await runOperation({
    command: 'replay prices redis',
    arguments: { ...options },
    flags: options,
    unit: 'partitions',
    plan: async ({ config }) => {
      const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
      try {
        return {
          data: pricesRedisGeneration(await readDeployment(kafka, PRICES_REDIS)) + 1,
          lines: [
            'Writes newest prices, indicators and boards in Redis anew from their topics. What is there is shown until it is replaced.',
            `${sinks.join(', ')} do it: now if they run, else when they are started.`,
          ],
          report: { sinks },
        };
      } finally {
        await kafka.close();
      }
    },
    execute: async (raised, { config, signal, progress }) => {
      const kafka = new KafkaClient(kafkaOptions(config, CLIENT));
      try {
        const wanted = await wantedFences(kafka, config.SLUICE_GENERATION + raised);
        await writeDeployment(kafkaOptions(config, CLIENT), PRICES_REDIS, JSON.stringify({ generation: raised }));
        await untilFenced(wanted, {
          ...{ redisUrl: config.SLUICE_REDIS_URL, deadlineMs: options.deadline * 1_000, signal },
          report: (done) => progress.update(done, wanted.length),
        });
        return { lines: ['Everything is written anew.'], report: { generation: raised }, complete: true };
      } finally {
        await kafka.close();
      }
    },
  });
}

/** A partition of a sink's keys in Redis is written anew when its fence has this generation and has come this far. */
interface Wanted {
  readonly sink: string;
  readonly stamps: string;
  readonly partition: number;
  readonly generation: number;
  readonly offset: bigint;
}

/** As far as the topics go now. */
async function wantedFences(log: LogClient, generation: number): Promise<readonly Wanted[]> {
  const wanted: Wanted[] = [];
  for (const { name: sink, stamps } of PRICES_MONITORED.redisSinks) {
    const { input } = PRICES_MONITORED.workers.find(({ name }) => name === sink)!;
    const partitions = Array.from({ length: await log.partitions(input) }, (_, partition) => partition);
    const ends = await log.offsets(input, partitions, 'lastStable');
    for (const partition of partitions) {
      // A sink has nothing to say of a partition without records.
      const offset = ends.get(partition) ?? 0n;
      if (offset > 0n) wanted.push(...stamps.map((key) => ({ sink, stamps: key, partition, generation, offset })));
    }
  }
  return wanted;
}

const POLL_MS = 200;

async function untilFenced(
  wanted: readonly Wanted[],
  options: {
    readonly redisUrl: string;
    readonly deadlineMs: number;
    readonly signal: AbortSignal;
    readonly report: (done: number) => void;
  },
): Promise<void> {
  const deadline = performance.now() + options.deadlineMs;
  const keys = [...new Set(wanted.map(({ stamps }) => stamps))];
  for (;;) {
    const fences = await fencesIn({ url: options.redisUrl }, keys);
    const left = wanted.filter(({ stamps, partition, generation, offset }) => {
      const fence = fences[keys.indexOf(stamps)]!.get(partition);
      return fence === undefined || fence.generation < generation || fence.offset < offset;
    });
    options.report(wanted.length - left.length);
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      const { sink, partition } = left[0]!;
      throw new SluiceError(
        `${sink} has not written partition ${partition} anew: is it running? It goes on by itself when it is.`,
        { code: 'REPLAY_SINK_BEHIND', action: 'fatal' },
      );
    }
    await pause(POLL_MS, undefined, { signal: options.signal });
  }
}
