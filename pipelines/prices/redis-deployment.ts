/** Which reading of their topics the Redis sinks of prices are at: raised to have everything in Redis written anew (docs/replay.md). */
import { z } from 'zod';
import { SluiceError } from '../../engine/errors.ts';
import type { RunnableWorker } from '../../engine/stage-worker.ts';
import { type Deployed, readDeployment } from '../operations/deployments.ts';
import { obedient } from '../operations/obedient.ts';
import type { WorkerEnvironment } from '../worker-environment.ts';

/** Its part of `sluice.deployments`. */
export const PRICES_REDIS = 'prices.redis';

/** `generation` is added to `SLUICE_GENERATION` of the sinks. */
const schema = z.object({ generation: z.int().min(0) });

/** 0 before it was ever raised. Throws DEPLOYMENT_INVALID (fatal) for a record that is none. */
export function pricesRedisGeneration({ text }: Pick<Deployed, 'text'>): number {
  if (text === null) return 0;
  try {
    return schema.parse(JSON.parse(text)).generation;
  } catch (cause) {
    throw new SluiceError(`The record of ${PRICES_REDIS} in sluice.deployments makes no sense: ${text.slice(0, 500)}`, {
      code: 'DEPLOYMENT_INVALID',
      action: 'fatal',
      cause,
    });
  }
}

/** A worker of a Redis sink: it is built at the present generation and ends when that is raised, to be started again. */
export async function atGeneration(
  { config, client, logger }: WorkerEnvironment,
  build: (generation: number) => RunnableWorker,
): Promise<RunnableWorker> {
  const deployed = await readDeployment(client, PRICES_REDIS);
  const worker = build(config.SLUICE_GENERATION + pricesRedisGeneration(deployed));
  return obedient(worker, { client, logger, part: PRICES_REDIS, deployed, mine: pricesRedisGeneration });
}
