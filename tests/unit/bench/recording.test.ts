import avsc from 'avsc';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { engagementChangeDecoder } from '../../../pipelines/engagement/codec/cdc.ts';
import schemas from '../../../scripts/bench/captured-schemas.json' with { type: 'json' };
import { EngagementEnvelopes } from '../../../scripts/bench/engagement-envelope.ts';
import { type RecordedChange, Recording } from '../../../scripts/bench/engagement-recording.ts';
import { heartbeat, timestampText } from '../../../scripts/bench/envelope.ts';
import { avscType, schemasById } from '../codec/debezium.ts';

const EVENTS = schemas['cdc.public.engagement_events'];
const CONTENT = schemas['cdc.public.content'];
const HEARTBEAT = schemas['cdc.public.sluice_heartbeat'];
const END_MS = Date.UTC(2026, 0, 5);
const record = (records: number) => new Recording({ records, contents: 50, seed: 7, endMs: END_MS });

type Schema = Parameters<typeof avscType>[0];
/** avsc as judge: it refuses a value with a byte too few or too many. */
const read = (schema: unknown, framed: Buffer) => avscType(schema as Schema).fromBuffer(framed.subarray(5));

function changesOf(recording: Recording): readonly RecordedChange[] {
  return [...recording.transactions()].flatMap(({ changes }) => changes);
}

describe('a recorded history', () => {
  it('holds as many changes as asked for, in the order of their positions, the same for the same seed', () => {
    const changes = changesOf(record(2_000));
    expect(changes.length).toBeGreaterThanOrEqual(2_000);
    expect(changes.length).toBeLessThan(2_700);
    expect(changes).toEqual(changesOf(record(2_000)));
    const lsns = changes.map(({ source }) => source.lsn);
    expect(lsns).toEqual(lsns.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
    expect(changes.at(-1)!.source.commitMs).toBe(END_MS);
  });

  it('changes rows from what they were, and only rows that are there', () => {
    const rows = new Map<number, unknown>();
    const count = { c: 0, u: 0, d: 0 };
    for (const { op, before, after } of changesOf(record(6_000))) {
      count[op] += 1;
      expect(before).toEqual(op === 'c' ? null : rows.get((before ?? after)!.id));
      if (after === null) rows.delete(before!.id);
      else rows.set(after.id, after);
    }
    // 8 % updates of which 15 % move to another content, 2 % deletes.
    expect(count.u / count.c).toBeGreaterThan(0.05);
    expect(count.d / count.c).toBeGreaterThan(0.02);
    expect(count.d / count.c).toBeLessThan(0.05);
  });

  it('is written as the captured schemas say, and read back by the pipeline', async () => {
    const recording = record(600);
    const { contents, users } = recording.traffic;
    const arena = new ByteWriter();
    const writer = new EngagementEnvelopes(arena, contents, users);
    const decoder = engagementChangeDecoder(schemasById({ 7: EVENTS.value as unknown as Schema }), { before: 'all' });
    const value = avscType(EVENTS.value as unknown as Schema);
    const key = avscType(EVENTS.key as unknown as Schema);
    expect(value).toBeInstanceOf(avsc.Type);
    for (const { op, before, after, source } of changesOf(recording)) {
      const row = (after ?? before)!;
      const bytes = Buffer.from(writer.event(7, op, { before, after }, source));
      const judged = value.fromBuffer(bytes.subarray(5)) as { op: string; source: { lsn: unknown; ts_ns: unknown } };
      expect(judged.op).toBe(op);
      expect(judged.source.lsn).toEqual({ long: source.lsn });
      expect(judged.source.ts_ns).toEqual({ long: BigInt(source.commitMs) * 1_000_000n });
      await decoder.prepare([bytes]);
      const change = decoder.decode(bytes);
      const told = change.after ?? change.before!;
      expect([told.id, told.eventTsMicros, told.durationMs ?? -1]).toEqual([
        BigInt(row.id),
        row.eventMicros,
        row.durationMs,
      ]);
      expect([change.lsn, change.commitTsMs, change.xid]).toEqual([source.lsn, source.commitMs, BigInt(source.xid)]);
      const id = key.fromBuffer(Buffer.from(writer.eventKey(5, row)).subarray(5)) as { id: bigint };
      expect(id.id).toBe(BigInt(row.id));
      arena.reset();
    }
  });

  it('has contents and heartbeats as the captured schemas say', () => {
    const recording = record(100);
    const { contents, users } = recording.traffic;
    const arena = new ByteWriter();
    const writer = new EngagementEnvelopes(arena, contents, users);
    const source = recording.contentSource;
    const content = read(CONTENT.value, writer.content(1, contents[0]!, source)) as { after: object };
    expect(JSON.stringify(content.after)).toContain(contents[0]!.slug);
    expect(JSON.stringify(read(CONTENT.key, writer.contentKey(1, contents[0]!)))).toMatch(/[0-9a-f-]{36}/);
    const { key, value } = heartbeat(arena, { key: 1, value: 2 }, source);
    const beat = read(HEARTBEAT.value, value) as { source: { lsn: unknown } };
    expect(beat.source.lsn).toEqual({ long: source.lsn });
    expect(read(HEARTBEAT.key, key)).toMatchObject({ id: 1 });
  });

  it('writes times as Postgres does', () => {
    expect(timestampText(Date.UTC(2026, 1, 3, 4, 5, 6, 78) * 1_000 + 9)).toBe('2026-02-03T04:05:06.078009Z');
  });
});
