/**
 * Makes current rows say again what their log says, or the topic that fills it: for rows that were deleted or changed by hand.
 *
 * Invariant: what is removed was there before the log was waited for and is not what is made of it, so nothing that a sink
 * writes meanwhile is removed; and what is written has the version that the log gives it, so a later change wins as ever.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from './client.ts';
import { clickHouseError } from './errors.ts';
import { feedsOf } from './feeds.ts';

export interface Refeed {
  readonly log: string;
  /** Tables of row versions that views feed from it, and which rows of each: SQL over columns that both have. */
  readonly stores: readonly { readonly store: string; readonly rows: string }[];
  /** Waits until everything that the stores showed when it was called is in a table that it names: the log, or one with its columns. */
  readonly source: () => Promise<string>;
}

/** Returns how many versions were removed. Harmless when repeated. Throws as `clickHouseError`. */
export async function refeedRows(client: ClickHouseClient, { log, stores, source }: Refeed): Promise<number> {
  try {
    const feeds = await feedsOf(client, log);
    const parts: (Part & { readonly shown: readonly string[] })[] = [];
    for (const { store, rows } of stores) {
      const feed = feeds.find(({ target }) => target === store);
      if (feed === undefined) throw new TypeError(`${store} is not fed from ${log}`);
      const columns = await columnsOf(client, store);
      const shown = await hashesOf(client, columns, ofRows(store, rows));
      parts.push({ store, rows, columns, selectFrom: feed.selectFrom, shown });
    }
    const from = await source();
    let removed = 0;
    for (const part of parts) removed += await refeedPart(client, part, from);
    return removed;
  } catch (error) {
    throw clickHouseError(error, `feed rows again from ${log}`);
  }
}

interface Part {
  readonly store: string;
  readonly rows: string;
  readonly columns: readonly string[];
  selectFrom(source: string): string;
}

async function refeedPart(
  client: ClickHouseClient,
  { store, rows, columns, selectFrom, shown }: Part & { readonly shown: readonly string[] },
  from: string,
): Promise<number> {
  const fed = `(${selectFrom(ofRows(from, rows))})`;
  const right = new Set(await hashesOf(client, columns, fed));
  const wrong = [...new Set(shown)].filter((one) => !right.has(one));
  if (wrong.length > 0) {
    await client.command({
      query: `ALTER TABLE ${store} DELETE WHERE ${rows} AND ${hashSql(columns)} IN (${wrong.map((one) => `'${one}'`).join(', ')})
        SETTINGS mutations_sync = 2`,
    });
  }
  await client.command({
    query: `INSERT INTO ${store} (${columns.join(', ')}) SELECT ${columns.join(', ')} FROM ${fed}`,
    // The same rows may have been written so before; that is no reason to leave them out now.
    clickhouse_settings: { insert_deduplicate: 0, max_partitions_per_insert_block: '0' },
  });
  return wrong.length;
}

const ofRows = (table: string, rows: string): string => `(SELECT * FROM ${table} WHERE ${rows})`;

/** Of a tuple: a NULL among arguments would make the hash NULL. */
const hashSql = (columns: readonly string[]): string => `toString(cityHash64(toString(tuple(${columns.join(', ')}))))`;

async function hashesOf(
  client: ClickHouseClient,
  columns: readonly string[],
  from: string,
): Promise<readonly string[]> {
  const rows = await selectRows<{ h: string }>(client, `SELECT ${hashSql(columns)} AS h FROM ${from}`);
  return rows.map(({ h }) => h);
}

/**
 * Puts rows of the log aside in a table of their own with its columns, under the name that it returns: what a run before has left there is
 * dropped. Throws as `clickHouseError`.
 */
export async function asideLogRows(
  client: ClickHouseClient,
  {
    log,
    columns,
    rows,
  }: { readonly log: string; readonly columns: readonly string[]; readonly rows: readonly string[] },
): Promise<string> {
  const aside = `${log}_aside`;
  try {
    await client.command({ query: `DROP TABLE IF EXISTS ${aside} SYNC` });
    await client.command({
      query: `CREATE TABLE ${aside} ENGINE = MergeTree ORDER BY tuple() EMPTY AS SELECT * FROM ${log}`,
    });
    if (rows.length > 0)
      await client.command({
        query: `INSERT INTO ${aside} (${columns.join(', ')}) FORMAT TabSeparated\n${rows.join('')}`,
      });
    return aside;
  } catch (error) {
    throw clickHouseError(error, `put rows of ${log} aside`);
  }
}

/** Throws as `clickHouseError`. */
export async function dropAside(client: ClickHouseClient, log: string): Promise<void> {
  try {
    await client.command({ query: `DROP TABLE IF EXISTS ${log}_aside SYNC` });
  } catch (error) {
    throw clickHouseError(error, `drop what was put aside of ${log}`);
  }
}

async function columnsOf(client: ClickHouseClient, table: string): Promise<readonly string[]> {
  const rows = await selectRows<{ name: string }>(
    client,
    `SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}
     AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position`,
    { table },
  );
  return rows.map(({ name }) => name);
}
