/**
 * Makes everything that is fed from a signed log anew: the way back when figures are in doubt. Current rows are fed again from the
 * log (the newest version wins, so that is harmless), sums are recomputed from the current rows into a shadow table that
 * then changes places with the old one.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { SluiceError } from '../../engine/errors.ts';
import { type ClickHouseConfig, clickHouseClient, selectRows } from './client.ts';
import { clickHouseError } from './errors.ts';
import { feedsOf } from './feeds.ts';

export interface RebuildOptions {
  readonly config: ClickHouseConfig;
  /** The signed log that the views read. */
  readonly log: string;
  /** The view of current rows, with the log's columns as far as the sums need them. */
  readonly current: string;
}

export interface RebuildResult {
  /** Tables that were fed again, and tables that were recomputed. */
  readonly fed: readonly string[];
  readonly recomputed: readonly string[];
}

const REQUEST_TIMEOUT_MS = 3_600_000;

const refused = (text: string) => new SluiceError(text, { code: 'CLICKHOUSE_REBUILD_REFUSED', action: 'fatal' });

/** A range in flight would be counted twice: its token is not known to the new tables. */
async function refuseUnfinished(client: ClickHouseClient, log: string): Promise<void> {
  const rows = await selectRows<{ partition: number }>(
    client,
    `SELECT DISTINCT source_partition AS partition FROM ${log}
     WHERE (source_partition, source_offset) NOT IN (
       SELECT l.source_partition, l.source_offset FROM ${log} AS l
       INNER JOIN (SELECT partition, max(next_offset) AS next FROM sluice_progress FINAL GROUP BY partition) AS p
       ON p.partition = l.source_partition WHERE l.source_offset < p.next)`,
  );
  if (rows.length === 0) return;
  const partitions = rows.map(({ partition }) => partition).join(', ');
  throw refused(`Partitions ${partitions} have a range that is not finished: let the sink run once, then stop it`);
}

async function progressStamp(client: ClickHouseClient): Promise<string> {
  const [row] = await selectRows<{ stamp: string }>(
    client,
    'SELECT groupBitXor(cityHash64(pipeline, topic, partition, version, updated_at)) AS stamp FROM sluice_progress FINAL',
  );
  return row!.stamp;
}

/**
 * Recomputes every table that is fed from `log`. Stop its sink first.
 *
 * Throws CLICKHOUSE_REBUILD_REFUSED (fatal: a range is not finished, the sink wrote meanwhile, or nothing is fed from the
 * log), else as `clickHouseError`. Until the last step nothing that readers see has changed.
 */
export async function rebuildFromLog({ config, log, current }: RebuildOptions): Promise<RebuildResult> {
  const client = clickHouseClient({ ...config, requestTimeoutMs: REQUEST_TIMEOUT_MS });
  const shadows: string[] = [];
  try {
    await refuseUnfinished(client, log);
    const before = await progressStamp(client);
    const feeds = await feedsOf(client, log);
    const sums = feeds.filter((feed) => feed.sums);
    const rows = feeds.filter((feed) => !feed.sums);
    for (const { target, selectFrom } of rows)
      await client.command({ query: `INSERT INTO ${target} ${selectFrom(log)}` });
    for (const { target, selectFrom } of sums) {
      const shadow = `${target}_shadow`;
      shadows.push(shadow);
      await client.command({ query: `DROP TABLE IF EXISTS ${shadow}` });
      await client.command({ query: `CREATE TABLE ${shadow} AS ${target}` });
      await client.command({
        query: `INSERT INTO ${shadow} ${selectFrom(`(SELECT *, toInt8(1) AS sign FROM ${current})`)}`,
        clickhouse_settings: { max_partitions_per_insert_block: '0' },
      });
    }
    if ((await progressStamp(client)) !== before) throw refused('The sink wrote meanwhile: stop it and start again');
    for (const { target } of sums) await client.command({ query: `EXCHANGE TABLES ${target} AND ${target}_shadow` });
    return { fed: rows.map(({ target }) => target), recomputed: sums.map(({ target }) => target) };
  } catch (error) {
    throw clickHouseError(error, `rebuild what is fed from ${log}`);
  } finally {
    for (const shadow of shadows) {
      await client.command({ query: `DROP TABLE IF EXISTS ${shadow}` }).catch(() => undefined);
    }
    await client.close();
  }
}
