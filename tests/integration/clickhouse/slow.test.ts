/** A ClickHouse that answers late or never, and the names of its errors. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import { fixedHistory } from '../../support/engagement-model.ts';
import { proxyOf } from '../../support/proxy.ts';

let server: TestClickHouse;
let database: EngagementDatabase;
beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'slow');
});
afterAll(async () => {
  await database?.close();
  await server?.stop();
});

it('is waited for when it is late, given up when it hangs, and a batch that hung is written once', async () => {
  const proxy = await proxyOf(server.url);
  const config = { ...database.config, url: proxy.through(server.url), requestTimeoutMs: 2_000 };
  const sink = engagementClickHouseSink({ name: 'slow.sink', config });
  const { records } = fixedHistory(50);
  const batch = { topic: 'engagement.changes', partition: 0, from: 0n, to: 50n, generation: 1, records };
  try {
    proxy.delay(200);
    await sink.connect();
    expect(await sink.position(batch)).toMatchObject({ kind: 'offset' });
    proxy.stall();
    await expect(sink.write(batch, { retry: false })).rejects.toMatchObject({ action: 'retry' });
    proxy.pass();
    expect(await sink.write(batch, { retry: true })).toBe('written');
    expect(await sink.write(batch, { retry: true })).toBe('written');
    const count = 'SELECT count() AS rows, uniqExact(source_offset, sign) AS different FROM engagement_changes';
    const [found] = await selectRows<{ rows: string; different: string }>(database.client, count);
    expect(Number(found!.rows)).toBeGreaterThan(0);
    expect(found!.rows).toBe(found!.different);
  } finally {
    await sink.close();
    await proxy.close();
  }
});

it('is tried again when it has too many parts, and takes the batch when they are fewer', async () => {
  const sink = engagementClickHouseSink({ name: 'parts.sink', config: database.config });
  const { records } = fixedHistory(20);
  const batch = (partition: number) => ({
    ...{ topic: 'engagement.changes', partition, from: 0n, to: 20n, generation: 1, records },
  });
  const alter = (settings: string) => database.client.command({ query: `ALTER TABLE engagement_changes ${settings}` });
  try {
    expect(await sink.write(batch(7), { retry: false })).toBe('written');
    await alter('MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1');
    const refused = sink.write(batch(8), { retry: false });
    await expect(refused).rejects.toMatchObject({ code: 'CLICKHOUSE_TOO_MANY_PARTS', action: 'retry' });
    await alter('RESET SETTING parts_to_delay_insert, parts_to_throw_insert');
    expect(await sink.write(batch(8), { retry: true })).toBe('written');
  } finally {
    await sink.close();
  }
});

it('calls its errors what the table of the connector calls them', async () => {
  const source = readFileSync(join(import.meta.dirname, '../../../connectors/clickhouse/errors.ts'), 'utf8');
  const table = [...source.matchAll(/^ {2}(\d+): \{ name: '(\w+)'/gm)].map(([, code, name]) => `${code} ${name}`);
  expect(table.length).toBeGreaterThan(80);
  const rows = await selectRows<{ row: string }>(
    database.client,
    "SELECT concat(number, ' ', errorCodeToName(number)) AS row FROM numbers(2000)",
  );
  const known = new Set(rows.map(({ row }) => row));
  expect(table.filter((row) => !known.has(row))).toEqual([]);
});
