/**
 * Rows that a pipeline holds in a range and Postgres does not: deleted, moved under another key, or changed out of the range while nobody
 * listened. A snapshot cannot bring what is not there, so they are told by operator records.
 *
 * Invariant: no row that Postgres has is taken off. Whether a row is there is asked of a snapshot whose position in the captured topic
 * is known from before it was taken; what is behind that position in the topic wins over the record (operator-record.ts).
 */
import type { KafkaOptions } from '../../../connectors/kafka/cluster.ts';
import { PostgresPool, type Sql } from '../../../connectors/postgres/pool.ts';
import type { LogClient, LogRecord } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';
import type { NewestSchemas, OperatorRow } from '../../capture/operator-envelope.ts';
import { type ToldRow, tellTruth } from '../tell-truth.ts';
import type { ClockTopic } from './capture-watch.ts';
import type { RowRange } from './condition.ts';
import { untilStagePassed, untilStageRead } from './stage-wait.ts';

/** What a pipeline says of the rows that it holds. `Row` is what its topic says of one. */
export interface HeldRows<Row> {
  /** The stage that keeps them, and the captured topic that it reads. */
  readonly stage: string;
  readonly captured: string;
  /** Compacted topic with the present state of each row, in the partition of its captured record. */
  readonly topic: string;
  /** Of Postgres, as SQL names it. */
  readonly table: string;
  /** Columns that name a row in the topics. */
  readonly key: readonly string[];
  /** Columns that name it in Postgres: `key`, but where a row may come under another key. */
  readonly identity: readonly string[];
  /** Columns of `r` as the captured topic shows them, in SQL. */
  readonly select: string;
  /** Loads the schemas that records name. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  /** What a record says of its row, null that it is gone; undefined for a record of no row. */
  readonly state: (record: LogRecord) => { readonly name: string; readonly row: Row | null } | undefined;
  /** Whether a row may be in the range: all but its SQL condition, which only Postgres can tell. */
  readonly mayBeIn: (range: RowRange, row: Row) => boolean;
  readonly columns: (row: Row) => OperatorRow;
  /** Where a row belongs; `held` is the partition in which its state was found. */
  readonly partition: (row: OperatorRow, held: number, partitions: number) => number;
}

export interface StraysOptions {
  readonly postgresUrl: string;
  readonly kafka: KafkaOptions;
  readonly log: LogClient;
  readonly schemas: NewestSchemas;
  readonly clock: ClockTopic;
  readonly runId: string;
  readonly range: RowRange;
  /** The range as SQL; null for all rows. */
  readonly condition: string | null;
  readonly signal: AbortSignal;
  readonly report: (rowsLookedAt: number) => void;
}

export interface StraysFound {
  readonly looked: number;
  /** Taken off: Postgres has them no more, or under another key. */
  readonly retracted: number;
  /** Told anew: Postgres has them, but they have left the range. */
  readonly restored: number;
}

/** Strays in memory; more are written in between. */
const MAX_HELD = 20_000;

/** Finds them and writes what is true of them. Resolves when the stage has read it. Throws as `untilStagePassed`. */
export async function correctStrays<Row>(held: HeldRows<Row>, options: StraysOptions): Promise<StraysFound> {
  const pool = new PostgresPool({ url: options.postgresUrl, applicationName: 'sluice-backfill', maxConnections: 2 });
  try {
    return await new Strays(held, options, pool).correct();
  } finally {
    await pool.close();
  }
}

interface Stray<Row> {
  readonly row: Row;
  readonly partition: number;
}

class Strays<Row> {
  readonly #of: HeldRows<Row>;
  readonly #options: StraysOptions;
  readonly #pool: PostgresPool;
  readonly #held = new Map<string, Stray<Row>>();
  #looked = 0;
  #retracted = 0;
  #restored = 0;

  constructor(of: HeldRows<Row>, options: StraysOptions, pool: PostgresPool) {
    this.#of = of;
    this.#options = options;
    this.#pool = pool;
  }

