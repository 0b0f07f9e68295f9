/** How far partitions are written, as a sink leaves it beside its data. */
import { type RedisClientOptions, redisClient } from './client.ts';

export interface Fence {
  readonly generation: number;
  /** The next offset of the topic. */
  readonly offset: bigint;
}

/** The fences in each of these hashes of stamps, by partition. Throws REDIS_… as of errors.ts. */
export async function fencesIn(
  options: RedisClientOptions,
  keys: readonly string[],
): Promise<readonly ReadonlyMap<number, Fence>[]> {
  const client = redisClient(options);
  try {
    await client.connect();
    return (await client.hashes(keys)).map(fencesOf);
  } finally {
    await client.close();
  }
}

function fencesOf(stamps: Readonly<Record<string, string>>): ReadonlyMap<number, Fence> {
  const fences = new Map<number, Fence>();
  for (const [field, text] of Object.entries(stamps)) {
    const partition = /^(\d+):fence$/.exec(field)?.[1];
    const [, generation, offset] = /^(\d+):(\d+)$/.exec(text) ?? [];
    if (partition === undefined || generation === undefined || offset === undefined) continue;
    fences.set(Number(partition), { generation: Number(generation), offset: BigInt(offset) });
  }
  return fences;
}
