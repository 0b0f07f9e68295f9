/** What materialized views feed from a signed log: found in the server, so that a new view is rebuilt like the others. */
import type { ClickHouseClient } from '@clickhouse/client';
import { SluiceError } from '../../engine/errors.ts';
import { selectRows } from './client.ts';

export interface Feed {
  readonly target: string;
  /** Whether the target holds sums, which a row fed twice would spoil. */
  readonly sums: boolean;
  /** Expression that the target is partitioned by; empty for one partition. */
  readonly partitionKey: string;
  readonly sortingKey: string;
  /** The view's query, reading something else in the log's place: a table, or a subquery in brackets. */
  selectFrom(source: string): string;
}

/** The views of `log`. Throws CLICKHOUSE_REBUILD_REFUSED (fatal) when there is none. */
export async function feedsOf(client: ClickHouseClient, log: string): Promise<readonly Feed[]> {
  interface Row {
    readonly target: string;
    readonly as_select: string;
    readonly engine: string;
    readonly partition_key: string;
    readonly sorting_key: string;
  }
  const rows = await selectRows<Row>(
    client,
    `SELECT extract(v.create_table_query, ' TO (?:\`?\\\\w+\`?\\\\.)?\`?(\\\\w+)') AS target, v.as_select AS as_select,
       t.engine AS engine, t.partition_key AS partition_key, t.sorting_key AS sorting_key
     FROM system.tables AS v
     INNER JOIN system.tables AS t ON t.database = v.database AND t.name = target
     WHERE v.database = currentDatabase() AND v.engine = 'MaterializedView'
     ORDER BY v.name`,
  );
  const reads = new RegExp(`\\bFROM (?:\\w+\\.)?${log}\\b`);
  const feeds = rows.filter(({ as_select }) => reads.test(as_select));
  if (feeds.length === 0) {
    throw new SluiceError(`Nothing here is fed from ${log} (a cluster is rebuilt shard by shard, by hand)`, {
      code: 'CLICKHOUSE_REBUILD_REFUSED',
      action: 'fatal',
    });
  }
  return feeds.map(({ target, as_select, engine, partition_key, sorting_key }) => ({
    target,
    sums: engine === 'AggregatingMergeTree',
    partitionKey: partition_key,
    sortingKey: sorting_key,
    selectFrom: (source) => as_select.replace(reads, () => `FROM ${source}`),
  }));
}
