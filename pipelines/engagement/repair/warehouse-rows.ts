/**
 * Rows that ClickHouse alone has wrong: fed again from its own log; where the log has lost rows, those are put back from
 * `engagement.changes` first, by their offset. What is older than that topic needs a replay from the public topic.
 */
import type { ClickHouseClient } from '@clickhouse/client';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { refeedRows } from '../../../connectors/clickhouse/refeed.ts';
import { restoreLogRows } from '../../../connectors/clickhouse/signed-log.ts';
import { secondsCell, textCells } from '../../../connectors/clickhouse/tab-separated.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';
import { CHANGES_COLUMNS, CHANGES_PART_COLUMN, CHANGES_TABLE, type ChangeRow, changeRows } from '../clickhouse-rows.ts';
import { changeDecoder } from '../codec/change.ts';
import { keyDecoder } from '../codec/key.ts';
import type { Comparison } from '../reconcile/reconcile.ts';
import { RANGE_ROWS } from '../reconcile/source.ts';
import { CHANGES } from '../topics.ts';
import { sameRow } from './plan.ts';

const STORE = 'engagement_events_store';
const COLUMNS = [
  ...CHANGES_COLUMNS.map(({ name }) => name),
  CHANGES_PART_COLUMN,
  'source_partition',
  'source_offset',
  'generation',
  'write_before',
];
/** How long the server takes what is restored. */
const LEASE_MS = 3_600_000;

export interface WarehouseRepair {
  readonly client: ClickHouseClient;
  readonly log: LogClient;
  readonly schemas: SchemaSource;
  readonly generation: number;
}

/** Returns the rows that could not be brought back. Harmless when repeated, as long as it is alone (`exclusively`). */
export async function repairWarehouseRows(
  parts: WarehouseRepair,
  { source, warehouse, settle }: Comparison,
  ids: readonly bigint[],
): Promise<readonly bigint[]> {
  const refeed = async () => {
    const source = async () => {
      await settle();
      return CHANGES_TABLE;
    };
    const stores = [{ store: STORE, rows: `event_id IN (${ids.join(', ')})` }];
    await refeedRows(parts.client, { log: CHANGES_TABLE, stores, source });
  };
  const wrong = async () => {
    const [wanted, found] = [await source.rows(ids), await warehouse.rows(ids)];
    // What has changed since is not to be as it was; the next comparison judges it.
    const touched = await warehouse.touchedRows([...new Set(ids.map((id) => id / RANGE_ROWS))]);
    return ids.filter((id) => !touched.has(id) && !sameRow(wanted.get(id), found.get(id)));
  };
  await refeed();
  const lost = await wrong();
  if (lost.length === 0) return [];
  const rows = await missingRows(parts, lost);
  if (rows.length === 0) return lost;
  await restoreLogRows(parts.client, { log: CHANGES_TABLE, columns: COLUMNS, rows });
  await refeed();
  return await wrong();
}

/**
 * Puts changes back that only the log has lost; what it feeds has counted them. Returns how many. Harmless when repeated, as long as it is alone.
 */
export async function restoreLog(parts: WarehouseRepair, ids: readonly bigint[]): Promise<number> {
  const rows = await missingRows(parts, ids);
  if (rows.length > 0) await restoreLogRows(parts.client, { log: CHANGES_TABLE, columns: COLUMNS, rows });
  return rows.length;
}

interface Place {
  readonly partition: number;
  readonly offset: bigint;
}

/** Rows of the log that the topic has and ClickHouse has not. */
async function missingRows(parts: WarehouseRepair, ids: readonly bigint[]): Promise<readonly string[]> {
  const { client, generation } = parts;
  const present = await selectRows<{ place: string }>(
    client,
    `SELECT concat(toString(source_partition), '/', toString(source_offset), '/', toString(sign)) AS place
     FROM ${CHANGES_TABLE} WHERE event_id IN ({ids:Array(Int64)})`,
    { ids },
  );
  const there = new Set(present.map(({ place }) => place));
  const rows: string[] = [];
  await changesOf(parts, new Set(ids), ({ partition, offset }, value) => {
    changeRows({ kind: 'upsert', offset, key: null, value }, (sign, values) => {
      if (there.has(`${partition}/${offset}/${sign}`)) return;
      const cells = textCells(CHANGES_COLUMNS, values);
      rows.push(`${cells}\t${sign}\t${partition}\t${offset}\t${generation}\t${secondsCell(Date.now() + LEASE_MS)}\n`);
    });
  });
  return rows;
}

/** Hands over all changes of some rows that the topic still has. */
async function changesOf(
  { log, schemas }: WarehouseRepair,
  ids: ReadonlySet<bigint>,
  each: (place: Place, change: ChangeRow) => void,
): Promise<void> {
  const keys = keyDecoder(schemas);
  const values = changeDecoder(schemas);
  const partitions = Array.from({ length: await log.partitions(CHANGES) }, (_, partition) => partition);
  const ends = await log.offsets(CHANGES, partitions, 'lastStable');
  await readTopic(log, { topic: CHANGES, ends }, async ({ records }, partition) => {
    await keys.prepare(records.map(({ key }) => key));
    await values.prepare(records.map(({ value }) => value));
    for (const { key, value, offset } of records) {
      if (key === null || value === null) continue;
      const { event_id: id } = keys.decode(key);
      if (ids.has(id)) each({ partition, offset }, values.decode(value));
    }
  });
}
