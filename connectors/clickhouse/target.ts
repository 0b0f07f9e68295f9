/** What a ClickHouse sink knows about its target: the statements that ask and the ones that write. */
import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import type { TopicPartition } from '../../engine/sink.ts';
import { selectRows } from './client.ts';
import { clickHouseError } from './errors.ts';
import { endOverdueHold } from './hold.ts';
import { DEDUPLICATION_WINDOW } from './render.ts';
import { millisCell } from './tab-separated.ts';

/** How far the target says that a partition is written: the newest row of `sluice_progress`. */
export interface Progress {
  readonly generation: number;
  readonly nextOffset: bigint;
  readonly lsn: bigint;
  readonly streamTimeMs: number;
}

/** Rows of one reading of the topic that are already in the asked range. */
export interface Present {
  readonly generation: number;
  readonly rows: number;
  readonly sinceMs: number;
}

export interface Inspection {
  readonly progress: Progress | null;
  readonly present: readonly Present[];
  /** An earlier reading of the topic has written rows in the range or beyond it. */
  readonly earlierAhead: boolean;
  readonly serverTimeMs: number;
}

export interface OffsetRange {
  readonly from: bigint;
  readonly to: bigint;
}

export interface TargetTable {
  readonly table: string;
  /** Every column of an insert, in its order. */
  readonly columns: readonly string[];
  /** Int8 column that tells the rows of one record apart. */
  readonly partColumn: string;
}

const INSERT_SETTINGS = {
  // The answer must mean "it is there", in every table that the rows feed.
  async_insert: 0,
  wait_end_of_query: 1,
  distributed_foreground_insert: 1,
  materialized_views_ignore_errors: 0,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  insert_deduplicate: 1,
  // One block per insert: the token names the whole batch, and every month in it becomes one part.
  max_insert_block_size: '10000000',
  min_insert_block_size_rows: '10000000',
  min_insert_block_size_bytes: '0',
  input_format_parallel_parsing: 0,
  // Merges build them: a young part is small, and is read without.
  materialize_skip_indexes_on_insert: 0,
  // Late events and replays touch any number of months.
  max_partitions_per_insert_block: '0',
} as const;

const range =
  'source_partition = {partition:UInt16} AND source_offset >= {from:UInt64} AND source_offset < {to:UInt64}';

/** All statements of one sink on one table. Every method throws as `clickHouseError`. */
export class ClickHouseTarget {
  readonly #client: ClickHouseClient;
  readonly #pipeline: string;
  readonly #target: TargetTable;
  readonly #settings: Readonly<Record<string, string | number>>;

  constructor(
    client: ClickHouseClient,
    options: {
      readonly pipeline: string;
      readonly target: TargetTable;
      readonly settings: Readonly<Record<string, string | number>>;
    },
  ) {
    this.#client = client;
    this.#pipeline = options.pipeline;
    this.#target = options.target;
    this.#settings = options.settings;
  }

  /** Throws when the server cannot be reached or a table is missing. */
  async check(): Promise<void> {
    const columns = this.#target.columns.join(', ');
    await this.#attempt(`find ${this.#target.table} and sluice_progress`, async () => {
      await selectRows(this.#client, `SELECT ${columns} FROM ${this.#target.table} LIMIT 0`);
      await selectRows(this.#client, 'SELECT next_offset FROM sluice_progress LIMIT 0');
    });
  }

