/**
 * The newest value of each series in Redis, for a time: a sink that mirrors absolute values into hashes that expire.
 *
 * Invariants:
 *  - What is shown of a series is its newest value by its own time, in its newest version by offset; nothing older ever takes its place, however
 *    often and in whatever parts the topic is read again.
 *  - It is shown no longer than the time to live after the moment that it is of, also when it is written late.
 * The fence and the owner are those of the leaderboards (sink.ts). A partition whose fence is gone is read again from its beginning: what is expired
 * leaves a mark only.
 */
import { randomUUID } from 'node:crypto';
import type { Sink, SinkBatch, SinkPosition, SinkRecord, TopicPartition } from '../../engine/sink.ts';
import { type RedisClient, type RedisClientOptions, redisClient, type ScriptArgument } from './client.ts';
import { redisError } from './errors.ts';
import { refuseEviction } from './eviction.ts';

export type LatestOperation =
  | {
      readonly kind: 'value';
      /** Of what it is a value; any number of values, of which the one with the greatest `time` is shown. */
      readonly series: string;
      /** An integer. */
      readonly time: number;
      /** The rest of its key. */
      readonly name: string;
      /** When it was so, ms since the epoch; null: at the stream time of its stamp. */
      readonly momentMs: number | null;
      /** Null: no such field. Asked for only when the value is written: of most of a batch a newer one is. */
      readonly fields: () => Readonly<Record<string, string | number | bigint | null>>;
    }
  /** The value of that time is no longer there. */
  | { readonly kind: 'gone'; readonly series: string; readonly time: number }
  /** How far the partition has come. */
  | {
      readonly kind: 'stamp';
      readonly streamTimeMs: number;
      readonly fields: Readonly<Record<string, string | number | bigint>>;
    };

export interface LatestSinkOptions<T> {
  readonly name: string;
  readonly redis: RedisClientOptions;
  /** What the keys of values begin with. It holds a hash tag, so that all are in one slot. */
  readonly prefix: string;
  /** What the sink's own keys begin with: the same hash tag, and not `prefix`. */
  readonly control: string;
  readonly ttlMs: number;
  /** Null for a record that says nothing here. */
  readonly map: (record: SinkRecord<T>) => LatestOperation | null;
  /** Values written by one script call. 500. */
  readonly maxValuesPerCall?: number;
}

/** How long the sink's own keys are kept without writes: a value that comes back later than this may be older than what was shown. */
const KEEP_SECONDS = 30 * 86_400;

/** What this process knows of a partition. */
interface Owned {
  readonly token: string;
  readonly generation: number;
  /** The fence as this process last saw it; null while the partition has none. */
  expected: bigint | null;
}

type Placed = Exclude<LatestOperation, { kind: 'stamp' }> & { readonly offset: bigint };

/** The key of a sink's fences and stamps, for readers. */
export function latestStampsKey(control: string): string {
  return `${control}:asof`;
}

/** The key of what a sink remembers of each series. */
export function marksKey(control: string): string {
  return `${control}:marks`;
}

/** Makes the sink. Errors of its methods: REDIS_… (see errors.ts), REDIS_EVICTS. */
export function latestSink<T>(options: LatestSinkOptions<T>): Sink<T> {
  return new LatestSink(options);
}

class LatestSink<T> implements Sink<T> {
  readonly name: string;
  readonly delivery = 'target';
  readonly #options: LatestSinkOptions<T>;
  readonly #client: RedisClient;
  readonly #owned = new Map<number, Owned>();

  constructor(options: LatestSinkOptions<T>) {
    this.name = options.name;
    this.#options = options;
    this.#client = redisClient(options.redis);
  }

