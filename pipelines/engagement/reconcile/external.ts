/**
 * The compacted view of `engagement.events.v1`: the newest record per key, as hashes. Memory: a table of one partition's keys
 * at a time (row-table.ts), and 16 bytes for every row of the topic.
 */
import type { FramedDecoder, SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { FRAME_BYTES } from '../../../engine/avro/framing.ts';
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { Deadline } from '../../operations/reconcile/deadline.ts';
import { stableEnds } from '../../operations/reconcile/stable-end.ts';
import { eventDecoder } from '../codec/event.ts';
import { keyDecoder } from '../codec/key.ts';
import { CHANGES, EVENTS_V1 } from '../topics.ts';
import { type Row, rowText, textHash } from './row.ts';
import { RowTable } from './row-table.ts';
import type { RowStore } from './rows.ts';
import { isInScope, type RowScope } from './scope.ts';
import { RANGE_ROWS, type RangeSum } from './source.ts';

/** A row's hash and its id, for all rows, in two flat arrays. */
export class RowHashes {
  #ids = new BigInt64Array(1 << 12);
  #hashes = new BigUint64Array(1 << 12);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(id: bigint, hash: bigint): void {
    if (this.#count === this.#ids.length) {
      const [ids, hashes] = [this.#ids, this.#hashes];
      this.#ids = new BigInt64Array(2 * this.#count);
      this.#ids.set(ids);
      this.#hashes = new BigUint64Array(2 * this.#count);
      this.#hashes.set(hashes);
    }
    this.#ids[this.#count] = id;
    this.#hashes[this.#count] = hash;
    this.#count++;
  }

  rangeSums(): Map<bigint, RangeSum> {
    const sums = new Map<bigint, { rows: number; sum: bigint }>();
    for (let at = 0; at < this.#count; at++) {
      const range = this.#ids[at]! / RANGE_ROWS;
      const found = sums.get(range) ?? { rows: 0, sum: 0n };
      found.rows++;
      found.sum = BigInt.asUintN(64, found.sum + this.#hashes[at]!);
      sums.set(range, found);
    }
    return sums;
  }

  rowHashes(ranges: readonly bigint[]): Map<bigint, bigint> {
    const wanted = new Set(ranges);
    const hashes = new Map<bigint, bigint>();
    for (let at = 0; at < this.#count; at++) {
      const id = this.#ids[at]!;
      if (!wanted.has(id / RANGE_ROWS)) continue;
      hashes.set(id, BigInt.asUintN(64, (hashes.get(id) ?? 0n) + this.#hashes[at]!));
    }
    return hashes;
  }
}

export interface ExternalOptions {
  /** Where the topic is. */
  readonly client: LogClient;
  /** Where `engagement.changes` is. */
  readonly changes: LogClient;
  readonly schemas: SchemaSource;
  readonly partitions: number;
  readonly since: Date | null;
  readonly scope: RowScope;
  readonly deadline: Deadline;
}

/** The topic as it was read. */
export class ExternalTopic implements RowStore {
  /** How far the log of changes was when the topic had been read: what the topic says comes from in front of that. */
  changesEnd: ReadonlyMap<number, bigint> = new Map();
  readonly #options: ExternalOptions;
  readonly #sinceMicros: number;
  readonly #hashes = new RowHashes();
  readonly #keys: FramedDecoder<{ readonly event_id: bigint }>;
  readonly #values: FramedDecoder<EngagementEvent>;
  #ends: ReadonlyMap<number, bigint> = new Map();
  #lookedUp = false;

  constructor(options: ExternalOptions) {
    this.#options = options;
    this.#sinceMicros = options.since === null ? Number.NEGATIVE_INFINITY : options.since.getTime() * 1_000;
    this.#keys = keyDecoder(options.schemas);
    this.#values = eventDecoder(options.schemas);
  }

  /** Reads the topic from its beginning to its present end. */
  async read(): Promise<void> {
    const { client } = this.#options;
    const partitions = this.#partitions();
    this.#ends = await stableEnds(client, EVENTS_V1, partitions, this.#options.deadline);
    this.changesEnd = await this.#options.changes.offsets(CHANGES, partitions, 'highWatermark');
    for (const partition of partitions) {
      const table = new RowTable();
      await this.#each(partition, ({ key, value }) => {
        if (key === null) return;
        const name = textHash(key.subarray(FRAME_BYTES).toString('latin1'));
        const event = value === null ? null : this.#values.decode(value);
        if (event === null || !this.#isCompared(event)) table.remove(name);
        else table.put(name, event.event_id, textHash(rowText(eventRow(event))));
      });
      for (const [id, hash] of table.live()) this.#hashes.add(id, hash);
    }
  }

  rangeSums(): Map<bigint, RangeSum> {
    return this.#hashes.rangeSums();
  }

  async rowHashes(ranges: readonly bigint[]): Promise<ReadonlyMap<bigint, bigint>> {
    return this.#hashes.rowHashes(ranges);
  }

  /** Reads the topic once more for the first rows that are asked for. */
  async rows(ids: readonly bigint[]): Promise<ReadonlyMap<bigint, Row | 'held'>> {
    const wanted = new Set(ids);
    const found = new Map<bigint, Row | 'held'>();
    if (this.#lookedUp) {
      const ranges = [...new Set(ids.map((id) => id / RANGE_ROWS))];
      for (const id of this.#hashes.rowHashes(ranges).keys()) if (wanted.has(id)) found.set(id, 'held');
      return found;
    }
    this.#lookedUp = true;
    const rows = new Map<string, Row>();
    for (const partition of this.#partitions()) {
      await this.#each(partition, ({ key, value }) => {
        if (key === null || !wanted.has(this.#keys.decode(key).event_id)) return;
        const name = key.subarray(FRAME_BYTES).toString('latin1');
        const event = value === null ? null : this.#values.decode(value);
        if (event === null || !this.#isCompared(event)) rows.delete(name);
        else rows.set(name, eventRow(event));
      });
    }
    for (const row of rows.values()) found.set(row.id, row);
    return found;
  }

  /** What was read does not change, and the log was waited for. */
  async settle(): Promise<boolean> {
    return false;
  }

  #isCompared(event: EngagementEvent): boolean {
    return event.event_ts >= this.#sinceMicros && isInScope(this.#options.scope, event);
  }

  async #each(partition: number, each: (record: LogRecord) => void): Promise<void> {
    const { client } = this.#options;
    const ends = new Map([[partition, this.#ends.get(partition) ?? 0n]]);
    await readTopic(client, { topic: EVENTS_V1, ends }, async ({ records }) => {
      await this.#values.prepare(records.map(({ value }) => value));
      await this.#keys.prepare(records.map(({ key }) => key));
      for (const record of records) each(record);
    });
  }

  #partitions(): readonly number[] {
    return Array.from({ length: this.#options.partitions }, (_, partition) => partition);
  }
}

function eventRow(event: EngagementEvent): Row {
  return {
    id: event.event_id,
    contentId: event.content_id,
    userId: event.user_id,
    eventType: event.event_type,
    eventMicros: BigInt(event.event_ts),
    durationMs: event.duration_ms ?? event.duration_ms_wide,
    device: event.device,
    slug: event.content_slug,
    title: event.content_title,
    contentType: event.content_type,
    lengthSeconds: event.content_length_seconds ?? event.content_length_seconds_wide,
    pctBp: event.engagement_pct_bp === null ? null : BigInt(event.engagement_pct_bp),
  };
}
