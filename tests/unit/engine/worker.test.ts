import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ErrorAction, SluiceError } from '../../../engine/errors.ts';
import { type Task, Worker } from '../../../engine/worker.ts';
import { logWith, ManualGroup, SILENT } from './manual-group.ts';

/** A task whose every run is ended by the test. */
class ScriptedTask implements Task {
  lag = 7n;
  streamTimeMs = 2_000;
  progressAt = 0;
  runs = 0;
  stops = 0;
  isolations = 0;
  isolates = false;
  #end: PromiseWithResolvers<void> | null = null;

  async run(): Promise<void> {
    this.runs++;
    this.#end = Promise.withResolvers<void>();
    await this.#end.promise;
  }

  stop(): void {
    this.stops++;
    this.#end?.resolve();
  }

  isolate(): boolean {
    this.isolations++;
    return this.isolates;
  }

  fail(action: ErrorAction): void {
    this.#end!.reject(new SluiceError('failed', { code: 'SCRIPTED', action }));
  }
}

interface Setup {
  readonly group: ManualGroup;
  readonly worker: Worker<ScriptedTask>;
  readonly tasks: ScriptedTask[];
  /** What ended the worker. */
  readonly ended: Promise<unknown>;
}

function setUp(make: () => ScriptedTask = () => new ScriptedTask()): Setup {
  const group = new ManualGroup();
  const tasks: ScriptedTask[] = [];
  const worker = new Worker<ScriptedTask>({
    name: 'w',
    input: 'in',
    client: logWith(group),
    logger: SILENT,
    createTask: () => {
      const task = make();
      tasks.push(task);
      return task;
    },
  });
  const ended = worker.run().then(
    () => null,
    (error: unknown) => error,
  );
  return { group, worker, tasks, ended };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const flush = async () => await vi.advanceTimersByTimeAsync(0);

describe('a worker', () => {
  it('starts a failed task again with growing pauses, and steadiness forgives', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    const [task] = tasks as [ScriptedTask];
    const pauses: number[] = [];
    for (let failure = 1; failure <= 9; failure++) {
      task.fail('retry');
      await flush();
      const runs = task.runs;
      const from = performance.now();
      while (task.runs === runs) await vi.advanceTimersToNextTimerAsync();
      pauses.push(performance.now() - from);
    }
    for (const [index, pause] of pauses.entries()) {
      const ceiling = Math.min(5_000, 50 * 2 ** (index + 1));
      expect(pause).toBeGreaterThanOrEqual(ceiling / 2 - 1);
      expect(pause).toBeLessThanOrEqual(ceiling + 1);
    }
    await vi.advanceTimersByTimeAsync(31_000);
    task.fail('retry');
    const from = performance.now();
    await vi.advanceTimersToNextTimerAsync();
    expect(performance.now() - from).toBeLessThanOrEqual(101);
    expect(await worker.metrics.registry.getSingleMetricAsString('sluice_task_restarts_total')).toContain(
      'sluice_task_restarts_total{worker="w",code="SCRIPTED"} 10',
    );
    await worker.stop();
  });

  it('ends with a fatal error at once, and the other tasks stop when it is stopped', async () => {
    const { group, tasks, worker, ended } = setUp();
    group.assign({ generation: 1, partitions: [0, 1] });
    tasks[0]!.fail('fatal');
    expect(await ended).toMatchObject({ code: 'SCRIPTED', action: 'fatal' });
    expect(tasks.map(({ runs }) => runs)).toEqual([1, 1]);
    await worker.stop();
    expect(tasks[1]!.stops).toBe(1);
  });

  it('ends after twenty failures in a row', async () => {
    const { group, tasks, ended } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    for (let failure = 1; failure <= 20; failure++) {
      expect(tasks[0]!.runs).toBe(failure);
      tasks[0]!.fail('reconnect');
      await flush();
      await vi.advanceTimersByTimeAsync(5_000);
    }
    expect(await ended).toMatchObject({ code: 'SCRIPTED' });
    expect(tasks[0]!.runs).toBe(20);
  });

  it('lets a task take a record at fault out, however many tries that needs, without pausing', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    const [task] = tasks as [ScriptedTask];
    task.isolates = true;
    for (let tries = 1; tries <= 50; tries++) {
      task.fail('dead-letter');
      await flush();
      await flush();
      expect(task.runs).toBe(tries + 1);
    }
    expect(task.isolations).toBe(50);
    await worker.stop();
  });

  it('counts a record at fault that cannot be taken out as a failure', async () => {
    const { group, tasks, ended } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    for (let failure = 1; failure <= 20; failure++) {
      tasks[0]!.fail('dead-letter');
      await flush();
      await vi.advanceTimersByTimeAsync(5_000);
    }
    expect(await ended).toMatchObject({ code: 'SCRIPTED', action: 'dead-letter' });
  });

  it('waits at a revocation until every task has ended', async () => {
    class Slow extends ScriptedTask {
      override stop(): void {
        this.stops++;
      }
    }
    const { group, tasks, worker } = setUp(() => new Slow());
    group.assign({ generation: 1, partitions: [0] });
    let revoked = false;
    const revoking = group.revoke().then(() => {
      revoked = true;
    });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(tasks[0]!.stops).toBe(1);
    expect(revoked).toBe(false);
    ScriptedTask.prototype.stop.call(tasks[0]!);
    await revoking;
    expect(worker.tasks.size).toBe(0);
    await worker.stop();
  });

  it('ends when a task does not stop in time: its partition has another owner by then', async () => {
    class Stuck extends ScriptedTask {
      override stop(): void {}
    }
    const { group, ended } = setUp(() => new Stuck());
    group.assign({ generation: 1, partitions: [0] });
    const revoking = group.revoke();
    await vi.advanceTimersByTimeAsync(15_000);
    await revoking;
    expect(await ended).toMatchObject({ code: 'REVOKE_TIMEOUT', action: 'fatal' });
  });

  it('does not start a task again that fails while it is taken back', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    tasks[0]!.fail('retry');
    await flush();
    await group.revoke();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tasks[0]!.runs).toBe(1);
    await worker.stop();
  });

  it('ends with what ends its membership, and with what is told to it', async () => {
    const first = setUp();
    first.group.fail(new Error('group'));
    expect(await first.ended).toMatchObject({ message: 'group' });
    const second = setUp();
    second.worker.fail(new Error('beside'));
    expect(await second.ended).toMatchObject({ message: 'beside' });
    const third = setUp();
    await third.worker.stop();
    expect(await third.ended).toBeNull();
  });
});

describe('readiness', () => {
  it('means being in the group with every task open and turning', async () => {
    const { group, tasks, worker } = setUp();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(worker.readiness()).toEqual({ ready: false, reason: 'joining the group' });
    group.assign({ generation: 1, partitions: [3, 5] });
    expect(worker.readiness()).toEqual({ ready: false, reason: 'partition 3 is opening' });
    tasks[0]!.progressAt = performance.now();
    expect(worker.readiness()).toEqual({ ready: false, reason: 'partition 5 is opening' });
    tasks[1]!.progressAt = performance.now();
    expect(worker.readiness()).toEqual({ ready: true, reason: '2 partitions' });
    await vi.advanceTimersByTimeAsync(60_001);
    tasks[0]!.progressAt = performance.now();
    expect(worker.readiness()).toEqual({ ready: false, reason: 'partition 5 is stalled' });
    await group.revoke();
    expect(worker.readiness().ready).toBe(false);
    group.assign({ generation: 2, partitions: [] });
    expect(worker.readiness()).toEqual({ ready: true, reason: '0 partitions' });
    await worker.stop();
  });
});
