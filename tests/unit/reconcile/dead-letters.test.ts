import { describe, expect, it } from 'vitest';
import { appendDeadLetter } from '../../../engine/dead-letter.ts';
import { readDeadLetters } from '../../../pipelines/engagement/reconcile/dead-letters.ts';
import { CDC_EVENTS, DLQ } from '../../../pipelines/engagement/topics.ts';
import { type Resolution, resolutionHeaders } from '../../../pipelines/operations/dlq/letter.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';
import { CAPTURE_SCHEMAS, eventEnvelope } from '../engagement/capture.ts';
import { contentIdOf } from '../engagement/rows.ts';

const schemas = schemasById(CAPTURE_SCHEMAS);
const source = { lsn: 1n, xid: 1n, commitTsMs: Date.UTC(2026, 0, 2) };

class Dlq {
  readonly log = new MemoryLog();

  async put(id: bigint, durationMs: number, topic: string = CDC_EVENTS): Promise<bigint> {
    const eventTs = '2026-01-02T03:04:05.000000Z';
    const row = {
      id,
      content: 0,
      user: 1,
      eventType: 'play',
      eventTs,
      eventMicros: 0,
      durationMs,
      device: null,
      campaign: null,
      payload: 0,
    };
    const value = eventEnvelope(null, row, 'c', source);
    return await this.#write((batch) => {
      const record = { offset: 0n, timestampMs: 0, key: Buffer.from('k'), value, headers: [] };
      appendDeadLetter(batch, record, { reason: 'NEGATIVE_DURATION', message: '', stage: 's', topic, partition: 0 });
    });
  }

  async resolve(letter: bigint, resolution: Resolution): Promise<void> {
    await this.#write((batch) => batch.append(null, null, 0, resolutionHeaders(letter, resolution, 'run')));
  }

  async #write(append: (batch: ReturnType<ReturnType<MemoryLog['writer']>['batch']>) => void): Promise<bigint> {
    const writer = this.log.writer('w');
    await writer.fence();
    const batch = writer.batch(DLQ, 0);
    append(batch);
    const ends = await writer.commit([batch], null);
    return ends.get(`${DLQ}-0`)! - 1n;
  }

  async durations(): Promise<Record<string, number | null>> {
    const { pipeline: letters } = await readDeadLetters(this.log, schemas);
    return Object.fromEntries(
      [...letters].map(([id, { state }]) => {
        if (state === null || state === 'unknown') return [String(id), null];
        expect(state.contentId).toBe(contentIdOf(0));
        return [String(id), state.durationMs];
      }),
    );
  }
}

describe('what dead letters explain', () => {
  it('is, of each row, the newest letter of a captured record', async () => {
    const dlq = new Dlq();
    await dlq.put(1n, -1);
    await dlq.put(1n, -2);
    await dlq.put(2n, -3);
    await dlq.put(3n, -4, 'engagement.changes');
    expect(await dlq.durations()).toEqual({ 1: -2, 2: -3 });
  });

  it('stays explained when the letter is discarded, and not when it is redriven or superseded', async () => {
    const dlq = new Dlq();
    await dlq.resolve(await dlq.put(1n, -1), 'discarded');
    await dlq.resolve(await dlq.put(2n, -2), 'redriven');
    await dlq.resolve(await dlq.put(3n, -3), 'superseded');
    expect(await dlq.durations()).toEqual({ 1: -1 });
  });

  it('is the new letter when a redriven record has failed again', async () => {
    const dlq = new Dlq();
    const first = await dlq.put(1n, -1);
    await dlq.put(1n, -2);
    await dlq.resolve(first, 'redriven');
    expect(await dlq.durations()).toEqual({ 1: -2 });
  });
});
