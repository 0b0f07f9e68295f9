/**
 * The engagement pipeline, in the order data flows:
 *
 *   cdc events ─[enrich]─► changes ─[leaderboard]─► leaderboards ─(sink.redis)─► Redis
 *                     │        └──(sink.clickhouse)─► ClickHouse
 *                     └► events.v1 (the public contract) ─(mirror)─► another cluster, where wanted
 */
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { mirrorSink } from '../../connectors/kafka/mirror.ts';
import { redisSink } from '../../connectors/redis/sink.ts';
import { SluiceError } from '../../engine/errors.ts';
import { sinkWorker } from '../../engine/sink-worker.ts';
import { type RunnableWorker, stageWorker } from '../../engine/stage-worker.ts';
import type { LeaderboardRecord } from '../../schemas/engagement/leaderboard-record.ts';
import { SUBJECTS } from '../../schemas/subjects.ts';
import { sourceClock } from '../capture/source-clock.ts';
import { clickHouseConfig, kafkaOptions } from '../config.ts';
import { type Deployed, readDeployment } from '../operations/deployments.ts';
import { obedient } from '../operations/obedient.ts';
import { OperatorGuard } from '../operations/operator-guard.ts';
import { GATHER_BYTES, preparing, schemaId, type WorkerEnvironment, type WorkerTable } from '../worker-environment.ts';
import { engagementClickHouseSink } from './clickhouse-rows.ts';
import { engagementChangeDecoder } from './codec/cdc.ts';
import { changeDecoder, leaderboardChangeDecoder } from './codec/change.ts';
import { leaderboardDecoder } from './codec/leaderboard.ts';
import { contentTable } from './content-table.ts';
import { enrichSchemas } from './enrich/schemas.ts';
import { enrichStage } from './enrich.ts';
import { ENRICHMENT, editionOf, enrichmentDeployment } from './enrichment-deployment.ts';
import {
  LEADERBOARD,
  type LeaderboardDeployment,
  leaderboardDeployment,
  rulesOf,
  variantNames,
  windowsOf,
} from './leaderboard-deployment.ts';
import { leaderboardStage } from './leaderboard-stage.ts';
import { leaderboardSpecs, mapLeaderboardRecord } from './redis-boards.ts';
import { CDC_EVENTS, CHANGES, CLICKHOUSE_SINK, DLQ, EVENTS_V1, MIRROR, REDIS_SINK } from './topics.ts';

