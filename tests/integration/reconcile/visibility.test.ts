/** Which changes of the log a snapshot sees, on a real ClickHouse: 32-bit transaction ids against 64-bit snapshots. */

import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { ALL_ROWS } from '../../../pipelines/engagement/reconcile/scope.ts';
import { Warehouse } from '../../../pipelines/engagement/reconcile/warehouse.ts';
import type { SourcePosition } from '../../../pipelines/operations/reconcile/report.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';

let server: TestClickHouse;
let database: EngagementDatabase;
let client: ClickHouseClient;

const NOW = Date.now();
const HOUR_MS = 3_600_000;

beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'visibility');
  client = clickHouseClient(database.config);
});
afterAll(async () => {
  await client?.close();
  await database?.close();
  await server?.stop();
});

/** Writes one inserted event for each transaction id, its event id being its place in the list. */
async function write(xids: readonly bigint[], committedMs = NOW): Promise<void> {
  await database.reset();
  for (const [id, xid] of xids.entries()) {
    await client.command({
      query: `INSERT INTO engagement_changes (sign, kind, event_id, content_id, user_id, event_type, event_ts, lsn, xid, commit_ts,
          source_partition, source_offset, generation, write_before, content_slug, content_title, content_type)
        SELECT 1, 'insert', {id:Int64}, generateUUIDv4(), generateUUIDv4(), 'play', now64(6), 1, {xid:UInt64},
          fromUnixTimestamp64Milli({at:Int64}), 0, {id:UInt64}, 1, now() + 3600, '', '', 'video'`,
      query_params: { id, xid, at: committedMs },
    });
  }
}

/** Ids of the events that the snapshot does not see. */
async function invisible(position: Pick<SourcePosition, 'xmax' | 'inProgress'>): Promise<readonly bigint[]> {
  const at = { lsn: 1n, timeMs: NOW, ...position };
  const warehouse = new Warehouse(client, { pipeline: 'p', topic: 't', position: at, since: null, scope: ALL_ROWS });
  return [...(await warehouse.touchedRows([0n])).keys()].sort((a, b) => (a < b ? -1 : 1));
}

it('sees what is below the end and not in progress, and what has no transaction', async () => {
  await write([0n, 700n, 703n, 704n, 705n, 706n]);
  expect(await invisible({ xmax: 705n, inProgress: [703n] })).toEqual([2n, 4n, 5n]);
});

it('compares in a circle: the epoch of a transaction id is not in the log', async () => {
  const round = 2n ** 32n;
  await write([round - 2n, round - 1n, 5n, 9n, 12n].map((xid) => xid % round));
  expect(await invisible({ xmax: 3n * round + 10n, inProgress: [3n * round - 1n] })).toEqual([1n, 4n]);
});

it('takes a transaction of an earlier round for what it is: long visible', async () => {
  await write([900n], NOW - 2 * HOUR_MS);
  expect(await invisible({ xmax: 705n, inProgress: [] })).toEqual([]);
});
