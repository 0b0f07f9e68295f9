import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { MonitorMetrics, type Sample } from '../../../pipelines/operations/monitor/metrics.ts';
import { Monitor } from '../../../pipelines/operations/monitor/monitor.ts';
import { type Probe, ProbeLoop } from '../../../pipelines/operations/monitor/probe.ts';

const SILENT = pino({ level: 'silent' });
const TIMING = { intervalMs: 1, deadlineMs: 5_000 };
const sample = (value: number): Sample => ({
  metric: 'sluice_slot_retained_wal_bytes',
  labels: { slot: 's' },
  value,
});

/** A system in the hands of the test: each poll does what `next` says. */
function system(name: string) {
  const state = { next: async (): Promise<readonly Sample[]> => [], opened: 0, closed: 0 };
  const probe: Probe = {
    system: name,
    open: () => {
      state.opened++;
      return { poll: () => state.next(), close: async () => void state.closed++ };
    },
  };
  return { state, probe };
}

describe('the loop of one system', () => {
  it('shows what the newest poll said, and that the system answers', async () => {
    const metrics = new MonitorMetrics();
    const { state, probe } = system('postgres');
    const loop = new ProbeLoop(probe, metrics, SILENT, TIMING);
    state.next = async () => [sample(7)];
    await loop.poll();
    expect(await metrics.registry.metrics()).toContain('sluice_slot_retained_wal_bytes{slot="s"} 7');
    state.next = async () => [sample(9)];
    await loop.poll();
    const page = await metrics.registry.metrics();
    expect(page).toContain('sluice_slot_retained_wal_bytes{slot="s"} 9');
    expect(page).toContain('sluice_probe_up{system="postgres"} 1');
    expect(state).toMatchObject({ opened: 1, closed: 0 });
  });

  it('takes the gauges of a system away that refuses, with its client, and of no other', async () => {
    const metrics = new MonitorMetrics();
    const [postgres, redis] = [system('postgres'), system('redis')];
    const loops = [postgres, redis].map(({ probe }) => new ProbeLoop(probe, metrics, SILENT, TIMING));
    postgres.state.next = async () => [sample(7)];
    for (const loop of loops) await loop.poll();
    postgres.state.next = async () => {
      throw new Error('refused');
    };
    for (const loop of loops) await loop.poll();
    const page = await metrics.registry.metrics();
    expect(page).not.toContain('sluice_slot_retained_wal_bytes{');
    expect(page).toContain('sluice_probe_up{system="postgres"} 0');
    expect(page).toContain('sluice_probe_up{system="redis"} 1');
    expect(postgres.state).toMatchObject({ opened: 1, closed: 1 });
    expect(redis.state).toMatchObject({ opened: 1, closed: 0 });
    postgres.state.next = async () => [sample(8)];
    await loops[0]!.poll();
    expect(await metrics.registry.metrics()).toContain('sluice_slot_retained_wal_bytes{slot="s"} 8');
    expect(postgres.state.opened).toBe(2);
  });

  it('gives up a system that hangs', async () => {
    const metrics = new MonitorMetrics();
    const { state, probe } = system('kafka');
    state.next = () => new Promise(() => {});
    await new ProbeLoop(probe, metrics, SILENT, { intervalMs: 1, deadlineMs: 20 }).poll();
    expect(await metrics.registry.metrics()).toContain('sluice_probe_up{system="kafka"} 0');
    expect(state.closed).toBe(1);
  });
});

describe('the monitor', () => {
  it('is ready when every system was asked, also one that refuses, and closes all of them', async () => {
    const [good, bad] = [system('redis'), system('kafka')];
    bad.state.next = async () => {
      throw new Error('refused');
    };
    const monitor = new Monitor([good.probe, bad.probe], SILENT, TIMING, () => []);
    expect(monitor.readiness()).toEqual({ ready: false, reason: 'redis was not asked yet' });
    const running = monitor.run();
    await expect.poll(() => monitor.readiness().ready).toBe(true);
    await monitor.stop();
    await running;
    for (const { state } of [good, bad]) expect(state.closed).toBe(state.opened);
  });

  it('asks the others on while one hangs, and says which one', async () => {
    const [good, hung] = [system('redis'), system('kafka')];
    const release = Promise.withResolvers<readonly Sample[]>();
    hung.state.next = () => release.promise;
    let polls = 0;
    good.state.next = async () => {
      polls++;
      return [];
    };
    const monitor = new Monitor([good.probe, hung.probe], SILENT, TIMING, () => []);
    const running = monitor.run();
    await expect.poll(() => polls).toBeGreaterThan(3);
    expect(monitor.readiness()).toEqual({ ready: false, reason: 'kafka was not asked yet' });
    release.resolve([]);
    await monitor.stop();
    await running;
  });
});
