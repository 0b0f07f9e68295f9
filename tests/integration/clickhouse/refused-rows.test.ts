/** Rows that a real ClickHouse refuses, in one batch with sound ones: the sound ones land once, the others get their letters. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { SinkTask } from '../../../engine/sink-task.ts';
import { type ChangeRow, changeRows, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';
import { type EngagementDatabase, engagementDatabase } from '../../support/engagement-figures.ts';
import { fixedHistory } from '../../support/engagement-model.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { header } from '../kafka/topics.ts';

const ROWS = 2_000;

let server: TestClickHouse;
let database: EngagementDatabase;
beforeAll(async () => {
  server = await startClickHouse();
  database = await engagementDatabase(server.url, 'refused');
});
afterAll(async () => {
  await database?.close();
  await server?.stop();
});
beforeEach(() => database.reset());

/** The changes of a history, some of them spoilt, in a topic of their own. */
function topic(spoil: (change: ChangeRow, index: number) => ChangeRow) {
  const log = new MemoryLog();
  const changes: ChangeRow[] = [];
  for (const record of fixedHistory(ROWS).records) {
    if (record.kind !== 'upsert') continue;
    log.append('changes', 0, { value: Buffer.from(String(changes.length)) });
    changes.push(spoil(record.value, changes.length));
  }
  return { log, changes };
}

/** Runs the sink over the topic; `crash` ends its task after so many batches, as a kill would. */
async function run({ log, changes }: ReturnType<typeof topic>, crash: number): Promise<number> {
  let written = 0;
  for (;;) {
    const sink = engagementClickHouseSink({ name: 'refused.sink', config: database.config });
    const stopAtEnd = async () => {
      if ((await log.committed('sink', 'changes', 0))?.offset === BigInt(changes.length)) task.stop();
    };
    const task: SinkTask<ChangeRow> = new SinkTask<ChangeRow>({
      definition: {
        name: 'sink',
        input: 'changes',
        dlq: 'dlq',
        sink,
        prepare: async () => {},
        decode: (value) => changes[Number(value.toString())]!,
        streamTimeMs: () => 0,
        generation: 1,
        maxRecords: 20_000,
      },
      assignment: { generation: log.generation, partitions: [0] },
      partition: 0,
      client: log,
      membership: log.membership('sink'),
      input: log.reader(),
      restore: log.reader(),
      metrics: { records() {}, deadLetters() {}, transaction() {} },
      succeeded: () => void stopAtEnd(),
      probe: (step) => {
        if (step === 'written' && ++written === crash) {
          throw new SluiceError('crash', { code: 'CRASH', action: 'reconnect' });
        }
      },
    });
    try {
      await task.run();
      return written;
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'CRASH') throw error;
    } finally {
      await sink.close();
    }
  }
}

/** `offset/sign` of what the log table holds, and of what these changes are. */
const landed = async () => {
  const rows = await selectRows<{ row: string }>(
    database.client,
    "SELECT concat(source_offset, '/', sign) AS row FROM engagement_changes ORDER BY source_offset, sign",
  );
  return rows.map(({ row }) => row);
};
const rowsOf = (changes: readonly ChangeRow[], but: ReadonlySet<number>) =>
  changes.flatMap((value, offset) => {
    const rows: string[] = [];
    if (but.has(offset)) return rows;
    changeRows({ kind: 'upsert', offset: BigInt(offset), key: null, value }, (sign) => rows.push(`${offset}/${sign}`));
    return rows;
  });

const withContent = (content_id: string) => (change: ChangeRow) =>
  change.after === null ? change : { ...change, after: { ...change.after, content_id } };
const withDevice = (device: string) => (change: ChangeRow) =>
  change.after === null ? change : { ...change, after: { ...change.after, device } };

it.each([
  ['that do not parse', withContent('no uuid'), 'CLICKHOUSE_CANNOT_PARSE_UUID'],
  ['that break a constraint of the table', withDevice('forbidden'), 'CLICKHOUSE_VIOLATED_CONSTRAINT'],
] as const)('lands the others of a batch with rows %s', async (_, spoil, code) => {
  await database.client.command({
    query:
      "ALTER TABLE engagement_changes ADD CONSTRAINT IF NOT EXISTS no_forbidden CHECK ifNull(device, '') != 'forbidden'",
  });
  try {
    const bad = new Set<number>();
    const spoilt = topic((change, index) => {
      const result = [700, 701, 1_500].includes(index % ROWS) ? spoil(change) : change;
      if (result !== change) bad.add(index);
      return result;
    });
    expect(bad.size).toBeGreaterThan(0);
    const writes = await run(spoilt, 4);
    expect(await landed()).toEqual(rowsOf(spoilt.changes, bad));
    const letters = spoilt.log.records('dlq', 0);
    const told = letters.map((letter) => ({
      offset: Number(header(letter, 'sluice.offset')),
      reason: header(letter, 'sluice.reason'),
      vendor: header(letter, 'sluice.message')?.split(':')[0],
    }));
    expect(told).toEqual([...bad].map((offset) => ({ offset, reason: 'SINK_REFUSED', vendor: code })));
    expect(header(letters[0]!, 'sluice.stage')).toBe('sink');
    // Parts that were written, the rest of each split among them.
    expect(writes).toBeLessThan(4 * Math.ceil(Math.log2(spoilt.changes.length)));
  } finally {
    await database.client.command({ query: 'ALTER TABLE engagement_changes DROP CONSTRAINT no_forbidden' });
  }
});
