/**
 * Leaderboards in Redis: a sink that mirrors absolute figures into sorted sets and hashes.
 *
 *            position ──offset──────────────────────────► write … write
 *               │                                            │ lost (fence gone or rolled back, or taken over)
 *               └──rebuild──► rebuild (shadow) ──► write …   └──► position
 *
 * Exactly once in effect: one script call writes what changed and the fence (generation, next offset) together, refuses a batch
 * behind the fence, and notices when the fence is not what this writer left: Redis has lost data, and the partition goes back to
 * where the fence is, or is rebuilt from the compacted topic.
 */
import { randomUUID } from 'node:crypto';
import { SluiceError } from '../../engine/errors.ts';
import type { Sink, SinkBatch, SinkPosition, SinkRecord, TopicPartition } from '../../engine/sink.ts';
import { type RedisClient, type RedisClientOptions, redisClient, type ScriptArgument } from './client.ts';
import { redisError } from './errors.ts';
import { refuseEviction } from './eviction.ts';
import { scriptKeys } from './keys.ts';
import {
  type BoardOperation,
  foldOperations,
  type LeaderboardSpec,
  type MapRecord,
  scriptPieces,
} from './operations.ts';

export interface RedisSinkOptions<T> {
  readonly name: string;
  readonly redis: RedisClientOptions;
  readonly leaderboards: readonly LeaderboardSpec[];
  readonly map: MapRecord<T>;
  /** Partitions of the input: a rebuild is shown when all have come. */
  readonly partitions: number;
  /** Members written by one script call. 500. */
  readonly maxMembersPerCall?: number;
  /**
   * A partition that was last written longer ago is rebuilt: its tombstones may have left the topic. Below the topic's
   * `delete.retention.ms`. 12 h.
   */
  readonly maxFenceAgeMs?: number;
}

/** What this process knows of a partition. */
interface Owned {
  readonly token: string;
  readonly generation: number;
  /** The fence as this process last saw it; null while the partition has none. */
  expected: bigint | null;
}

const HALF_DAY_MS = 12 * 3_600_000;

/** Makes the sink. Errors of its methods: REDIS_… (see errors.ts), REDIS_EVICTS, REDIS_LEADERBOARD_UNKNOWN. */
export function redisSink<T>(options: RedisSinkOptions<T>): Sink<T> {
  return new RedisSink(options);
}

class RedisSink<T> implements Sink<T> {
  readonly name: string;
  readonly delivery = 'target';
  readonly #options: RedisSinkOptions<T>;
  readonly #client: RedisClient;
  readonly #names: ReadonlySet<string>;
  readonly #owned = new Map<number, Owned>();
  readonly #refreshedAt = new Map<string, number>();

  constructor(options: RedisSinkOptions<T>) {
    this.name = options.name;
    this.#options = options;
    this.#client = redisClient(options.redis);
    this.#names = new Set(options.leaderboards.map(({ name }) => name));
  }

