/** What sinks of newest values keep in Redis: hashes that expire, and what they know of each series. */
import { formatLsn } from '../../../connectors/postgres/lsn.ts';
import type { RedisClient } from '../../../connectors/redis/client.ts';
import { stampsOf } from '../../../connectors/redis/reader.ts';
import { until } from '../../operations/reconcile/deadline.ts';
import type { Snapshot } from './comparison.ts';

/** Written apart from the pipeline's own: a test holds them together. */
export interface NewestKeys {
  /** Keys of values begin with it. */
  readonly prefix: string;
  /** Keys of the sink itself begin with it. */
  readonly control: string;
  /** How long a value is shown. */
  readonly ttlMs: number;
}

type Hash = Readonly<Record<string, string>>;

/** A value that expires while it is asked for is not missing. */
const MARGIN_MS = 5_000;

/** Until the sink has passed the position of the snapshot; where each partition stands. Throws RECONCILE_DEADLINE (retry). */
export async function newestPassed(
  redis: RedisClient,
  { control }: NewestKeys,
  partitions: number,
  { lsn, deadline }: Snapshot,
): Promise<Readonly<Record<string, string>>> {
  const key = `${control}:asof`;
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  return await until(deadline(), {
    ask: async () => stampsOf((await redis.hashes([key]))[0]!).stamps,
    done: (stamps) => {
      const at = all.map((partition) => BigInt(stamps.get(partition)?.source_lsn ?? -1));
      if (at.some((one) => one < lsn)) return null;
      return Object.fromEntries(at.map((one, partition) => [String(partition), formatLsn(one)]));
    },
    missing: (stamps) =>
      all
        .map((partition) => {
          const at = stamps.get(partition)?.source_lsn;
          const where = at === undefined ? 'no stamp' : `at ${formatLsn(BigInt(at))}`;
          return `Redis ${key}, partition ${partition}: ${where}, wanted ${formatLsn(lsn)}`;
        })
        .join('; '),
  });
}

/** By series: `time:offset:key` of the newest value that was ever shown. No older one is shown again, even when that is gone. */
export async function marksOf(redis: RedisClient, { control }: NewestKeys): Promise<Hash> {
  return (await redis.hashes([`${control}:marks`]))[0]!;
}

/** Whether a value must be shown. `since`: the moment that it is of; null when nobody knows. */
export function isDue(
  { ttlMs }: NewestKeys,
  { series, start }: { readonly series: string; readonly start: number },
  { marks, now, since }: { readonly marks: Hash; readonly now: number; readonly since: number | null },
): boolean {
  const newestEver = Number(/^-?\d+/.exec(marks[series] ?? '')?.[0] ?? start);
  return newestEver <= start && since !== null && since + ttlMs > now + MARGIN_MS;
}

/** Hashes under a prefix whose names nobody knows. */
export async function straysOf(
  redis: RedisClient,
  prefix: string,
  isKnown: (name: string) => boolean,
): Promise<readonly { readonly name: string; readonly found: Hash }[]> {
  const names = (await redis.keys(prefix)).map((key) => key.slice(prefix.length)).filter((name) => !isKnown(name));
  const hashes = await redis.hashes(names.map((name) => prefix + name));
  // One that has gone meanwhile is none.
  return names.flatMap((name, index) =>
    Object.keys(hashes[index]!).length === 0 ? [] : [{ name, found: hashes[index]! }],
  );
}
