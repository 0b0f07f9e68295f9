/**
 * ClickHouse as reconcile reads it: the tables that analysts query, and the signed log, by which what lies beyond the
 * snapshot is taken off. All hashes and sums are computed by the server.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import type { SourcePosition } from '../../operations/reconcile/report.ts';
import { MEASURES, measureSql, type Sums } from './measures.ts';
import { periodSql, type Rollup } from './period.ts';
import { type Row, type RowAnswer, toRow, wrapped } from './row.ts';
import { clickHouseScope, clickHouseScopeParams, type RowScope } from './scope.ts';
import { type Cell, type CellAnswer, cellKey, cellMap, nameText, RANGE_ROWS, type RangeSum } from './source.ts';

/** How far the sink has written a partition of `engagement.changes`. */
export interface Progress {
  readonly nextOffset: bigint;
  readonly lsn: bigint;
}

/** What the log knows of a row that changed beyond the snapshot. */
export interface TouchedRow {
  /** Hash of the row as of the snapshot; 0 when there was none. */
  readonly asOf: bigint;
  /** Hashes of what it became since. */
  readonly since: ReadonlySet<bigint>;
}

const US = 'toUnixTimestamp64Micro(event_ts)';
const IN_SCOPE = clickHouseScope(US);
const sized = (column: string) => `concat(toString(length(${column})), ':', ${column})`;

/** `rowText` of row.ts. */
const ROW_TEXT = `concatWithSeparator('|', toString(event_id), toString(content_id), toString(user_id), ${sized('event_type')},
  toString(${US}), ifNull(toString(duration_ms), '~'), ifNull(${sized('device')}, '~'), ${sized('content_slug')},
  ${sized('content_title')}, ${sized('content_type')}, ifNull(toString(content_length_seconds), '~'),
  ifNull(toString(engagement_pct_bp), '~'))`;

const hashed = (text: string) => `reinterpretAsUInt64(reverse(substring(MD5(${text}), 1, 8)))`;

/**
 * A change that the snapshot does not see. Transaction ids of the log have 32 bits, so they are compared in a circle;
 * the horizon keeps transactions of an earlier round out (nothing that was committed an hour before is invisible).
 */
const INVISIBLE = `(xid != 0 AND commit_ts >= fromUnixTimestamp64Milli({horizon:Int64})
  AND (bitAnd(toInt64(bitAnd(xid, 4294967295)) - {xmax:Int64} + 4294967296, 4294967295) < 2147483648
    OR has({in_progress:Array(Int64)}, toInt64(bitAnd(xid, 4294967295)))))`;

const HORIZON_MS = 3_600_000;
const LOW_32 = 0xffff_ffffn;

/** Groups of millions of cells go to disk rather than over the server's memory limit. */
const SETTINGS = 'SETTINGS max_bytes_before_external_group_by = 150000000';

/** About 250,000 rows are grouped one by one at a time. */
const RANGES_AT_ONCE = 16;

const MEASURE_SUMS = MEASURES.map((name) => `sum(${name})`);

export class Warehouse {
  readonly #client: ClickHouseClient;
  readonly #pipeline: string;
  readonly #topic: string;
  readonly #params: Readonly<Record<string, unknown>>;

