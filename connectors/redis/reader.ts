/** Reads a leaderboard: one board's best members with their hashes, and the stamps of all partitions, of one moment. */
import { type RedisClient, type RedisClientOptions, redisClient } from './client.ts';
import { redisError } from './errors.ts';
import { asOfKey, baseKey, boardKey } from './keys.ts';

export interface BoardPlace {
  readonly member: string;
  readonly score: number;
  /** The fields of its hash; empty when it was lost. */
  readonly fields: Readonly<Record<string, string>>;
}

export interface BoardReading {
  /** Best first. */
  readonly places: readonly BoardPlace[];
  /** Stamp fields by partition. */
  readonly stamps: ReadonlyMap<number, Readonly<Record<string, string>>>;
  /** How many partitions feed the leaderboard; 0 when it does not exist. */
  readonly partitions: number;
}

export interface BoardReader {
  connect(): Promise<void>;
  /** The first `count` places of a board. Throws REDIS_… as of errors.ts. */
  top(leaderboard: string, board: string, count: number): Promise<BoardReading>;
  close(): Promise<void>;
}

/** Makes a reader; nothing is opened before `connect`. */
export function boardReader(options: RedisClientOptions): BoardReader {
  const client = redisClient(options);
  return {
    connect: () => client.connect(),
    top: (leaderboard, board, count) => readTop(client, { leaderboard, board, count }),
    close: () => client.close(),
  };
}

interface TopRequest {
  readonly leaderboard: string;
  readonly board: string;
  readonly count: number;
}

type Reply = readonly [readonly (readonly [string, string, readonly string[]])[], readonly string[]];

async function readTop(client: RedisClient, { leaderboard, board, count }: TopRequest): Promise<BoardReading> {
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`count must be a positive integer, not ${count}`);
  const keys = [boardKey(leaderboard, board), asOfKey(leaderboard)];
  const reply = await client.scripts.sluiceTop(...keys, baseKey(leaderboard), count).catch((error: unknown) => {
    throw redisError(error, `reading ${keys[0]}`);
  });
  const [listed, stamped] = reply as Reply;
  const places = listed.map(([member, score, fields]) => ({ member, score: Number(score), fields: toRecord(fields) }));
  return { places, ...stampsOf(toRecord(stamped)) };
}

/** Sorts the fields of a hash of stamps. */
export function stampsOf(fields: Readonly<Record<string, string>>): Pick<BoardReading, 'stamps' | 'partitions'> {
  const stamps = new Map<number, Record<string, string>>();
  let partitions = 0;
  for (const [name, value] of Object.entries(fields)) {
    const cut = name.indexOf(':');
    if (cut < 0) {
      if (name === 'partitions') partitions = Number(value);
      continue;
    }
    const partition = Number(name.slice(0, cut));
    const stamp = stamps.get(partition) ?? {};
    stamps.set(partition, stamp);
    stamp[name.slice(cut + 1)] = value;
  }
  return { stamps, partitions };
}

/** Field, value, field, value …, as Redis answers HGETALL inside a script. */
function toRecord(flat: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) record[flat[i]!] = flat[i + 1]!;
  return record;
}
