/**
 * Holds back every writer of a signed log for the moment in which rebuilt tables take the place of the old ones.
 *
 *   free ──place──► held (no insert runs, none is let in) ──end──► free, and who looked before the hold must look again
 *
 * Invariants:
 *  - While the hold lies on the log, each table and its shadow stand at the same position of every partition.
 *  - So whoever finds a hold may end it, at any moment: first the shadows of its run are dropped, then it is lifted. An exchange that
 *    comes later finds no shadow and fails; tables that were exchanged already are as right as those that were not.
 *
 * The hold is a constraint of the log that no row meets: the server refuses inserts, the sink tries again (`rebuild_hold` in errors.ts), and
 * ends a hold that is overdue itself. What is lifted leaves `asked_since` behind: a row is written under a lease that counts from its
 * writer's last look, and a look from before the exchange is worth nothing, since the new tables know none of the old tokens.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { pause } from '../../engine/backoff.ts';
import { SluiceError } from '../../engine/errors.ts';
import { selectRows } from './client.ts';

export interface Hold {
  readonly run: string;
  /** Server time, seconds since the epoch. */
  readonly until: number;
}

/** How long a writer may write after a look; the sink's own default. */
export const LEASE_MS = 10 * 60_000;
const DRAIN_DEADLINE_MS = 60_000;
const DRAIN_PAUSE_MS = 50;
/** The last second of DateTime: no lease reaches it. */
const NEVER = 4_294_967_295;

/** The name of a run's shadow of a table. */
export function shadowName(table: string, run: string): string {
  return `${table}__shadow_${run}`;
}

const SHADOWS = 'SELECT name FROM system.tables WHERE database = currentDatabase()';

/** The shadows, of one run or of all. */
export async function shadowsOf(client: ClickHouseClient, run: string | null): Promise<readonly string[]> {
  const rows =
    run === null
      ? await selectRows<{ name: string }>(client, `${SHADOWS} AND position(name, '__shadow_') > 0`)
      : await selectRows<{ name: string }>(client, `${SHADOWS} AND endsWith(name, {suffix:String})`, {
          suffix: `__shadow_${run}`,
        });
  return rows.map(({ name }) => name);
}

async function serverSeconds(client: ClickHouseClient): Promise<number> {
  const [row] = await selectRows<{ now: number }>(client, 'SELECT toUnixTimestamp(now()) AS now');
  return row!.now;
}

/** Holds on the log: one, unless two runs began at once. */
export async function holdsOf(client: ClickHouseClient, log: string): Promise<readonly Hold[]> {
  const [row] = await selectRows<{ text: string }>(
    client,
    'SELECT create_table_query AS text FROM system.tables WHERE database = currentDatabase() AND name = {log:String}',
    { log },
  );
  return [...(row?.text ?? '').matchAll(/CONSTRAINT rebuild_hold_(\w+) CHECK .*?\((\d+) > 0\)/g)].map(
    ([, run, until]) => ({
      run: run!,
      until: Number(until),
    }),
  );
}

/**
 * Lays the hold on the log and waits until no insert runs. A hold that is overdue is ended first. Throws CLICKHOUSE_HELD (retry) when
 * another run holds the log, CLICKHOUSE_INSERT_RUNS (retry) when an insert does not end.
 */
export async function placeHold(
  client: ClickHouseClient,
  log: string,
  { run, seconds, leaseMs = LEASE_MS }: { readonly run: string; readonly seconds: number; readonly leaseMs?: number },
): Promise<void> {
  await endOverdueHold(client, log, leaseMs);
  const [other] = await holdsOf(client, log);
  if (other !== undefined) {
    throw new SluiceError(`Another rebuild (${other.run}) holds ${log}: wait until it has ended`, {
      code: 'CLICKHOUSE_HELD',
      action: 'retry',
    });
  }
  const until = (await serverSeconds(client)) + seconds;
  await client.command({
    query: `ALTER TABLE ${log} ADD CONSTRAINT rebuild_hold_${run} CHECK (write_before >= toDateTime(${NEVER}, 'UTC')) AND (${until} > 0)`,
  });
  await untilDrained(client, log);
}

/** An insert that began before the hold knows nothing of it. */
async function untilDrained(client: ClickHouseClient, log: string): Promise<void> {
  const deadline = performance.now() + DRAIN_DEADLINE_MS;
  for (;;) {
    const [row] = await selectRows<{ running: string }>(
      client,
      `SELECT count() AS running FROM system.processes
       WHERE match(query, {insert:String}) AND query_id != queryID()`,
      { insert: `^\\s*INSERT INTO ${log}\\b` },
    );
    if (Number(row!.running) === 0) return;
    if (performance.now() > deadline) {
      throw new SluiceError(`An insert into ${log} has not ended after ${DRAIN_DEADLINE_MS / 1_000} s`, {
        code: 'CLICKHOUSE_INSERT_RUNS',
        action: 'retry',
      });
    }
    await pause(DRAIN_PAUSE_MS);
  }
}

/**
 * Drops the run's shadows, then lifts its hold. Harmless when there is none. `keepShadows` is for the owner alone, who knows that
 * it will bring them up to date under its next hold.
 */
export async function endHold(
  client: ClickHouseClient,
  log: string,
  { run, keepShadows, leaseMs }: { readonly run: string; readonly keepShadows: boolean; readonly leaseMs: number },
): Promise<void> {
  if (!keepShadows) {
    for (const name of await shadowsOf(client, run)) {
      await client.command({ query: `DROP TABLE IF EXISTS ${name} SYNC` });
    }
  }
  if (!(await holdsOf(client, log)).some((hold) => hold.run === run)) return;
  const askedSince = (await serverSeconds(client)) + Math.ceil(leaseMs / 1_000) + 1;
  await client.command({
    query: `ALTER TABLE ${log} DROP CONSTRAINT IF EXISTS rebuild_hold_${run}, DROP CONSTRAINT IF EXISTS asked_since,
      ADD CONSTRAINT asked_since CHECK write_before >= toDateTime(${askedSince}, 'UTC')`,
  });
}

/** Ends a hold whose time is over: its owner is gone or asleep. */
export async function endOverdueHold(client: ClickHouseClient, log: string, leaseMs = LEASE_MS): Promise<void> {
  for (const { run, until } of await holdsOf(client, log)) {
    if ((await serverSeconds(client)) > until) await endHold(client, log, { run, keepShadows: false, leaseMs });
  }
}
