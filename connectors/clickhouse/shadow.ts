/**
 * Rebuilds everything that views feed from a log, beside the tables that are read, while the sink goes on writing:
 *
 *   begin ► stage (each row's present state, from its source) ► fill (shadows as of position n1) ► [ hold ► tail (n1 to n2) ► compare ► swap ] ► end
 *
 * Invariants:
 *  - `fill` reads the staged rows when the log's ranges below n1 have been staged over them: they are then the rows as of n1 exactly, whatever
 *    the source had seen beyond. From there the signed log is exact, for sums too.
 *  - Readers see a table as it was or as it was rebuilt, whole (EXCHANGE TABLES, REPLACE PARTITION), and both stand at n2.
 * Before the swap nothing that readers see has changed; a run that dies leaves tables that the next one drops.
 *
 * Of a log of *versions* (absolute values, the greatest offset of a row counts) the staged states are versions like those of the log, with their
 * own offsets: laid over one another in any order, and twice, they are the same rows. So there the source may be ahead of the sink, which may
 * be stopped: what it writes later is there already.
 */
import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { SluiceError } from '../../engine/errors.ts';
import { selectRows } from './client.ts';
import { type Feed, feedsOf } from './feeds.ts';
import { endHold, holdsOf, LEASE_MS, placeHold, shadowName, shadowsOf } from './hold.ts';

/** Whether the rows of a log are contributions with a sign, or versions. */
export type LogKind = 'signed' | 'versions';

export interface ShadowOptions {
  /** The log that the views read. */
  readonly log: string;
  /** `signed` if not given. */
  readonly kind?: LogKind;
  /** Of a signed log: columns that name a row of the source. */
  readonly key: readonly string[];
  /** Of a signed log: column of the event's time, by whose month the tables are partitioned. */
  readonly time: string;
  /** `pipeline` and `topic` of the sink's rows in `sluice_progress`. */
  readonly pipeline: string;
  readonly topic: string;
  /** Letters and digits; names the shadows and the hold. */
  readonly run: string;
  readonly leaseMs?: number;
}

/** Next offset by partition: everything below is in every table. */
export type Position = ReadonlyMap<number, bigint>;

/** Whole months, `to` not included; null for all there is. */
export type Months = { readonly from: Date; readonly to: Date } | null;

/** How a table differs from its shadow, in rows of their sorting key. */
export interface TableDifference {
  readonly table: string;
  /** Only in the rebuilt table. */
  readonly missing: number;
  /** Only in the present table. */
  readonly extra: number;
  readonly changed: number;
}

const STAGED = 'staged';
const LONG_QUERY = {
  max_partitions_per_insert_block: '0',
  // Groups of millions of cells go to disk rather than over the server's memory limit.
  max_bytes_before_external_group_by: '150000000',
  max_bytes_before_external_sort: '150000000',
} as const;
const VERSION = 'bitOr(bitShiftLeft(toUInt64(generation), 48), source_offset * 2 + if(sign > 0, 1, 0))';

export class ShadowBuild {
  readonly #client: ClickHouseClient;
  readonly #options: ShadowOptions;
  #feeds: readonly Feed[] = [];