  async correct(): Promise<StraysFound> {
    const { log, clock, signal } = this.#options;
    const { topic, stage, captured } = this.#of;
    const wait = { log, stage, captured, signal };
    const partitions = Array.from({ length: await log.partitions(topic) }, (_, partition) => partition);
    // Until the topic holds what was read again, and all else from before this call.
    await untilStagePassed({ pool: this.#pool, clock }, wait);
    const ends = await log.offsets(topic, partitions, 'lastStable');
    await readTopic(log, { topic, ends }, async ({ records }, partition) => {
      signal.throwIfAborted();
      await this.#look(records, partition);
      if (this.#held.size >= MAX_HELD) await this.#tell();
    });
    await this.#tell();
    await untilStageRead(wait);
    return { looked: this.#looked, retracted: this.#retracted, restored: this.#restored };
  }

  /** What the topic has said of each row last, and whether Postgres has it now: what it has now was not missed. */
  async #look(records: readonly LogRecord[], partition: number): Promise<void> {
    await this.#of.prepare(records);
    const newest = new Map<string, Row>();
    for (const record of records) {
      const state = this.#of.state(record);
      if (state === undefined) continue;
      const { name, row } = state;
      newest.delete(name);
      this.#held.delete(name);
      if (row !== null && this.#of.mayBeIn(this.#options.range, row)) newest.set(name, row);
    }
    this.#looked += newest.size;
    this.#options.report(this.#looked);
    if (newest.size === 0) return;
    const names = [...newest.keys()];
    for (const index of await this.#missing([...newest.values()])) {
      const name = names[index]!;
      this.#held.set(name, { row: newest.get(name)!, partition });
    }
  }

  /** Places in the list of those that are in the range as they are held, and not in Postgres's. */
  async #missing(rows: readonly Row[]): Promise<readonly number[]> {
    const condition = this.#options.condition ?? 'true';
    const { table, key } = this.#of;
    // Inside the subquery the condition is about r, outside about the row that is held.
    const found = await this.#pool.query<{ n: bigint }>(
      `SELECT held.ordinality AS n FROM ${recordset(table)} AS held
       WHERE (${condition}) AND NOT EXISTS (SELECT FROM ${table} r WHERE ${joined(key)} AND (${condition}))`,
      [this.#json(rows)],
    );
    return found.rows.map(({ n }) => Number(n) - 1);
  }

  /** Writes what a snapshot says of the rows in hand. */
  async #tell(): Promise<void> {
    if (this.#held.size === 0) return;
    await tellTruth(
      { ...this.#options, topic: this.#of.captured, origin: 'backfill' },
      async (sql, partitions) => await this.#truth(sql, partitions),
    );
    this.#held.clear();
  }

  /** What is to be said of the rows in hand: that one is gone from its key, and how Postgres has it, if it does. */
  async #truth(sql: Sql, partitions: number): Promise<readonly ToldRow[]> {
    const { table, identity, key, select, columns, partition: partitionOf } = this.#of;
    const strays = [...this.#held.values()];
    const { rows: found } = await sql.query<OperatorRow & { held_n: bigint; held_same: boolean }>(
      `SELECT ${select}, held.ordinality AS held_n, (${joined(key)}) AS held_same
       FROM ${recordset(table)} AS held JOIN ${table} r ON ${joined(identity)}`,
      [this.#json(strays.map(({ row }) => row))],
    );
    const present = new Map(found.map((row) => [Number(row.held_n) - 1, row]));
    return strays.flatMap(({ row, partition }, index) => {
      const now = present.get(index);
      const gone = now?.held_same !== true;
      if (gone) this.#retracted++;
      if (now !== undefined) this.#restored++;
      return [
        ...(gone ? [{ op: 'delete' as const, row: columns(row), partition, force: false }] : []),
        ...(now === undefined
          ? []
          : [{ op: 'upsert' as const, row: now, partition: partitionOf(now, partition, partitions), force: false }]),
      ];
    });
  }

  #json(rows: readonly Row[]): string {
    const text = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);
    return JSON.stringify(rows.map(this.#of.columns), text);
  }
}

/** $1 as rows of the table, with their places in the list. */
const recordset = (table: string) => `jsonb_populate_recordset(NULL::${table}, $1::jsonb) WITH ORDINALITY`;

const joined = (columns: readonly string[]) => columns.map((name) => `r.${name} = held.${name}`).join(' AND ');
