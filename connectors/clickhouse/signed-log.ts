/**
 * Puts rows back into a signed log without its views: what they feed has counted the rows when they came first.
 *
 * Rows are gathered in a table of their own and attached as whole parts, which no view sees. A run that breaks off before leaves the log
 * as it was; the next one begins by dropping what the last one gathered.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from './client.ts';
import { clickHouseError } from './errors.ts';

export interface RestoredRows {
  readonly log: string;
  readonly columns: readonly string[];
  /** Rows in the order of the columns, tab separated, as the sink writes them. */
  readonly rows: readonly string[];
}

/** Not harmless when repeated: the caller asks first what is missing, and is alone. Throws as `clickHouseError`. */
export async function restoreLogRows(client: ClickHouseClient, { log, columns, rows }: RestoredRows): Promise<void> {
  const gathered = `${log}_restored`;
  try {
    await client.command({ query: `DROP TABLE IF EXISTS ${gathered}` });
    await client.command({ query: `CREATE TABLE ${gathered} AS ${log}` });
    await client.command({
      query: `INSERT INTO ${gathered} (${columns.join(', ')}) FORMAT TabSeparated\n${rows.join('')}`,
      clickhouse_settings: { max_partitions_per_insert_block: '0' },
    });
    const partitions = await selectRows<{ id: string }>(
      client,
      'SELECT DISTINCT partition_id AS id FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active',
      { table: gathered },
    );
    for (const { id } of partitions) {
      await client.command({ query: `ALTER TABLE ${log} ATTACH PARTITION ID '${id}' FROM ${gathered}` });
    }
    await client.command({ query: `DROP TABLE ${gathered}` });
  } catch (error) {
    throw clickHouseError(error, `restore rows of ${log}`);
  }
}