  async connect(): Promise<void> {
    await this.#client.connect();
    await refuseEviction(this.#client);
  }

  async position(at: TopicPartition & { readonly generation: number }): Promise<SinkPosition> {
    const owned: Owned = { token: randomUUID(), generation: at.generation, expected: null };
    const answers = await this.#each('taking over a partition', (spec) =>
      this.#client.scripts.sluiceAcquire(
        ...this.#head(spec, at.partition, owned),
        this.#options.maxFenceAgeMs ?? HALF_DAY_MS,
      ),
    );
    this.#owned.set(at.partition, owned);
    const offsets = answers.map(Number);
    // A newer generation has written: nothing of this one will be taken, wherever it starts.
    if (offsets.includes(-2)) return { kind: 'committed' };
    if (offsets.includes(-1)) return { kind: 'rebuild' };
    owned.expected = BigInt(Math.min(...offsets));
    return { kind: 'offset', offset: owned.expected };
  }

  check(record: SinkRecord<T>): void {
    const strange = this.#operationsOf(record).find(({ leaderboard }) => !this.#names.has(leaderboard));
    if (strange === undefined) return;
    const { leaderboard } = strange;
    throw new SluiceError(`${this.name}: a record is for the leaderboard ${leaderboard}, which is not configured`, {
      code: 'REDIS_LEADERBOARD_UNKNOWN',
      action: 'dead-letter',
    });
  }

  async write(batch: SinkBatch<T>): Promise<'written' | 'stale' | 'lost'> {
    const owned = await this.#ownedOf(batch);
    const folded = this.#fold(batch.records);
    const answers = await this.#each('writing', (spec) => this.#writeOne(batch, { spec, owned, folded }));
    if (answers.includes('lost')) return 'lost';
    if (answers.includes('stale')) return 'stale';
    owned.expected = batch.to;
    await this.#refresh(batch.partition, owned);
    return 'written';
  }

  async rebuild(batch: SinkBatch<T>): Promise<void> {
    const owned = await this.#ownedOf(batch);
    const folded = this.#fold(batch.records);
    const answers = await this.#each('rebuilding', async (spec) => {
      const pieces = scriptPieces(spec, folded.get(spec.name), this.#options.maxMembersPerCall ?? 500);
      let answer: unknown = 'lost';
      for (const [index, piece] of pieces.entries()) {
        const first = index === 0 ? 1 : 0;
        const final = index === pieces.length - 1 ? 1 : 0;
        const middle = [first, String(batch.to), '', final, this.#options.partitions];
        answer = await this.#client.scripts.sluiceRebuild(
          ...this.#head(spec, batch.partition, owned),
          ...middle,
          ...piece,
        );
        if (answer === 'lost') return answer;
      }
      return answer;
    });
    if (answers.includes('lost')) {
      throw new SluiceError(`${this.name}: partition ${batch.partition} was taken over during its rebuild`, {
        code: 'REDIS_TAKEN_OVER',
        action: 'reconnect',
      });
    }
    owned.expected = batch.to;
  }

  boundary(records: readonly SinkRecord<T>[]): number {
    for (let count = records.length; count > 0; count -= 1) {
      if (this.#operationsOf(records[count - 1]!).some(({ kind }) => kind === 'stamp')) return count;
    }
    return 0;
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #writeOne(
    batch: SinkBatch<T>,
    at: { readonly spec: LeaderboardSpec; readonly owned: Owned; readonly folded: ReturnType<typeof foldOperations> },
  ): Promise<unknown> {
    const { spec, owned, folded } = at;
    const pieces = scriptPieces(spec, folded.get(spec.name), this.#options.maxMembersPerCall ?? 500);
    let answer: unknown = 'lost';
    // One after the other: the fence moves with the last piece, so a crash in between repeats them all.
    for (const [index, piece] of pieces.entries()) {
      const final = index === pieces.length - 1 ? 1 : 0;
      answer = await this.#client.scripts.sluiceWrite(
        ...this.#head(spec, batch.partition, { ...owned, generation: batch.generation }),
        String(batch.from),
        String(batch.to),
        owned.expected === null ? '' : String(owned.expected),
        final,
        this.#options.partitions,
        ...piece,
      );
      if (answer !== 'written') return answer;
    }
    return answer;
  }

  /** The hashes of members that nobody changes must outlive their place on the board. */
  async #refresh(partition: number, owned: Owned): Promise<void> {
    const now = performance.now();
    const due = this.#options.leaderboards.filter(({ name, ttlSeconds }) => {
      const last = this.#refreshedAt.get(name);
      return last === undefined || now - last > (ttlSeconds * 1_000) / 4;
    });
    await this.#each(
      'refreshing',
      (spec) => this.#client.scripts.sluiceRefresh(...this.#head(spec, partition, owned)),
      due,
    );
    for (const { name } of due) this.#refreshedAt.set(name, now);
  }

  async #ownedOf(batch: SinkBatch<T>): Promise<Owned> {
    if (!this.#owned.has(batch.partition)) await this.position(batch);
    return this.#owned.get(batch.partition)!;
  }

  #operationsOf(record: SinkRecord<T>): readonly BoardOperation[] {
    const mapped = this.#options.map(record);
    return 'kind' in mapped ? [mapped] : mapped;
  }

  #fold(records: readonly SinkRecord<T>[]): ReturnType<typeof foldOperations> {
    return foldOperations(records.flatMap((record) => this.#operationsOf(record)));
  }

  #head(spec: LeaderboardSpec, partition: number, owned: Owned): ScriptArgument[] {
    const { boards, name, ttlSeconds } = spec;
    return [...scriptKeys(name), boards.join(','), partition, owned.token, owned.generation, ttlSeconds];
  }

  /** Every leaderboard is written on every batch, changed or not, so that all have the same fence. */
  async #each(
    doing: string,
    call: (spec: LeaderboardSpec) => Promise<unknown>,
    specs: readonly LeaderboardSpec[] = this.#options.leaderboards,
  ): Promise<unknown[]> {
    const results = await Promise.allSettled(specs.map(call));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw redisError(failed.reason, doing);
    return results.map((result) => (result.status === 'fulfilled' ? result.value : null));
  }
}