async function enrich(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const decoder = engagementChangeDecoder(registry);
  const { ids, bodies } = await enrichSchemas(registry);
  let worker: RunnableWorker;
  const contents = contentTable(environment, (error) => worker.fail(error));
  const decode = preparing(decoder);
  const again = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: GATHER_BYTES });
  const operators = new OperatorGuard({ client, reader: again, topic: CDC_EVENTS });
  const deployed = await readDeployment(client, ENRICHMENT);
  const rules = enrichmentDeployment(deployed);
  worker = stageWorker({
    stage: enrichStage({
      ...{ contents: contents.rows, decoder, bodies, ids, operators, policy: 'correct' },
      ...{ rules, edition: editionOf(rules) },
    }),
    client,
    logger,
    stateDir: config.SLUICE_STATE_DIR,
    prepare: async (records, partition) => {
      await Promise.all([decode(records), operators.prepare(records, partition)]);
    },
    tables: [contents],
    clock: sourceClock(registry),
    gatherMs: config.SLUICE_ENRICH_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
  const closing = {
    ...worker,
    stop: async () => {
      await worker.stop();
      await again.close();
    },
  };
  return obedient(closing, { client, logger, part: ENRICHMENT, deployed, mine: enrichmentDeployment });
}

async function leaderboard({ config, client, logger, registry }: WorkerEnvironment): Promise<RunnableWorker> {
  const decoder = leaderboardChangeDecoder(registry);
  const deployed = await readDeployment(client, LEADERBOARD);
  // A worker of a variant that is not live yet is pinned to it; the others follow what is live.
  const variantOf = ({ live }: LeaderboardDeployment) => config.SLUICE_LEADERBOARD_VARIANT ?? live;
  const deployment = leaderboardDeployment(deployed);
  const variant = variantOf(deployment);
  const worker = stageWorker({
    stage: leaderboardStage({
      decoder,
      schemaId: await schemaId(registry, SUBJECTS.leaderboard),
      checkpointMs: config.SLUICE_CHECKPOINT_MS,
      names: variantNames(variant),
      rules: rulesOf(deployment, variant),
    }),
    client,
    logger,
    stateDir: config.SLUICE_STATE_DIR,
    prepare: preparing(decoder),
    tables: [],
    gatherMs: config.SLUICE_LEADERBOARD_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
  const mine = (at: Pick<Deployed, 'text'>) => {
    const of = leaderboardDeployment(at);
    return [variantOf(of), of.variants[variantOf(of)]];
  };
  return obedient(worker, { client, logger, part: LEADERBOARD, deployed, mine });
}

async function clickHouse({ config, client, logger, registry }: WorkerEnvironment): Promise<RunnableWorker> {
  const decoder = changeDecoder(registry);
  const name = CLICKHOUSE_SINK;
  return sinkWorker({
    definition: {
      name,
      input: CHANGES,
      dlq: DLQ,
      sink: engagementClickHouseSink({ name, config: clickHouseConfig(config) }),
      prepare: preparing(decoder),
      decode: (value) => decoder.decode(value),
      streamTimeMs: (change) => change.commit_ts,
      generation: config.SLUICE_GENERATION,
      maxRecords: 60_000,
    },
    client,
    logger,
    gatherMs: config.SLUICE_CLICKHOUSE_GATHER_MS,
    gatherBytes: 4 << 20,
    // Six tables take a part each, whatever its size: when behind, few large inserts.
    bufferBytes: 6 << 20,
  });
}

async function redis({ config, client, logger, registry }: WorkerEnvironment): Promise<RunnableWorker> {
  const decoder = leaderboardDecoder(registry);
  const name = REDIS_SINK;
  const deployed = await readDeployment(client, LEADERBOARD);
  const deployment = leaderboardDeployment(deployed);
  const { live, generation } = deployment;
  const worker = sinkWorker({
    definition: {
      name,
      input: variantNames(live).output,
      dlq: DLQ,
      sink: redisSink<LeaderboardRecord>({
        name,
        redis: { url: config.SLUICE_REDIS_URL },
        leaderboards: leaderboardSpecs(windowsOf(rulesOf(deployment, live))),
        map: mapLeaderboardRecord,
        partitions: config.SLUICE_PARTITIONS,
      }),
      prepare: preparing(decoder),
      decode: (value) => decoder.decode(value),
      streamTimeMs: ({ body }) => (body.kind === 'LeaderboardAsOf' ? body.stream_time : 0),
      generation: config.SLUICE_GENERATION + generation,
      maxRecords: 20_000,
    },
    client,
    logger,
    gatherMs: config.SLUICE_REDIS_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
  const mine = (at: Pick<Deployed, 'text'>) => {
    const of = leaderboardDeployment(at);
    return [of.live, of.generation];
  };
  return obedient(worker, { client, logger, part: LEADERBOARD, deployed, mine });
}

/** The public contract on another cluster, where there is one (SLUICE_MIRROR_KAFKA_BROKERS). */
async function mirror({ config, client, logger }: WorkerEnvironment): Promise<RunnableWorker> {
  const name = MIRROR;
  const brokers = config.SLUICE_MIRROR_KAFKA_BROKERS;
  if (brokers.length === 0) {
    throw new SluiceError('SLUICE_MIRROR_KAFKA_BROKERS is not set: there is no other cluster to copy to', {
      code: 'MIRROR_NOT_CONFIGURED',
      action: 'fatal',
    });
  }
  const target = new KafkaClient({ ...kafkaOptions(config, name), brokers });
  return sinkWorker({
    definition: {
      name,
      input: EVENTS_V1,
      dlq: DLQ,
      sink: mirrorSink({ name, topic: EVENTS_V1, partitions: config.SLUICE_PARTITIONS, target }),
      prepare: async () => {},
      decode: (value) => value,
      streamTimeMs: () => 0,
      generation: config.SLUICE_GENERATION,
      maxRecords: 10_000,
    },
    client,
    logger,
    gatherMs: config.SLUICE_REDIS_GATHER_MS,
    gatherBytes: GATHER_BYTES,
  });
}

export const ENGAGEMENT_WORKERS: WorkerTable = {
  [ENRICHMENT]: enrich,
  'engagement.leaderboard': leaderboard,
  [CLICKHOUSE_SINK]: clickHouse,
  [REDIS_SINK]: redis,
  [MIRROR]: mirror,
};
