/** An upgrade: the stores hold what version 1 of the schemas wrote, and the worker of today goes on from there. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';
import { changeDecoder, leaderboardChangeDecoder } from '../../../pipelines/engagement/codec/change.ts';
import { encodeKey } from '../../../pipelines/engagement/codec/key.ts';
import { CHANGES, EVENTS_V1 } from '../../../pipelines/engagement/topics.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import { changeV1, eventV1 } from '../../support/event-v1.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { avscType, framed, schemasById } from '../codec/debezium.ts';
import { toAvsc } from '../codec/values.ts';
import { checkPartition } from './checks.ts';
import { changesOf, drive, IDS, presentOf } from './harness.ts';
import { expected } from './model.ts';
import type { ContentFields, Op, Step } from './rows.ts';
import { Source } from './source.ts';

const ROWS = 6;
const partition = 0;
const policy = 'correct';
const content = (title: string): ContentFields => ({ slug: 'a', title, contentType: 'podcast', lengthSeconds: 60 });
const fields = {
  user: 1,
  eventType: 'play',
  when: { at: 'before', ms: 1_000 },
  durationMs: 6_000,
  device: 'ios',
  campaign: null,
} as const;
const alone = (op: Op): Step => ({ do: op, together: false, waitMs: 10 });

let dir: string;
let log: MemoryLog;
let source: Source;

const encoded = (id: number, schema: AvroSchema, value: unknown) =>
  framed(id, avscType(schema).toBuffer(toAvsc(schema, value)));
const keyOf = (event: EngagementEvent) => encodeKey(new ByteWriter(), IDS.key, event.content_id, event.event_id);

/** What a worker of version 1 would have made of the rows that have been captured. */
function written(): void {
  const { changes } = expected(source, partition);
  for (const { kind, lsn, xid, commit_ts, after } of changes) {
    const key = keyOf(after!);
    const value = { kind, lsn, xid, commit_ts, before: null, after };
    log.append(CHANGES, partition, { key, value: encoded(IDS.changeV1, changeV1, value) });
    log.append(EVENTS_V1, partition, { key, value: encoded(IDS.eventV1, eventV1, after) });
  }
}

async function run(...steps: Step[]): Promise<void> {
  const ticks = [{ steps: 1, rows: 1, clock: true }];
  steps.push(alone({ op: 'heartbeat' }));
  await drive({ log, source, steps, policy, partition, dir, ticks, crashes: [], maxRecords: 10 });
}

describe('engagement.enrich behind version 1', () => {
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-upgrade-'));
    log = new MemoryLog();
    source = new Source(log, [content('One'), content('One'), content('One'), content('One')]);
    for (let id = 0; id < ROWS; id++) source.apply(alone({ op: 'write', id, content: 0, fields }));
    written();
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('takes a row that is delivered again for the row it has', async () => {
    // Nothing is committed: every row comes once more.
    await run();
    const kinds = (await changesOf(log, partition)).map(({ change }) => change.kind);
    expect(kinds).toEqual([...new Array(ROWS).fill('insert'), 'mark']);
    await checkPartition({ log, source, partition, policy });
  });

  it('takes off exactly what version 1 has added: corrected, updated, deleted', async () => {
    await run(
      alone({ op: 'edit', content: 0, fields: content('Two') }),
      alone({ op: 'write', id: 1, content: 0, fields: { ...fields, campaign: 'may' } }),
      alone({ op: 'delete', id: 2 }),
    );
    const kinds = new Set((await changesOf(log, partition)).map(({ change }) => change.kind));
    expect(kinds).toEqual(new Set(['insert', 'update', 'delete', 'correct', 'mark']));
    expect([...(await presentOf(log, partition)).values()].map(({ content_title }) => content_title)).toEqual(
      new Array(ROWS - 1).fill('Two'),
    );
    await checkPartition({ log, source, partition, policy });
  });

  it('leaves changes that leaderboards and sinks read as before', async () => {
    const registry = schemasById({ [IDS.changeV1]: changeV1 });
    const [whole, contributions] = [changeDecoder(registry), leaderboardChangeDecoder(registry)];
    for (const { value } of log.records(CHANGES, partition)) {
      await whole.prepare([value]);
      await contributions.prepare([value]);
      const { after } = whole.decode(value!);
      expect(after).toMatchObject({ extra: null, duration_ms: 6_000, duration_ms_wide: null });
      expect(contributions.decode(value!).after).toMatchObject({ durationMs: 6_000, pctBp: after!.engagement_pct_bp });
    }
  });
});
