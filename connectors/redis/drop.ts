/** Takes leaderboards away that nobody writes any more. What still wrote them would find its ownership gone. */
import { type RedisClientOptions, redisClient } from './client.ts';
import { redisError } from './errors.ts';
import { asOfKey, baseKey } from './keys.ts';

/** Each in one call; harmless for one that is not there. Throws REDIS_… as of errors.ts. */
export async function dropLeaderboards(
  options: RedisClientOptions,
  leaderboards: readonly { readonly name: string; readonly boards: readonly string[] }[],
): Promise<void> {
  if (leaderboards.length === 0) return;
  const client = redisClient(options);
  try {
    await client.connect();
    for (const { name, boards } of leaderboards) {
      await client.scripts.sluiceDrop(asOfKey(name), baseKey(name), ...boards).catch((error: unknown) => {
        throw redisError(error, `taking ${name} away`);
      });
    }
  } finally {
    await client.close();
  }
}