  /** Whether the target holds anything at all of a partition. */
  async isEmpty(at: TopicPartition): Promise<boolean> {
    const { progress } = await this.inspect(at, { from: 0n, to: 0n, generation: 0 });
    if (progress !== null) return false;
    const rows = await this.#attempt(`look for rows of partition ${at.partition}`, () =>
      selectRows(
        this.#client,
        `SELECT 1 AS found FROM ${this.#target.table} WHERE source_partition = {partition:UInt16} LIMIT 1`,
        {
          partition: at.partition,
        },
      ),
    );
    return rows.length === 0;
  }

  /** One look at the partition: how far it is written, and which rows of the range are there. */
  async inspect(
    at: TopicPartition,
    { from, to, generation }: OffsetRange & { readonly generation: number },
  ): Promise<Inspection> {
    interface Row {
      readonly kind: 'progress' | 'present' | 'earlier' | 'clock';
      readonly generation: number;
      readonly count: string;
      readonly lsn: string;
      readonly time_ms: string;
      readonly server_ms: string;
    }
    const query = `
      SELECT 'progress' AS kind, generation, next_offset AS count, lsn, toUnixTimestamp64Milli(stream_time) AS time_ms,
        toUnixTimestamp64Milli(now64(3)) AS server_ms
      FROM sluice_progress FINAL
      WHERE pipeline = {pipeline:String} AND topic = {topic:String} AND partition = {partition:UInt16}
      UNION ALL
      SELECT 'present', generation, count(), 0, toUnixTimestamp64Milli(min(inserted_at)), toUnixTimestamp64Milli(now64(3))
      FROM ${this.#target.table} WHERE ${range} GROUP BY generation
      UNION ALL
      SELECT 'earlier', generation, 1, 0, 0, toUnixTimestamp64Milli(now64(3))
      FROM (
        SELECT generation FROM ${this.#target.table}
        WHERE source_partition = {partition:UInt16} AND source_offset >= {from:UInt64} AND generation < {generation:UInt32}
        LIMIT 1
      )
      UNION ALL
      SELECT 'clock', 0, 0, 0, 0, toUnixTimestamp64Milli(now64(3))`;
    const rows = await this.#attempt(`ask what of partition ${at.partition} is there`, () =>
      selectRows<Row>(this.#client, query, {
        pipeline: this.#pipeline,
        topic: at.topic,
        partition: at.partition,
        from: String(from),
        to: String(to),
        generation,
      }),
    );
    const stamp = rows.find((row) => row.kind === 'progress');
    return {
      serverTimeMs: Number(rows[0]!.server_ms),
      progress:
        stamp === undefined
          ? null
          : {
              generation: stamp.generation,
              nextOffset: BigInt(stamp.count),
              lsn: BigInt(stamp.lsn),
              streamTimeMs: Number(stamp.time_ms),
            },
      earlierAhead: rows.some((row) => row.kind === 'earlier'),
      present: rows
        .filter((row) => row.kind === 'present')
        .map((row) => ({ generation: row.generation, rows: Number(row.count), sinceMs: Number(row.time_ms) })),
    };
  }

  /** The rows in the range that an earlier reading wrote, as `offset/part`. */
  async rowsOfEarlierReadings(
    at: TopicPartition,
    { from, to, generation }: OffsetRange & { readonly generation: number },
  ): Promise<ReadonlySet<string>> {
    const query = `SELECT DISTINCT source_offset AS offset, ${this.#target.partColumn} AS part
      FROM ${this.#target.table} WHERE ${range} AND generation < {generation:UInt32}`;
    const rows = await this.#attempt(`list what of partition ${at.partition} is there`, () =>
      selectRows<{ offset: string; part: number }>(this.#client, query, {
        partition: at.partition,
        from: String(from),
        to: String(to),
        generation,
      }),
    );
    return new Set(rows.map((row) => `${row.offset}/${row.part}`));
  }

  /**
   * Whether the server may have forgotten a token that it saw at `sinceMs`: rows of one insert share their time of
   * insertion, so the distinct ones since then count the blocks that came after.
   */
  async tokensForgottenSince(sinceMs: number): Promise<boolean> {
    const query = `SELECT uniqExact(inserted_at, source_partition, _partition_id) AS blocks
      FROM ${this.#target.table} WHERE inserted_at >= fromUnixTimestamp64Milli({since:Int64})`;
    const rows = await this.#attempt('count the inserts since', () =>
      selectRows<{ blocks: string }>(this.#client, query, { since: String(sinceMs) }),
    );
    // A table that is fed by a view may have cut a block in two (a week that began in another month).
    return Number(rows[0]!.blocks) * 2 >= DEDUPLICATION_WINDOW;
  }

  /** Inserts a block (`NativeBlock`). A hold of a rebuild whose time is over is ended here: nobody else may be left to do it. */
  async insert(block: Buffer, { token, leaseMs }: { readonly token: string; readonly leaseMs: number }): Promise<void> {
    const { table, columns } = this.#target;
    const query = `INSERT INTO ${table} (${columns.join(', ')}) FORMAT Native`;
    await this.#attempt(`insert ${token} into ${table}`, async () => {
      try {
        await this.#send(query, block, { ...INSERT_SETTINGS, insert_deduplication_token: token });
      } catch (error) {
        if (clickHouseError(error, '').code === 'CLICKHOUSE_HELD') await endOverdueHold(this.#client, table, leaseMs);
        throw error;
      }
    });
  }

  async writeProgress(at: TopicPartition, progress: Progress): Promise<void> {
    const query =
      'INSERT INTO sluice_progress (pipeline, topic, partition, generation, next_offset, lsn, stream_time) FORMAT TabSeparated';
    const { generation, nextOffset, lsn, streamTimeMs } = progress;
    const place = `${this.#pipeline}\t${at.topic}\t${at.partition}`;
    const text = `${place}\t${generation}\t${nextOffset}\t${lsn}\t${millisCell(streamTimeMs)}\n`;
    await this.#attempt(`write the progress of partition ${at.partition}`, () =>
      this.#send(query, Buffer.from(text), { async_insert: 0, distributed_foreground_insert: 1 }),
    );
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** The body as one buffer: the library would re-encode rows that are built already. */
  async #send(query: string, body: Buffer, settings: Readonly<Record<string, string | number>>): Promise<void> {
    const result = await this.#client.exec({
      query,
      values: Readable.from([body], { objectMode: false }),
      clickhouse_settings: { ...settings, ...this.#settings },
    });
    result.stream.resume();
    await new Promise<void>((resolve, reject) => result.stream.once('close', resolve).once('error', reject));
  }

  async #attempt<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw clickHouseError(error, doing);
    }
  }
}