  constructor(
    client: ClickHouseClient,
    options: {
      readonly pipeline: string;
      readonly topic: string;
      readonly position: SourcePosition;
      readonly since: Date | null;
      readonly scope: RowScope;
    },
  ) {
    this.#client = client;
    this.#pipeline = options.pipeline;
    this.#topic = options.topic;
    const { position, since, scope } = options;
    this.#params = {
      // Only whole periods can be compared.
      first: since === null ? 0 : Math.ceil(since.getTime() / 1_000),
      since: since === null ? '0' : String(BigInt(since.getTime()) * 1_000n),
      ...clickHouseScopeParams(scope),
      horizon: String(position.timeMs - HORIZON_MS),
      xmax: String(position.xmax & LOW_32),
      in_progress: position.inProgress.map((xid) => Number(xid & LOW_32)),
    };
  }

  async progress(): Promise<Map<number, Progress>> {
    const rows = await this.#select<{ partition: number; next_offset: string; lsn: string }>(
      'ask how far it is written',
      'SELECT partition, next_offset, lsn FROM sluice_freshness WHERE pipeline = {pipeline:String} AND topic = {topic:String}',
      { pipeline: this.#pipeline, topic: this.#topic },
    );
    return new Map(rows.map((row) => [row.partition, { nextOffset: BigInt(row.next_offset), lsn: BigInt(row.lsn) }]));
  }

  /** Whether contents were edited beyond the snapshot: see "Corrections" in docs/reconcile.md. */
  async hasInvisibleCorrections(): Promise<boolean> {
    const rows = await this.#select(
      'look for corrections',
      `SELECT 1 AS found FROM engagement_changes WHERE kind = 'correct' AND ${INVISIBLE} LIMIT 1`,
    );
    return rows.length > 0;
  }

  /** Whether the log is kept for ever: one with a TTL has forgotten what rows are made of. */
  async keepsLog(): Promise<boolean> {
    const rows = await this.#select(
      'ask how long the log is kept',
      `SELECT 1 AS found FROM system.tables
       WHERE database = currentDatabase() AND name = 'engagement_changes' AND position(engine_full, ' TTL ') > 0`,
    );
    return rows.length === 0;
  }

  /** Ids of the rows whose signed sum of changes is not the row as it is now, in order. */
  async unbalancedRows(): Promise<readonly bigint[]> {
    const ranges = await this.#unbalanced(`intDiv(event_id, ${RANGE_ROWS})`, IN_SCOPE, {});
    const ids: bigint[] = [];
    for (let at = 0; at < ranges.length; at += RANGES_AT_ONCE) {
      const inRanges = `${IN_SCOPE} AND intDiv(event_id, ${RANGE_ROWS}) IN ({ranges:Array(Int64)})`;
      ids.push(...(await this.#unbalanced('event_id', inRanges, { ranges: ranges.slice(at, at + RANGES_AT_ONCE) })));
    }
    return ids;
  }

  async #unbalanced(by: string, where: string, params: Readonly<Record<string, unknown>>): Promise<readonly bigint[]> {
    const hash = `toInt64(${hashed(ROW_TEXT)})`;
    const rows = await this.#select<{ group: string }>(
      'hold the log against the rows',
      `SELECT toString(by) AS group FROM (
         SELECT ${by} AS by, 1 AS n, ${hash} AS h FROM engagement_events WHERE ${where}
         UNION ALL SELECT ${by}, -sign, -sign * ${hash} FROM engagement_changes WHERE ${where})
       GROUP BY by HAVING sum(n) != 0 OR sum(h) != 0 ORDER BY by ${SETTINGS}`,
      params,
    );
    return rows.map(({ group }) => BigInt(group));
  }

  /** Rows and sum of hashes for each range of ids, of the rows as they are now. */
  async rangeSums(): Promise<Map<bigint, RangeSum>> {
    const rows = await this.#select<{ bucket: string; n: string; sum: string }>(
      'sum up the rows',
      `SELECT intDiv(event_id, ${RANGE_ROWS}) AS bucket, count() AS n, sum(${hashed(ROW_TEXT)}) AS sum
       FROM engagement_events WHERE ${IN_SCOPE} GROUP BY bucket ${SETTINGS}`,
    );
    return new Map(rows.map(({ bucket, n, sum }) => [BigInt(bucket), { rows: Number(n), sum: wrapped(sum) }]));
  }

  /** Hash by id of the rows in the ranges as they are now; two rows of one id give the sum. */
  async rowHashes(ranges: readonly bigint[]): Promise<Map<bigint, bigint>> {
    const rows = await this.#select<{ id: string; hash: string }>(
      'read rows',
      `SELECT event_id AS id, sum(${hashed(ROW_TEXT)}) AS hash FROM engagement_events
       WHERE ${IN_SCOPE} AND intDiv(event_id, ${RANGE_ROWS}) IN ({ranges:Array(Int64)}) GROUP BY id ${SETTINGS}`,
      { ranges },
    );
    return new Map(rows.map(({ id, hash }) => [BigInt(id), wrapped(hash)]));
  }

  async rows(ids: readonly bigint[]): Promise<Map<bigint, Row>> {
    const rows = await this.#select<RowAnswer>(
      'read rows',
      `SELECT toString(event_id) AS id, toString(content_id) AS content_id, toString(user_id) AS user_id, event_type,
         toString(${US}) AS us, duration_ms, device, content_slug AS slug, content_title AS title, content_type,
         content_length_seconds AS length_seconds, toString(engagement_pct_bp) AS pct
       FROM engagement_events WHERE event_id IN ({ids:Array(Int64)})`,
      { ids },
    );
    return new Map(rows.map((answer) => [BigInt(answer.id), toRow(answer)]));
  }

  /** The rows in the ranges that changed beyond the snapshot. Signed sums of hashes are the hash of what is left. */
  async touchedRows(ranges: readonly bigint[]): Promise<Map<bigint, TouchedRow>> {
    const inRanges = `intDiv(event_id, ${RANGE_ROWS}) IN ({ranges:Array(Int64)})`;
    const rows = await this.#select<{ id: string; as_of: string; since: readonly string[] }>(
      'roll rows back',
      `SELECT event_id AS id, sum(if(${INVISIBLE} OR NOT ${IN_SCOPE}, 0, sign * toInt64(${hashed(ROW_TEXT)}))) AS as_of,
         arrayMap(h -> toString(h), groupUniqArrayIf(${hashed(ROW_TEXT)}, sign > 0 AND ${INVISIBLE})) AS since
       FROM engagement_changes WHERE ${inRanges}
         AND event_id IN (SELECT event_id FROM engagement_changes WHERE ${inRanges} AND ${INVISIBLE})
       GROUP BY id ${SETTINGS}`,
      { ranges },
    );
    return new Map(
      rows.map(({ id, as_of, since }) => [BigInt(id), { asOf: wrapped(as_of), since: new Set(since.map(BigInt)) }]),
    );
  }

  /** Cells and sum of their hashes for each period: the view, less what lies beyond the snapshot. */
  async periodSums(rollup: Rollup): Promise<Map<bigint, RangeSum>> {
    const totals = MEASURES.map((_, index) => `sum(m${index}) AS t${index}`);
    const names = MEASURES.map((_, index) => `toString(t${index})`);
    const measures = measureSql('clickhouse', { pct: 'engagement_pct_bp', sign: '-sign' });
    const text = `concatWithSeparator('|', toString(content_id), ${sized('content_type')}, ifNull(${sized('device')}, '~'), ${names.join(', ')})`;
    const rows = await this.#select<{ period: string; n: string; sum: string }>(
      `sum up ${rollup.view}`,
      `SELECT period, count() AS n, sum(${hashed(text)}) AS sum FROM (
         SELECT period, content_id, content_type, device, ${totals.join(', ')} FROM (
           SELECT ${rollup.viewSeconds} AS period, content_id, content_type, device,
             ${MEASURES.map((name, index) => `${name} AS m${index}`).join(', ')}
           FROM ${rollup.view} WHERE period >= {first:Int64}
           UNION ALL
           SELECT ${periodSql(rollup, 'clickhouse', US)} AS period, content_id, content_type, device,
             ${measures.map((sql, index) => `${sql} AS m${index}`).join(', ')}
           FROM engagement_changes WHERE ${INVISIBLE} AND period >= {first:Int64}
           GROUP BY period, content_id, content_type, device)
         GROUP BY period, content_id, content_type, device
         HAVING ${MEASURES.map((_, index) => `t${index} != 0`).join(' OR ')})
       GROUP BY period ${SETTINGS}`,
    );
    return new Map(rows.map(({ period, n, sum }) => [BigInt(period), { rows: Number(n), sum: wrapped(sum) }]));
  }

  /** The view's cells of some periods as they are now. */
  async cells(rollup: Rollup, periods: readonly bigint[]): Promise<Map<string, { cell: Cell; sums: Sums }>> {
    const rows = await this.#select<CellAnswer>(
      `read ${rollup.view}`,
      `SELECT toString(${rollup.viewSeconds}) AS period, toString(content_id) AS content_id, content_type, device,
         arrayMap(v -> toString(v), [${MEASURE_SUMS.join(', ')}]) AS sums
       FROM ${rollup.view} WHERE ${rollup.viewSeconds} IN ({periods:Array(Int64)})
       GROUP BY period, content_id, content_type, device ${SETTINGS}`,
      { periods },
    );
    return cellMap(rows);
  }

  /**
   * For each cell that changed beyond the snapshot, the running totals of that: first of all that was written when
   * `written` was asked, then after every later change. The view shows one of them.
   */
  async cellSteps(
    rollup: Rollup,
    periods: readonly bigint[],
    written: ReadonlyMap<number, Progress>,
  ): Promise<Map<string, { cell: Cell; totals: Sums[] }>> {
    const offsets = offsetsParams(written);
    const rows = await this.#select<CellAnswer & { readonly step: string }>(
      'roll cells back',
      `SELECT toString(${periodSql(rollup, 'clickhouse', US)}) AS period, toString(content_id) AS content_id, content_type, device,
         if(source_offset < ${BOUND}, 0, source_offset + 1) AS step,
         arrayMap(v -> toString(v), [${measureSql('clickhouse', { pct: 'engagement_pct_bp', sign: 'sign' }).join(', ')}]) AS sums
       FROM engagement_changes
       WHERE ${INVISIBLE} AND ${periodSql(rollup, 'clickhouse', US)} IN ({periods:Array(Int64)})
       GROUP BY period, content_id, content_type, device, step ORDER BY step ${SETTINGS}`,
      { periods, ...offsets },
    );
    const steps = new Map<string, { cell: Cell; totals: Sums[] }>();
    for (const answer of rows) {
      const { content_id: contentId, content_type: contentType, device } = answer;
      const cell = { period: BigInt(answer.period), contentId, contentType, device };
      const key = cellKey(cell);
      let found = steps.get(key);
      const zero = MEASURES.map(() => 0n);
      if (found === undefined) {
        found = { cell, totals: [] };
        steps.set(key, found);
        // What had been written may be nothing.
        if (answer.step !== '0') found.totals.push(zero);
      }
      const last = found.totals.at(-1) ?? zero;
      found.totals.push(answer.sums.map((value, index) => BigInt(value) + last[index]!));
    }
    return steps;
  }

  /**
   * What a board that has counted up to `counted` holds beyond the snapshot, by content: invisible changes that it has
   * counted, less visible ones that it has not.
   */
  async contentSumsBeyond(
    window: { readonly startMs: number; readonly endMs: number },
    counted: ReadonlyMap<number, bigint>,
  ): Promise<Map<string, { readonly sums: Sums; readonly names: ReadonlySet<string> }>> {
    const progress = new Map([...counted].map(([partition, nextOffset]) => [partition, { nextOffset, lsn: 0n }]));
    const sign = `(sign * if(${INVISIBLE}, 1, -1))`;
    const rows = await this.#select<{ content_id: string; sums: string[]; names: [string, string, string][] }>(
      'roll boards back',
      `SELECT toString(content_id) AS content_id,
         arrayMap(v -> toString(v), [${measureSql('clickhouse', { pct: 'engagement_pct_bp', sign }).join(', ')}]) AS sums,
         groupUniqArray(100)((content_slug, content_title, toString(content_type))) AS names
       FROM engagement_changes
       WHERE ${US} >= {from:Int64} AND ${US} < {to:Int64} AND ${INVISIBLE} = (source_offset < ${BOUND})
       GROUP BY content_id ${SETTINGS}`,
      {
        from: String(BigInt(window.startMs) * 1_000n),
        to: String(BigInt(window.endMs) * 1_000n),
        ...offsetsParams(progress),
      },
    );
    return new Map(
      rows.map(({ content_id, sums, names }) => [
        content_id,
        { sums: sums.map(BigInt), names: new Set(names.map(([slug, title, type]) => nameText(slug, title, type))) },
      ]),
    );
  }

  async #select<T>(
    doing: string,
    query: string,
    params: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly T[]> {
    try {
      return await selectRows<T>(this.#client, query, { ...this.#params, ...params });
    } catch (error) {
      throw clickHouseError(error, doing);
    }
  }
}

/** The offset that the parameters of `offsetsParams` give for a row's partition. */
const BOUND = 'transform(toUInt64(source_partition), {partitions:Array(UInt64)}, {offsets:Array(UInt64)}, toUInt64(0))';

function offsetsParams(
  progress: ReadonlyMap<number, Progress>,
): Readonly<Record<string, readonly (number | bigint)[]>> {
  return {
    partitions: [...progress.keys()],
    offsets: [...progress.values()].map(({ nextOffset }) => nextOffset),
  };
}
