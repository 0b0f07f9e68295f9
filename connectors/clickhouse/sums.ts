/**
 * Corrects a table of sums by adding what is missing, which may be negative. Sums commute: what a sink adds meanwhile counts all the
 * same, so nothing has to be stopped and nothing is replaced.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { clickHouseError } from './errors.ts';

export interface SumsToAdd {
  readonly table: string;
  /** Rows by column: the keys, and what is to be added to each sum. */
  readonly rows: readonly Readonly<Record<string, string | number | bigint | null>>[];
  /** Names this addition: the server does it once, should the request arrive twice. */
  readonly token: string;
}

/** One block, so all of it or nothing. Throws as `clickHouseError`. */
export async function addSums(client: ClickHouseClient, { table, rows, token }: SumsToAdd): Promise<void> {
  try {
    await client.insert({
      table,
      values: rows.map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]),
        ),
      ),
      format: 'JSONEachRow',
      clickhouse_settings: {
        async_insert: 0,
        insert_deduplicate: 1,
        insert_deduplication_token: token,
        max_insert_block_size: '10000000',
        max_partitions_per_insert_block: '0',
      },
    });
  } catch (error) {
    throw clickHouseError(error, `correct sums of ${table}`);
  }
}
