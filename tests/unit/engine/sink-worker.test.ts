import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogReader, Membership } from '../../../engine/log.ts';
import { sinkWorker } from '../../../engine/sink-worker.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { ManualGroup, SILENT } from './manual-group.ts';
import { OffsetTarget } from './sink-targets.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A log whose group the test leads, and that counts the streams which are open. */
class CountingLog extends MemoryLog {
  readonly group = new ManualGroup();
  streams = 0;

  override membership(): Membership {
    return this.group;
  }

  override reader(): LogReader {
    const reader = super.reader();
    return {
      ...reader,
      open: (topic, partition, from) => {
        this.streams++;
        const stream = reader.open(topic, partition, from);
        const close = stream.close.bind(stream);
        return Object.assign(stream, {
          close: () => {
            this.streams--;
            close();
          },
        });
      },
    };
  }
}

function setUp(change: (target: OffsetTarget) => void = () => {}) {
  const log = new CountingLog();
  const append = (count: number) => {
    for (let i = 0; i < count; i++) log.append('in', 0, { key: Buffer.from('k'), value: Buffer.from(String(i)) });
  };
  const target = new OffsetTarget();
  change(target);
  let decoded = 0;
  const worker = sinkWorker<string>({
    definition: {
      ...{ name: 'sink', input: 'in', dlq: 'dlq', sink: target, generation: 1, maxRecords: 100 },
      prepare: async () => {},
      decode: (value) => {
        decoded++;
        return value.toString();
      },
      streamTimeMs: () => 1,
    },
    ...{ client: log, logger: SILENT, gatherMs: 1, gatherBytes: 1 },
  });
  const ended = worker.run();
  return { log, append, target, worker, ended, decoded: () => decoded };
}

const metric = async (worker: ReturnType<typeof sinkWorker>, name: string) => {
  const text = await worker.worker.metrics.registry.getSingleMetricAsString(name);
  return Number(/^sluice_\S+ (\S+)$/m.exec(text)![1]);
};

describe('a sink worker whose target goes away for an hour', () => {
  it('reads nothing meanwhile but how far it lags, and then goes on where it was', async () => {
    const { log, append, target, worker, ended, decoded } = setUp();
    append(10);
    await vi.advanceTimersByTimeAsync(0);
    log.group.assign({ generation: 1, partitions: [0] });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(target.reached).toBe(10n);
    target.accident = () => 'before';
    append(50);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await metric(worker, 'sluice_breaker_state')).not.toBe(0);
    const before = decoded();
    let most = 0;
    for (let minute = 0; minute < 60; minute++) {
      append(1_000);
      await vi.advanceTimersByTimeAsync(60_000);
      most = Math.max(most, log.streams);
    }
    // Open between two tries is nothing; a try reads what is there once and writes one batch of it.
    expect(log.streams).toBe(0);
    expect(most).toBe(0);
    expect(decoded() - before).toBeLessThan(100 * (3_600 / 5));
    expect(await metric(worker, 'sluice_lag_records')).toBeGreaterThan(59_000);
    expect(worker.worker.readiness().reason).toContain('TARGET_AWAY');
    target.accident = () => null;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(target.reached).toBe(60_060n);
    expect(target.violations).toEqual([]);
    expect(target.rows).toHaveLength(60_060);
    expect(await metric(worker, 'sluice_breaker_state')).toBe(0);
    expect(await metric(worker, 'sluice_lag_records')).toBe(0);
    await worker.stop();
    await ended;
  });

  it('joins its group when its target has answered for the first time', async () => {
    let away = true;
    const { log, worker, ended } = setUp((target) => {
      target.connect = async () => {
        if (away) throw new SluiceError('away', { code: 'TARGET_AWAY', action: 'retry' });
      };
    });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(log.group.joined).toBe(false);
    expect(worker.worker.readiness()).toMatchObject({ ready: false, reason: expect.stringContaining('TARGET_AWAY') });
    away = false;
    await vi.advanceTimersByTimeAsync(15_000);
    expect(log.group.joined).toBe(true);
    await worker.stop();
    await ended;
  });
});
