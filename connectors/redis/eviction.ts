import { SluiceError } from '../../engine/errors.ts';
import type { RedisClient } from './client.ts';

/** Throws REDIS_EVICTS (fatal) where the server may drop what a sink has written. */
export async function refuseEviction(client: RedisClient): Promise<void> {
  const memory = await client.info('memory');
  const limit = /^maxmemory:(\d+)/m.exec(memory)?.[1] ?? '0';
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1] ?? 'noeviction';
  if (limit === '0' || policy === 'noeviction') return;
  throw new SluiceError(
    `Redis may evict keys (maxmemory-policy ${policy}): what is shown could be lost without notice. Set it to noeviction`,
    { code: 'REDIS_EVICTS', action: 'fatal' },
  );
}
