/**
 * Makes current rows say again what their signed log says: for rows that were deleted or changed by hand.
 *
 * Invariant: what is removed was there before the log was waited for and is not what the log makes of itself, so nothing that a sink
 * writes meanwhile is removed; and what is written has the version that the log gives it, so a later change wins as ever.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from './client.ts';
import { clickHouseError } from './errors.ts';
import { feedsOf } from './feeds.ts';

export interface Refeed {
  /** The signed log. */
  readonly log: string;
  /** The table of row versions that a view feeds from it. */
  readonly store: string;
  /** Its Int64 column that names a row. */
  readonly key: string;
  readonly ids: readonly bigint[];
  /** Waits until the log holds everything that the store showed when it was called. */
  readonly settle: () => Promise<void>;
}

/** Returns how many versions were removed. Harmless when repeated. Throws as `clickHouseError`. */
export async function refeedRows(client: ClickHouseClient, { log, store, key, ids, settle }: Refeed): Promise<number> {
  try {
    const feed = (await feedsOf(client, log)).find(({ target }) => target === store);
    if (feed === undefined) throw new TypeError(`${store} is not fed from ${log}`);
    const ofRows = (table: string) => `(SELECT * FROM ${table} WHERE ${key} IN ({ids:Array(Int64)}))`;
    const fed = `(${feed.selectFrom(ofRows(log))})`;
    const params = { ids };
    const columns = await columnsOf(client, store);
    // Of a tuple: a NULL among arguments would make the hash NULL.
    const hash = `toString(cityHash64(toString(tuple(${columns.join(', ')}))))`;
    const hashes = async (from: string) =>
      (await selectRows<{ h: string }>(client, `SELECT ${hash} AS h FROM ${from}`, params)).map(({ h }) => h);
    const shown = await hashes(ofRows(store));
    await settle();
    const right = new Set(await hashes(fed));
    const wrong = [...new Set(shown)].filter((one) => !right.has(one));
    if (wrong.length > 0) {
      await client.command({
        query: `ALTER TABLE ${store} DELETE WHERE ${key} IN (${ids.join(', ')}) AND ${hash} IN (${wrong.map((one) => `'${one}'`).join(', ')})
          SETTINGS mutations_sync = 2`,
      });
    }
    await client.command({
      query: `INSERT INTO ${store} (${columns.join(', ')}) SELECT ${columns.join(', ')} FROM ${fed}`,
      query_params: params,
      // The same rows may have been written so before; that is no reason to leave them out now.
      clickhouse_settings: { insert_deduplicate: 0, max_partitions_per_insert_block: '0' },
    });
    return wrong.length;
  } catch (error) {
    throw clickHouseError(error, `feed rows of ${store} again`);
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
