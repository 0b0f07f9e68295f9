import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { kafkaProbe } from '../../../pipelines/operations/monitor/kafka-probe.ts';
import { LetterCount } from '../../../pipelines/operations/monitor/letters.ts';
import type { Sample } from '../../../pipelines/operations/monitor/metrics.ts';
import {
  alwaysMonitored,
  limitSamples,
  type MonitoredPipeline,
} from '../../../pipelines/operations/monitor/monitored.ts';
import { diskProbe, oldestStamps, slotSamples } from '../../../pipelines/operations/monitor/probes.ts';
import { PRICES_MONITORED } from '../../../pipelines/prices/monitored.ts';
import { CANDLES_SINK, LATEST_SINK } from '../../../pipelines/prices/topics.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const values = (samples: readonly Sample[]) =>
  Object.fromEntries(samples.map(({ metric, labels, value }) => [[metric, ...Object.values(labels)].join(' '), value]));

describe('the replication slot', () => {
  it('is usable with its WAL, and says how much there is', () => {
    const found = slotSamples('s', { active: true, usable: true, retained: 4_096n });
    expect(values(found)).toEqual({
      'sluice_slot_usable s': 1,
      'sluice_slot_active s': 1,
      'sluice_slot_retained_wal_bytes s': 4_096,
    });
  });

  it.each([
    ['is not there', undefined],
    ['was invalidated', { active: false, usable: false, retained: null }],
    ['has no position', { active: false, usable: true, retained: null }],
  ])('is not usable when it %s', (_, row) => {
    expect(values(slotSamples('s', row))).toEqual({ 'sluice_slot_usable s': 0, 'sluice_slot_active s': 0 });
  });
});

it('takes the stalest leaderboard of each partition', () => {
  const stamps = (times: Record<number, string>) =>
    new Map(Object.entries(times).map(([partition, time]) => [Number(partition), { stream_time: time }]));
  const unstamped = new Map([[2, { fence: '1' } as Record<string, string>]]);
  const found = oldestStamps([stamps({ 0: '100', 1: '90' }), stamps({ 0: '80', 1: '95' }), unstamped]);
  expect([...found]).toEqual([
    [0, 80],
    [1, 90],
  ]);
});

describe('free space', () => {
  it('is told for each folder, and a folder that is not there is an error', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-disk-'));
    try {
      const found = values(await diskProbe([folder]).open().poll());
      expect(found[`sluice_disk_free_bytes ${folder}`]).toBeGreaterThan(0);
      expect(found[`sluice_disk_size_bytes ${folder}`]).toBeGreaterThanOrEqual(
        found[`sluice_disk_free_bytes ${folder}`]!,
      );
      await expect(
        diskProbe([join(folder, 'gone')])
          .open()
          .poll(),
      ).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('Kafka', () => {
  const pipeline: MonitoredPipeline = {
    name: 'p',
    workers: [
      { name: 'p.a', input: 'in' },
      { name: 'p.b', input: 'out' },
    ],
    transactional: ['out'],
    dlq: 'dlq',
    clickHouseSinks: [],
    redisSinks: [],
  };
  const text = (value: string) => ({ key: null, value: Buffer.from(value) });

  function probeOf(log: MemoryLog, prepare = async () => {}) {
    return kafkaProbe({
      client: () => log,
      clock: {
        topic: 'clock',
        prepare,
        decode: ({ value }) => ({ position: 1n, timeMs: Number(value) }),
      },
      pipelines: [{ source: alwaysMonitored(pipeline), letters: new LetterCount(pipeline.name) }],
    }).open();
  }

  async function commit(log: MemoryLog, group: string, topic: string, offset: bigint): Promise<void> {
    const writer = log.writer(`${group}-0`);
    await writer.fence();
    await writer.commit([], { group, topic, partition: 0, offset, metadata: '' });
  }

  /** One letter and its commit marker. */
  async function letter(log: MemoryLog): Promise<void> {
    const writer = log.writer('letters');
    await writer.fence();
    const batch = writer.batch('dlq', 0);
    const headers = Object.entries({ 'sluice.stage': 'p.a', 'sluice.reason': 'BAD' });
    batch.append(
      null,
      null,
      0,
      headers.map(([key, value]) => ({ key, value: Buffer.from(value) })),
    );
    await writer.commit([batch], { group: 'letters', topic: 'none', partition: 0, offset: 0n, metadata: '' });
  }

  it('tells the lag of workers that run and of those that never did, the clock, and the letters', async () => {
    const log = new MemoryLog();
    for (const value of ['1', '2', '3']) log.append('in', 0, text(value));
    for (const value of ['1', '2']) log.append('out', 0, text(value));
    for (const ms of ['5000', '6000']) log.append('clock', 0, text(ms));
    await letter(log);
    await commit(log, 'p.a', 'in', 2n);
    const session = probeOf(log);
    expect(values(await session.poll())).toMatchObject({
      'sluice_group_lag_records p p.a in 0': 1,
      'sluice_group_lag_records p p.b out 0': 2,
      sluice_source_clock_seconds: 6,
      'sluice_dlq_letters p p.a BAD': 1,
      'sluice_last_stable_offset p out 0': 2,
      'sluice_unstable_records p out 0': 0,
    });
    await letter(log);
    expect(values(await session.poll())['sluice_dlq_letters p p.a BAD']).toBe(2);
  });

  it('answers without a clock reading while the registry is away', async () => {
    const log = new MemoryLog();
    log.append('clock', 0, text('5000'));
    const session = probeOf(log, async () => {
      throw new Error('registry away');
    });
    const found = values(await session.poll());
    expect(found).not.toHaveProperty('sluice_source_clock_seconds');
    expect(found).toHaveProperty('sluice_last_stable_offset p out 0');
  });
});

it('says of every sink how old it may be, and of every worker how far behind, as its pipeline promises or by default', () => {
  const base = { ...PRICES_MONITORED, name: 'p', limits: { [LATEST_SINK]: { staleSeconds: 5 } } };
  const found = values(limitSamples(base));
  const sinks = [...base.clickHouseSinks, ...base.redisSinks.map(({ name }) => name)];
  expect(Object.keys(found).sort()).toEqual(
    [
      ...sinks.map((sink) => `sluice_sink_stale_after_seconds p ${sink}`),
      ...base.workers.map(({ name }) => `sluice_lag_limit_records p ${name}`),
    ].sort(),
  );
  expect(found[`sluice_sink_stale_after_seconds p ${LATEST_SINK}`]).toBe(5);
  expect(found[`sluice_lag_limit_records p ${LATEST_SINK}`]).toBe(100_000);
  expect(found[`sluice_sink_stale_after_seconds p ${CANDLES_SINK}`]).toBe(60);
});