  async connect(): Promise<void> {
    await this.#client.connect();
    await refuseEviction(this.#client);
  }

  async position(at: TopicPartition & { readonly generation: number }): Promise<SinkPosition> {
    const owned: Owned = { token: randomUUID(), generation: at.generation, expected: null };
    const offset = Number(
      await this.#call('taking over a partition', 'sluiceAcquire', [
        ...this.#keys().slice(0, 3),
        ...this.#head(at.partition, owned),
        KEEP_SECONDS * 1_000,
      ]),
    );
    this.#owned.set(at.partition, owned);
    // A newer generation has written: nothing of this one will be taken, wherever it starts.
    if (offset === -2) return { kind: 'committed' };
    if (offset === -1) return { kind: 'offset', offset: 0n };
    owned.expected = BigInt(offset);
    return { kind: 'offset', offset: owned.expected };
  }

  async write(batch: SinkBatch<T>): Promise<'written' | 'stale' | 'lost'> {
    if (!this.#owned.has(batch.partition)) await this.position(batch);
    const owned = this.#owned.get(batch.partition)!;
    const { operations, stamp } = this.#fold(batch.records);
    const size = this.#options.maxValuesPerCall ?? 500;
    const fields = flat(stamp?.fields ?? {});
    if (stamp !== null) fields.push('stream_time', stamp.streamTimeMs);
    // One after the other: the fence moves with the last piece, so a crash in between repeats them all.
    for (let from = 0; from === 0 || from < operations.length; from += size) {
      const final = from + size >= operations.length ? 1 : 0;
      const answer = await this.#call('writing', 'sluiceLatest', [
        ...this.#keys(),
        ...this.#head(batch.partition, { ...owned, generation: batch.generation }),
        String(batch.from),
        String(batch.to),
        owned.expected === null ? '' : String(owned.expected),
        final,
        this.#options.prefix,
        this.#options.ttlMs,
        stamp?.streamTimeMs ?? '',
        fields.length,
        ...fields,
        ...operations.slice(from, from + size).flatMap(argumentsOf),
      ]);
      if (answer !== 'written') return answer as 'stale' | 'lost';
    }
    owned.expected = batch.to;
    return 'written';
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** Of values of a series that follow each other only the best one counts. */
  #fold(records: readonly SinkRecord<T>[]) {
    const bySeries = new Map<string, Placed[]>();
    let stamp: Extract<LatestOperation, { kind: 'stamp' }> | null = null;
    for (const record of records) {
      const operation = this.#options.map(record);
      if (operation === null) continue;
      if (operation.kind === 'stamp') {
        stamp = operation;
        continue;
      }
      const placed: Placed = { ...operation, offset: record.offset };
      const list = bySeries.get(operation.series);
      const last = list?.at(-1);
      if (list === undefined || last === undefined) bySeries.set(operation.series, [placed]);
      else if (last.kind === 'gone' || placed.kind === 'gone') list.push(placed);
      else if (placed.time >= last.time) list[list.length - 1] = placed;
    }
    return { operations: [...bySeries.values()].flat(), stamp };
  }

  #keys(): readonly string[] {
    const { control } = this.#options;
    return [latestStampsKey(control), `${control}:owners`, `${control}:rebuild:asof`, marksKey(control)];
  }

  /** No boards. */
  #head(partition: number, { token, generation }: Owned): readonly ScriptArgument[] {
    return ['', partition, token, generation, KEEP_SECONDS];
  }

  async #call(
    doing: string,
    script: 'sluiceAcquire' | 'sluiceLatest',
    args: readonly ScriptArgument[],
  ): Promise<unknown> {
    try {
      return await this.#client.scripts[script](...args);
    } catch (error) {
      throw redisError(error, doing);
    }
  }
}

/** Field, value, field, value …, without those that are null. */
export function flat(fields: Readonly<Record<string, string | number | bigint | null>>): ScriptArgument[] {
  return Object.entries(fields).flatMap(([name, value]) => (value === null ? [] : [name, String(value)]));
}

function argumentsOf(operation: Placed): ScriptArgument[] {
  const { series, time, offset } = operation;
  if (operation.kind === 'gone') return [series, time, String(offset), '', '', 0];
  const fields = flat(operation.fields());
  return [series, time, String(offset), operation.momentMs ?? '', operation.name, fields.length, ...fields];
}
