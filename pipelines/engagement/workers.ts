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
import type { Follower } from '../../engine/follower.ts';
import { sinkWorker } from '../../engine/sink-worker.ts';
import { type RunnableWorker, stageWorker } from '../../engine/stage-worker.ts';
import { VersionedTable } from '../../engine/versioned-table.ts';
import type { LeaderboardRecord } from '../../schemas/engagement/leaderboard-record.ts';
import { SUBJECTS } from '../../schemas/subjects.ts';
import { sourceClock } from '../capture/source-clock.ts';
import { clickHouseConfig, kafkaOptions } from '../config.ts';
import { type Deployed, followDeployment, readDeployment } from '../operations/deployments.ts';
import { OperatorGuard } from '../operations/operator-guard.ts';
import { GATHER_BYTES, preparing, schemaId, type WorkerEnvironment, type WorkerTable } from '../worker-environment.ts';
import { engagementClickHouseSink } from './clickhouse-rows.ts';
import { contentChangeDecoder, engagementChangeDecoder } from './codec/cdc.ts';
import { changeDecoder, leaderboardChangeDecoder } from './codec/change.ts';
import { eventBodyDecoder } from './codec/event.ts';
import { leaderboardDecoder } from './codec/leaderboard.ts';
import type { ContentVersion } from './content-path.ts';
import { contentVersion, enrichStage } from './enrich.ts';
import {
  LEADERBOARD,
  type LeaderboardDeployment,
  leaderboardDeployment,
  rulesOf,
  variantNames,
} from './leaderboard-deployment.ts';
import { leaderboardStage } from './leaderboard-stage.ts';
import { ENGAGEMENT_LEADERBOARDS, mapLeaderboardRecord } from './redis-boards.ts';
import { CDC_CONTENT, CDC_EVENTS, CHANGES, CLICKHOUSE_SINK, DLQ, EVENTS_V1, MIRROR, REDIS_SINK } from './topics.ts';

/** The content table: all versions of what an event takes from its content. */
function contentTable(
  environment: WorkerEnvironment,
  failed: (error: unknown) => void,
): VersionedTable<ContentVersion> {
  const decoder = contentChangeDecoder(environment.registry);
  return new VersionedTable<ContentVersion>(environment.client, {
    topic: CDC_CONTENT,
    prepare: preparing(decoder),
    decode: ({ value }) => {
      if (value === null) return null;
      const { after, lsn, xid, commitTsMs } = decoder.decode(value);
      if (after === null) return null; // a deleted content keeps its last version for what refers to it
      return { key: after.id, lsn: lsn ?? 0n, value: contentVersion(after, { xid, commitTsMs }) };
    },
    same: (a, b) => a.part.equals(b.part),
    failed,
  });
}

async function enrich(environment: WorkerEnvironment): Promise<RunnableWorker> {
  const { config, client, logger, registry } = environment;
  const decoder = engagementChangeDecoder(registry);
  const ids = {
    key: await schemaId(registry, SUBJECTS.eventKey),
    event: await schemaId(registry, SUBJECTS.event),
    change: await schemaId(registry, SUBJECTS.change),
  };
  // The store keeps what earlier versions wrote. A version registered later ends the worker, which then starts with it.
  const bodies = eventBodyDecoder(registry);
  await bodies.load(await registry.versionIds(SUBJECTS.event.name));
  let worker: RunnableWorker;
  const contents = contentTable(environment, (error) => worker.fail(error));
  const decode = preparing(decoder);
  const again = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: GATHER_BYTES });
  const operators = new OperatorGuard({ client, reader: again, topic: CDC_EVENTS });
  worker = stageWorker({
    stage: enrichStage({ contents: contents.rows, decoder, bodies, ids, operators, policy: 'correct' }),
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
  return {
    ...worker,
    stop: async () => {
      await worker.stop();
      await again.close();
    },
  };
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
  return obedient(worker, { client, logger, deployed, mine: (of) => [variantOf(of), of.variants[variantOf(of)]] });
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
      maxRecords: 30_000,
    },
    client,
    logger,
    gatherMs: config.SLUICE_CLICKHOUSE_GATHER_MS,
    gatherBytes: 4 << 20,
    // Six tables take a part each, whatever its size: when behind, few large inserts.
    bufferBytes: 3 << 20,
  });
}

async function redis({ config, client, logger, registry }: WorkerEnvironment): Promise<RunnableWorker> {
  const decoder = leaderboardDecoder(registry);
  const name = REDIS_SINK;
  const deployed = await readDeployment(client, LEADERBOARD);
  const { live, generation } = leaderboardDeployment(deployed);
  const worker = sinkWorker({
    definition: {
      name,
      input: variantNames(live).output,
      dlq: DLQ,
      sink: redisSink<LeaderboardRecord>({
        name,
        redis: { url: config.SLUICE_REDIS_URL },
        leaderboards: ENGAGEMENT_LEADERBOARDS,
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
  return obedient(worker, { client, logger, deployed, mine: (of) => [of.live, of.generation] });
}

/** Ends a worker in good order when what it goes by has changed: it is started again on what is deployed then. */
function obedient(
  worker: RunnableWorker,
  options: Pick<WorkerEnvironment, 'client' | 'logger'> & {
    readonly deployed: Deployed;
    /** What of the deployment the worker goes by. */
    readonly mine: (deployment: LeaderboardDeployment) => unknown;
  },
): RunnableWorker {
  const { client, logger, deployed, mine } = options;
  const present = JSON.stringify(mine(leaderboardDeployment(deployed)));
  let follower: Follower | null = null;
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    stopping ??= (async () => {
      await follower?.close();
      await worker.stop();
    })();
    await stopping;
  };
  const changed = (text: string) => {
    if (JSON.stringify(mine(leaderboardDeployment({ text }))) === present) return;
    logger.info({ deployment: text }, 'another deployment: ending, to be started again');
    // Not awaited: the follower that calls this is what is closed first.
    void stop().catch((error: unknown) => worker.fail(error));
  };
  return {
    ...worker,
    stop,
    run: async () => {
      const failed = (error: unknown) => worker.fail(error);
      follower = followDeployment(client, LEADERBOARD, { from: deployed.next, changed, failed });
      await worker.run();
      await stopping;
    },
  };
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
  'engagement.enrich': enrich,
  'engagement.leaderboard': leaderboard,
  [CLICKHOUSE_SINK]: clickHouse,
  [REDIS_SINK]: redis,
  [MIRROR]: mirror,
};