  constructor(client: ClickHouseClient, options: ShadowOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Tables that are rebuilt. */
  get tables(): readonly string[] {
    return this.#feeds.map(({ target }) => target);
  }

  /** Makes the empty tables of this run; what another left is dropped and its hold lifted, so that of two runs the older fails. */
  async begin(): Promise<void> {
    const { log, key, leaseMs = LEASE_MS } = this.#options;
    this.#feeds = await feedsOf(this.#client, log);
    for (const { run } of await holdsOf(this.#client, log)) {
      await endHold(this.#client, log, { run, keepShadows: false, leaseMs });
    }
    for (const name of await shadowsOf(this.#client, null)) await this.#command(`DROP TABLE IF EXISTS ${name} SYNC`);
    // Without months: an event that was moved to another one is one row here.
    const staged = this.#versions
      ? `MergeTree ORDER BY (source_partition, source_offset) EMPTY AS SELECT * FROM ${log}`
      : `ReplacingMergeTree(version, is_deleted) ORDER BY (${key.join(', ')})
       EMPTY AS SELECT *, ${VERSION} AS version, toUInt8(sign < 0) AS is_deleted FROM ${log}`;
    await this.#command(`CREATE TABLE ${this.#staged} ENGINE = ${staged}`);
    for (const { target } of this.#feeds) await this.#command(`CREATE TABLE ${this.#shadow(target)} AS ${target}`);
  }

  /**
   * Adds present states, in TabSeparated. `columns` are of the log; of a signed one also `version` (below 2^48: older than anything in the log)
   * and `is_deleted`: of two states of a row the one with the greater version counts.
   */
  async stage(columns: readonly string[], text: string): Promise<void> {
    const query = `INSERT INTO ${this.#staged} (${columns.join(', ')}) FORMAT TabSeparated`;
    const result = await this.#client.exec({
      query,
      values: Readable.from([Buffer.from(text)], { objectMode: false }),
      clickhouse_settings: { async_insert: 0, wait_end_of_query: 1, input_format_parallel_parsing: 0 },
    });
    result.stream.resume();
    await new Promise<void>((resolve, reject) => result.stream.once('close', resolve).once('error', reject));
  }

  /** How far every table is written. */
  async written(): Promise<Position> {
    const { pipeline, topic } = this.#options;
    const rows = await selectRows<{ partition: number; next: string }>(
      this.#client,
      `SELECT partition, next_offset AS next FROM sluice_progress FINAL
       WHERE pipeline = {pipeline:String} AND topic = {topic:String}`,
      { pipeline, topic },
    );
    return new Map(rows.map(({ partition, next }) => [partition, BigInt(next)]));
  }

  /** Stages the log's ranges over what is staged: afterwards it is as of `to`, if it held all that came before `from`. */
  async stageLog(from: Position, to: Position): Promise<void> {
    const { log } = this.#options;
    const rows = this.#versions ? '*' : `*, ${VERSION}, sign < 0`;
    await this.#command(`INSERT INTO ${this.#staged} SELECT ${rows} FROM ${log} WHERE ${within(from, to)}`);
  }

  /** Fills the shadows with what is staged. Throws CLICKHOUSE_REBUILD_REFUSED (fatal) for months of a log of versions. */
  async fill(months: Months): Promise<void> {
    if (this.#versions && months !== null) {
      throw new SluiceError(`What is fed from ${this.#options.log} is rebuilt as a whole`, {
        code: 'CLICKHOUSE_REBUILD_REFUSED',
        action: 'fatal',
      });
    }
    // A week belongs to the month it begins in: its other days are needed too.
    const { time } = this.#options;
    const where =
      months === null ? '' : `WHERE ${time} >= ${dateTime(months.from, -7)} AND ${time} < ${dateTime(months.to, 7)}`;
    const rows = this.#versions
      ? `(SELECT * FROM ${this.#staged})`
      : `(SELECT * EXCEPT (version, is_deleted) FROM ${this.#staged} FINAL ${where})`;
    for (const { target, selectFrom } of this.#feeds) {
      await this.#command(`INSERT INTO ${this.#shadow(target)} ${selectFrom(rows)}`);
    }
    await this.#command(`DROP TABLE ${this.#staged} SYNC`);
  }

  /**
   * Holds the sink back, brings the shadows from `filled` to where the tables stand, and hands over to `work`. Null when the sink was in the
   * middle of a range of a signed log, which nobody but it can finish: let it go on, and call again. The hold is over when this returns.
   */
  async held<T>(filled: Position, seconds: number, work: () => Promise<T>): Promise<{ readonly result: T } | null> {
    const { log, run, leaseMs = LEASE_MS } = this.#options;
    await placeHold(this.#client, log, { run, seconds, leaseMs });
    let unfinished = true;
    try {
      const written = await this.written();
      unfinished = !this.#versions && (await this.#isUnfinished(written));
      if (unfinished) return null;
      for (const { target, selectFrom } of this.#feeds) {
        const tail = `(SELECT * FROM ${log} WHERE ${within(filled, written)})`;
        await this.#command(`INSERT INTO ${this.#shadow(target)} ${selectFrom(tail)}`);
      }
      return { result: await work() };
    } finally {
      await endHold(this.#client, log, { run, keepShadows: unfinished, leaseMs });
    }
  }

  /** Inside `held`: the rebuilt tables take the place of the present ones. */
  async swap(months: Months): Promise<void> {
    for (const { target, partitionKey } of this.#feeds) {
      const shadow = this.#shadow(target);
      if (months === null) await this.#command(`EXCHANGE TABLES ${target} AND ${shadow}`);
      else if (partitionKey !== '') {
        const rebuilt = await this.#partitionsOf(shadow);
        const present = await this.#partitionsOf(target);
        for (const month of monthsOf(months).filter((one) => rebuilt.has(one) || present.has(one))) {
          // From an empty partition the server may refuse to replace.
          const change = rebuilt.has(month)
            ? `REPLACE PARTITION ID '${month}' FROM ${shadow}`
            : `DROP PARTITION ID '${month}'`;
          await this.#command(`ALTER TABLE ${target} ${change}`);
        }
      }
    }
  }

  /** Inside `held`, of versions: says of the position that the sink has reached that it was written now. */
  async renewProgress(): Promise<void> {
    const { pipeline, topic } = this.#options;
    const columns = 'pipeline, topic, partition, generation, next_offset, lsn, stream_time';
    await this.#client.command({
      query: `INSERT INTO sluice_progress (${columns}) SELECT ${columns} FROM sluice_progress FINAL
        WHERE pipeline = {pipeline:String} AND topic = {topic:String}`,
      query_params: { pipeline, topic },
    });
  }

  /** Inside `held`: what a swap would change. */
  async compare(months: Months): Promise<readonly TableDifference[]> {
    const differences: TableDifference[] = [];
    for (const feed of this.#feeds) {
      if (months !== null && feed.partitionKey === '') continue;
      differences.push(await this.#difference(feed, months));
    }
    return differences;
  }

  /** Drops what this run made, and lifts its hold if one lies there. */
  async end(): Promise<void> {
    const { log, run, leaseMs = LEASE_MS } = this.#options;
    await endHold(this.#client, log, { run, keepShadows: false, leaseMs });
  }

  async #difference({ target, sortingKey }: Feed, months: Months): Promise<TableDifference> {
    const columns = await selectRows<{ name: string; type: string }>(
      this.#client,
      'SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {target:String} ORDER BY position',
      { target },
    );
    const keys = sortingKey.split(',').map((name) => name.trim());
    const values = columns.filter(({ name }) => !keys.includes(name) && name !== 'version' && name !== 'is_deleted');
    const sums = columns.filter(({ type }) => type.startsWith('SimpleAggregateFunction(sum'));
    const conditions = [
      // A group that has gone empty is no row to a reader.
      ...(sums.length === 0 ? [] : [`(${sums.map(({ name }) => `${name} != 0`).join(' OR ')})`]),
      ...(months === null
        ? []
        : [
            `_partition_id IN (${monthsOf(months)
              .map((month) => `'${month}'`)
              .join(', ')})`,
          ]),
    ];
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    const side = (table: string, number: number) =>
      `SELECT tuple(${keys.join(', ')}) AS k, sipHash64(toString(tuple(${values.map(({ name }) => name).join(', ')}))) AS h, ${number} AS side
       FROM ${table} FINAL ${where}`;
    const [row] = await selectRows<{ missing: string; extra: string; changed: string }>(
      this.#client,
      `SELECT countIf(s = 2) AS missing, countIf(s = 1) AS extra, countIf(s = 3 AND hashes > 1) AS changed FROM (
         SELECT groupBitOr(toUInt8(side)) AS s, uniqExact(h) AS hashes
         FROM (${side(target, 1)} UNION ALL ${side(this.#shadow(target), 2)}) GROUP BY k
       ) SETTINGS max_bytes_before_external_group_by = 150000000`,
    );
    const { missing, extra, changed } = row!;
    return { table: target, missing: Number(missing), extra: Number(extra), changed: Number(changed) };
  }

  /** Rows of a range that the progress table does not cover: perhaps in some tables and not in others. */
  async #isUnfinished(written: Position): Promise<boolean> {
    const { log } = this.#options;
    const beyond = [...written].map(
      ([partition, next]) => `(source_partition = ${partition} AND source_offset >= ${next})`,
    );
    const others = `source_partition NOT IN (${[...written.keys(), 65_535].join(', ')})`;
    const rows = await selectRows(
      this.#client,
      `SELECT 1 FROM ${log} WHERE ${[...beyond, others].join(' OR ')} LIMIT 1`,
    );
    return rows.length > 0;
  }

  async #partitionsOf(table: string): Promise<ReadonlySet<string>> {
    const rows = await selectRows<{ id: string }>(
      this.#client,
      'SELECT DISTINCT partition_id AS id FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active',
      { table },
    );
    return new Set(rows.map(({ id }) => id));
  }

  get #versions(): boolean {
    return this.#options.kind === 'versions';
  }

  get #staged(): string {
    return this.#shadow(STAGED);
  }

  #shadow(table: string): string {
    return shadowName(table, this.#options.run);
  }

  async #command(query: string): Promise<void> {
    await this.#client.command({ query, clickhouse_settings: LONG_QUERY });
  }
}

