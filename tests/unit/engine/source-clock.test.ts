import { afterEach, describe, expect, it } from 'vitest';
import type { LogRecord } from '../../../engine/log.ts';
import { type ClockReading, SourceClock } from '../../../engine/source-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const clocks: SourceClock[] = [];
afterEach(async () => {
  for (const clock of clocks.splice(0)) await clock.close();
});

const tick = (log: MemoryLog, position: number) =>
  log.append('clock', 0, { value: Buffer.from(String(position)), timestampMs: position * 1_000 });

const decode = ({ value, timestampMs }: LogRecord): ClockReading | null =>
  value === null ? null : { position: BigInt(value.toString()), timeMs: timestampMs };

function clockOn(
  log: MemoryLog,
  listener: (reading: ClockReading) => Promise<void>,
  failed: (error: unknown) => void = () => {},
): SourceClock {
  const clock = new SourceClock(log, { topic: 'clock', decode, prepare: async () => {}, listener, failed });
  clocks.push(clock);
  return clock;
}

describe('the source clock', () => {
  it('tells the newest reading at its start, however long the topic, and every newer one', async () => {
    const log = new MemoryLog();
    for (let position = 1; position <= 1_000; position++) tick(log, position);
    const seen: ClockReading[] = [];
    const reads: bigint[] = [];
    const clock = new SourceClock(log, {
      topic: 'clock',
      decode,
      prepare: async (records) => void reads.push(...records.map(({ offset }) => offset)),
      listener: async (reading) => void seen.push(reading),
      failed: () => {},
    });
    clocks.push(clock);
    await clock.start();
    await expect.poll(() => seen).toEqual([{ position: 1_000n, timeMs: 1_000_000 }]);
    expect(reads).toEqual([996n, 997n, 998n, 999n]);
    tick(log, 1_001);
    await expect.poll(() => seen.at(-1)?.position).toBe(1_001n);
  });

  it('passes over what is no reading', async () => {
    const log = new MemoryLog();
    const seen: bigint[] = [];
    const clock = clockOn(log, async ({ position }) => void seen.push(position));
    await clock.start();
    tick(log, 5);
    log.append('clock', 0, { key: Buffer.from('k'), value: null });
    await expect.poll(() => seen).toEqual([5n]);
  });

  it('tells one reading at a time and leaves out those that a newer one overtook', async () => {
    const log = new MemoryLog();
    const seen: bigint[] = [];
    const gate = Promise.withResolvers<void>();
    let inside = 0;
    let most = 0;
    const clock = clockOn(log, async ({ position }) => {
      most = Math.max(most, ++inside);
      seen.push(position);
      if (position === 1n) await gate.promise;
      inside--;
    });
    tick(log, 1);
    await clock.start();
    await expect.poll(() => seen).toEqual([1n]);
    for (let position = 2; position <= 9; position++) tick(log, position);
    gate.resolve();
    await expect.poll(() => seen.at(-1)).toBe(9n);
    expect(most).toBe(1);
    expect(seen).toEqual([1n, 9n]);
  });

  it('reports a failure of its listener once and ends', async () => {
    const log = new MemoryLog();
    const failures: unknown[] = [];
    const clock = clockOn(
      log,
      async () => {
        throw new Error('listener');
      },
      (error) => failures.push(error),
    );
    tick(log, 1);
    await clock.start();
    await expect.poll(() => failures).toEqual([new Error('listener')]);
    tick(log, 2);
    await clock.close();
    expect(failures).toHaveLength(1);
  });
});
