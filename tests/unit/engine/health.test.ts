import { afterEach, describe, expect, it } from 'vitest';
import { HealthServer, type Readiness } from '../../../engine/health.ts';
import { WorkerMetrics } from '../../../engine/metrics.ts';

const CLOSED = { state: 'closed', openMs: 0 } as const;

const metrics = () =>
  new WorkerMetrics(
    'w',
    () => [
      { partition: 0, lag: 12n, streamTimeMs: 1_500 },
      { partition: 1, lag: 0n, streamTimeMs: 0 },
    ],
    CLOSED,
  );

describe('metrics', () => {
  it('are named sluice_<name>_<unit> and labelled by worker, partition, reason and code only', async () => {
    const worker = metrics();
    worker.deadLetters('UNDECODABLE');
    worker.restarted('FENCED');
    worker.retried('REDIS_LOADING');
    const found = await worker.registry.getMetricsAsJSON();
    const own = found.filter(({ name }) => !/^sluice_(process|nodejs)_/.test(name));
    expect(own.map(({ name }) => name).sort()).toEqual([
      'sluice_breaker_open_seconds_total',
      'sluice_breaker_state',
      'sluice_commit_seconds',
      'sluice_dead_letters_total',
      'sluice_lag_records',
      'sluice_records_total',
      'sluice_retries_total',
      'sluice_stream_time_seconds',
      'sluice_task_restarts_total',
      'sluice_transaction_aborts_total',
    ]);
    for (const { name } of found) expect(name).toMatch(/^sluice_[a-z0-9_]+$/);
    const labels = new Set(own.flatMap(({ values }) => values.flatMap((value) => Object.keys(value.labels))));
    expect([...labels].filter((label) => label !== 'le').sort()).toEqual(['code', 'partition', 'reason', 'worker']);
  });

  it('count what was committed and read the tasks when they are asked', async () => {
    const worker = metrics();
    worker.records(3);
    worker.records(4);
    worker.transaction(0.03);
    const text = await worker.registry.metrics();
    expect(text).toContain('sluice_records_total{worker="w"} 7');
    expect(text).toContain('sluice_lag_records{worker="w",partition="0"} 12');
    expect(text).toContain('sluice_lag_records{worker="w",partition="1"} 0');
    expect(text).toContain('sluice_stream_time_seconds{worker="w",partition="0"} 1.5');
    expect(text).not.toContain('sluice_stream_time_seconds{worker="w",partition="1"}');
    expect(text).toContain('sluice_commit_seconds_bucket{le="0.05",worker="w"} 1');
  });

  it('say what the breaker does', async () => {
    const worker = new WorkerMetrics('w', () => [], { state: 'open', openMs: 1_500 });
    worker.retried('REDIS_LOADING');
    worker.retried('REDIS_LOADING');
    for (const _ of ['asked', 'asked again']) {
      const text = await worker.registry.metrics();
      expect(text).toContain('sluice_breaker_state{worker="w"} 2');
      expect(text).toContain('sluice_breaker_open_seconds_total{worker="w"} 1.5');
      expect(text).toContain('sluice_retries_total{worker="w",reason="REDIS_LOADING"} 2');
    }
  });

  it('forget a partition that is taken back', async () => {
    let tasks = [{ partition: 4, lag: 1n, streamTimeMs: 1 }];
    const worker = new WorkerMetrics('w', () => tasks, CLOSED);
    expect(await worker.registry.metrics()).toContain('partition="4"');
    tasks = [];
    expect(await worker.registry.metrics()).not.toContain('partition="4"');
  });
});

describe('the health endpoints', () => {
  const servers: HealthServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });

  async function serve(readiness: () => Readiness): Promise<string> {
    const server = new HealthServer('w', metrics().registry, readiness);
    servers.push(server);
    return `http://127.0.0.1:${await server.listen(0, '127.0.0.1')}`;
  }

  it('tell alive, ready and why not', async () => {
    let readiness: Readiness = { ready: false, reason: 'joining the group' };
    const url = await serve(() => readiness);
    expect((await fetch(`${url}/live`)).status).toBe(200);
    const unready = await fetch(`${url}/ready`);
    expect([unready.status, await unready.text()]).toEqual([503, 'joining the group\n']);
    readiness = { ready: true, reason: '4 partitions' };
    const ready = await fetch(`${url}/ready`);
    expect([ready.status, await ready.text()]).toEqual([200, '4 partitions\n']);
  });

  it('say whether it is ready among the metrics too', async () => {
    let ready = true;
    const url = await serve(() => ({ ready, reason: '' }));
    const page = async () => await (await fetch(`${url}/metrics`)).text();
    expect(await page()).toContain('sluice_ready{worker="w"} 1');
    ready = false;
    expect(await page()).toContain('sluice_ready{worker="w"} 0');
  });

  it('show the metrics in the text format, and what there is at any other path', async () => {
    const url = await serve(() => ({ ready: true, reason: '' }));
    const shown = await fetch(`${url}/metrics`);
    expect(shown.headers.get('content-type')).toContain('text/plain');
    expect(await shown.text()).toContain('# TYPE sluice_records_total counter');
    const other = await fetch(`${url}/`);
    expect([other.status, await other.text()]).toEqual([404, 'see /live, /ready, /metrics\n']);
  });

  it('answer 500 with the reason when something is wrong inside', async () => {
    const url = await serve(() => {
      throw new Error('inside');
    });
    const answer = await fetch(`${url}/ready`);
    expect([answer.status, await answer.text()]).toEqual([500, 'Error: inside\n']);
  });

  it('reject when the port is taken', async () => {
    const url = await serve(() => ({ ready: true, reason: '' }));
    const second = new HealthServer('w', metrics().registry, () => ({ ready: true, reason: '' }));
    await expect(second.listen(Number(new URL(url).port), '127.0.0.1')).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.close();
  });
});