/** Partitions that `from` does not name are taken from their beginning. */
function within(from: Position, to: Position): string {
  const ranges = [...to].map(
    ([partition, next]) =>
      `(source_partition = ${partition} AND source_offset >= ${from.get(partition) ?? 0n} AND source_offset < ${next})`,
  );
  return ranges.length === 0 ? '0' : ranges.join(' OR ');
}

const DAY_MS = 86_400_000;

function dateTime(date: Date, days: number): string {
  return `fromUnixTimestamp64Milli(toInt64(${Math.max(0, date.getTime() + days * DAY_MS)}), 'UTC')`;
}

/** Ids of the partitions, `yyyymm`. Throws CLICKHOUSE_REBUILD_REFUSED (fatal) for an absurd number of them. */
function monthsOf({ from, to }: NonNullable<Months>): readonly string[] {
  const months: string[] = [];
  for (let at = new Date(from); at < to; at = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1))) {
    months.push(`${at.getUTCFullYear()}${String(at.getUTCMonth() + 1).padStart(2, '0')}`);
    if (months.length > 1_200) {
      throw new SluiceError('More than a hundred years of months: leave the range out to rebuild everything', {
        code: 'CLICKHOUSE_REBUILD_REFUSED',
        action: 'fatal',
      });
    }
  }
  return months;
}
