/**
 * Makes the sink write partitions of a leaderboard anew: without its fence a partition counts as lost, and the sink that owns it
 * rebuilds it from the compacted topic, out of sight, and puts it into place in one call (scripts.ts). Readers see the old board until then.
 */
import { type RedisClientOptions, redisClient } from './client.ts';
import { redisError } from './errors.ts';
import { baseKey } from './keys.ts';

export interface Forgotten {
  readonly leaderboard: string;
  readonly partitions: readonly number[];
  /** Members that no record speaks of: without its hash a member goes with the next partition that is put into place. */
  readonly strays: readonly string[];
}

export interface Rebuilds {
  connect(): Promise<void>;
  request(forgotten: Forgotten): Promise<void>;
  /** Whether the sink has put all of it into place. */
  done(forgotten: Forgotten): Promise<boolean>;
  close(): Promise<void>;
}

/** Makes it; nothing is opened before `connect`. Its methods throw REDIS_… as of errors.ts. */
export function rebuilds(options: RedisClientOptions): Rebuilds {
  const client = redisClient(options);
  const asked = async <T>(doing: string, work: Promise<T>): Promise<T> =>
    await work.catch((error: unknown) => {
      throw redisError(error, doing);
    });
  const call = async (forgotten: Forgotten, forget: boolean): Promise<unknown> => {
    const base = baseKey(forgotten.leaderboard);
    const fences = forgotten.partitions.map((partition) => `${partition}:fence`);
    const members = forget ? forgotten.strays : [];
    return await client.scripts.sluiceForget(
      `${base}:asof`,
      base,
      forget ? 1 : 0,
      fences.length,
      ...fences,
      ...members,
    );
  };
  return {
    connect: () => client.connect(),
    request: async (forgotten) => {
      await asked('asking for a rebuild', call(forgotten, true));
    },
    done: async (forgotten) => (await asked('asking whether it is rebuilt', call(forgotten, false))) === 0,
    close: () => client.close(),
  };
}
