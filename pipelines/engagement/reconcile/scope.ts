/** A part of the rows, the same in Postgres, in ClickHouse and in the external topic. Where it is given, only rows are compared. */
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';

export interface RowScope {
  /** Rows with an earlier event_ts. */
  readonly until: Date | null;
  /** Of these contents; of all when empty. */
  readonly contents: readonly string[];
  readonly ids: readonly bigint[];
}

export const ALL_ROWS: RowScope = { until: null, contents: [], ids: [] };

/** `infinity` for Postgres; a time that no sink holds for ClickHouse. */
const NEVER_MICROS = String(2n ** 62n);

/** Condition on `e` with three parameters, the first of which has the number `first`. */
export function postgresScope(first: number): string {
  const [until, contents, ids] = [`$${first}::timestamptz`, `$${first + 1}::uuid[]`, `$${first + 2}::bigint[]`];
  return `e.event_ts < ${until} AND (cardinality(${contents}) = 0 OR e.content_id = ANY(${contents}))
    AND (cardinality(${ids}) = 0 OR e.id = ANY(${ids}))`;
}

export function postgresScopeValues({ until, contents, ids }: RowScope) {
  return [until ?? 'infinity', contents, ids] as const;
}

/** Condition on an event of ClickHouse whose time in microseconds is `us`, with the parameters of `clickHouseScopeParams`. */
export function clickHouseScope(us: string): string {
  return `(${us} >= {since:Int64} AND ${us} < {until:Int64}
    AND (empty({contents:Array(String)}) OR has({contents:Array(String)}, toString(content_id)))
    AND (empty({ids:Array(Int64)}) OR has({ids:Array(Int64)}, event_id)))`;
}

export function clickHouseScopeParams({ until, contents, ids }: RowScope): Readonly<Record<string, unknown>> {
  return { until: until === null ? NEVER_MICROS : String(BigInt(until.getTime()) * 1_000n), contents, ids };
}

export function isInScope({ until, contents, ids }: RowScope, event: EngagementEvent): boolean {
  return (
    (until === null || event.event_ts < until.getTime() * 1_000) &&
    (contents.length === 0 || contents.includes(event.content_id)) &&
    (ids.length === 0 || ids.includes(event.event_id))
  );
}
