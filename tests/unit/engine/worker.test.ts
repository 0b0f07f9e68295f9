import { type Logger, pino } from 'pino';
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
  looks = 0;
  isolates = false;
  #end: PromiseWithResolvers<void> | null = null;

  /** Whether it is running. */
  get open(): boolean {
    return this.#end !== null;
  }

  async run(): Promise<void> {
    this.runs++;
    this.#end = Promise.withResolvers<void>();
    await this.#end.promise.finally(() => {
      this.#end = null;
    });
  }

  async look(): Promise<void> {
    this.looks++;
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

function setUp(make: () => ScriptedTask = () => new ScriptedTask(), logger: Logger = SILENT): Setup {
  const group = new ManualGroup();
  const tasks: ScriptedTask[] = [];
  const worker = new Worker<ScriptedTask>({
    name: 'w',
    input: 'in',
    client: logWith(group),
    logger,
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
    await flush();
    const [task] = tasks as [ScriptedTask];
    const pauses: number[] = [];
    for (let failure = 1; failure <= 9; failure++) {
      task.fail('reconnect');
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
    task.fail('reconnect');
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
    await flush();
    tasks[0]!.fail('fatal');
    expect(await ended).toMatchObject({ code: 'SCRIPTED', action: 'fatal' });
    expect(tasks.map(({ runs }) => runs)).toEqual([1, 1]);
    await worker.stop();
    expect(tasks[1]!.stops).toBe(1);
  });

  it('ends after twenty failures in a row', async () => {
    const { group, tasks, ended } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    await flush();
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
    await flush();
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
    await flush();
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
    await flush();
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
    await flush();
    const revoking = group.revoke();
    await vi.advanceTimersByTimeAsync(15_000);
    await revoking;
    expect(await ended).toMatchObject({ code: 'REVOKE_TIMEOUT', action: 'fatal' });
  });

  it('does not start a task again that fails while it is taken back', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    await flush();
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

/** A logger that keeps what it was told from `warn` and `info` on. */
function keeping(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { lines, logger: pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line).msg) }) };
}

describe('a worker whose target is away', () => {
  const running = (tasks: readonly ScriptedTask[]) => tasks.filter(({ open }) => open);

  /** Fails every try for this long, and gives the longest pause between two. */
  async function awayFor(tasks: readonly ScriptedTask[], ms: number): Promise<{ tries: number; longest: number }> {
    const end = performance.now() + ms;
    let last = performance.now();
    let longest = 0;
    let tries = 0;
    while (performance.now() < end) {
      for (const task of running(tasks)) {
        tries++;
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
        task.fail('retry');
      }
      await vi.advanceTimersByTimeAsync(10);
      if (tries > 10) expect(running(tasks).length).toBeLessThanOrEqual(1);
    }
    return { tries, longest };
  }

  it('tries again for as long as it takes, seldom and one task at a time, and all go on when one got through', async () => {
    const { group, tasks, worker, ended } = setUp();
    group.assign({ generation: 1, partitions: [0, 1, 2, 3] });
    await flush();
    const { tries, longest } = await awayFor(tasks, 3_600_000);
    // Every 5 to 10 s (and the pause of the task itself), after a few at the beginning.
    expect(tries).toBeGreaterThan(3_600 / 16);
    expect(tries).toBeLessThan(3_600 / 5 + 20);
    expect(longest).toBeLessThan(16_000);
    expect(worker.readiness()).toEqual({
      ready: false,
      reason: expect.stringMatching(/^breaker (half-)?open: \d+ failures in 3600 s, SCRIPTED$/),
    });
    while (running(tasks).length === 0) await vi.advanceTimersByTimeAsync(10);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(running(tasks)).toHaveLength(1);
    worker.succeeded();
    await vi.advanceTimersByTimeAsync(100);
    expect(running(tasks)).toHaveLength(4);
    await worker.stop();
    expect(await ended).toBeNull();
  });

  it('says so once, and once that it is over', async () => {
    const { logger, lines } = keeping();
    const { group, tasks, worker } = setUp(undefined, logger);
    group.assign({ generation: 1, partitions: [0, 1] });
    await flush();
    await awayFor(tasks, 600_000);
    while (running(tasks).length === 0) await vi.advanceTimersByTimeAsync(10);
    worker.succeeded();
    worker.succeeded();
    expect(lines.filter((line) => line.startsWith('breaker'))).toEqual(['breaker opens', 'breaker closes']);
    expect(lines.filter((line) => line === 'starts again')).toHaveLength(4);
    await worker.stop();
  });

  it('counts the tries by reason and the time, and none of it as a restart', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    await flush();
    const { tries } = await awayFor(tasks, 100_000);
    const text = await worker.metrics.registry.metrics();
    expect(text).toContain(`sluice_retries_total{worker="w",reason="SCRIPTED"} ${tries}`);
    expect(text).toMatch(/sluice_breaker_open_seconds_total\{worker="w"\} 9\d/);
    expect(text).not.toContain('sluice_task_restarts_total{');
    await worker.stop();
  });

  it('lets another task try when the one that was let in met something else', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0, 1] });
    await flush();
    await awayFor(tasks, 60_000);
    while (running(tasks).length === 0) await vi.advanceTimersByTimeAsync(10);
    const [first] = running(tasks) as [ScriptedTask];
    first.fail('reconnect');
    await vi.advanceTimersByTimeAsync(200);
    expect(running(tasks)).toHaveLength(1);
    await worker.stop();
  });

  it('is not at its end when something else goes wrong behind a long outage', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    await flush();
    await awayFor(tasks, 3_600_000);
    while (running(tasks).length === 0) await vi.advanceTimersByTimeAsync(10);
    // A target that comes back without its data.
    tasks[0]!.fail('reconnect');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(running(tasks)).toHaveLength(1);
    await worker.stop();
  });

  it('is a ready standby when its partitions are taken away meanwhile', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    await flush();
    await awayFor(tasks, 60_000);
    await group.revoke();
    group.assign({ generation: 2, partitions: [] });
    expect(worker.readiness()).toEqual({ ready: true, reason: '0 partitions' });
    await worker.stop();
  });

  it('keeps the lag true meanwhile', async () => {
    const { group, tasks, worker } = setUp();
    group.assign({ generation: 1, partitions: [0] });
    await flush();
    await awayFor(tasks, 60_000);
    expect(tasks[0]!.looks).toBeGreaterThan(3);
    await worker.stop();
  });

  it('tries what must be there first in the same way, and stops trying when it is stopped', async () => {
    const { worker } = setUp();
    let tries = 0;
    const prepared = worker.prepare('connect', async () => {
      tries++;
      throw new SluiceError('away', { code: 'AWAY', action: 'retry' });
    });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(tries).toBeGreaterThan(40);
    expect(worker.readiness().reason).toContain('AWAY');
    await worker.stop();
    expect(await prepared).toBe(false);
    const refused = worker.prepare('connect', async () => {
      throw new SluiceError('no', { code: 'NO', action: 'fatal' });
    });
    expect(await refused).toBe(false);
  });

  it('gives up what must be there first when it can never work', async () => {
    const { worker } = setUp();
    const refused = worker.prepare('connect', async () => {
      throw new SluiceError('no', { code: 'NO', action: 'fatal' });
    });
    await expect(refused).rejects.toMatchObject({ code: 'NO' });
    expect(await worker.prepare('connect', async () => {})).toBe(true);
    await worker.stop();
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
