/**
 * A worker: a member of a consumer group that runs one task per partition it is given. A task that fails is opened again with
 * backoff: for as long as it takes while what it depends on is away (`retry`; the tasks share a breaker), else a few times. One that
 * cannot go on ends the process with its message (the supervisor of the process starts it again). Several workers of one name share the
 * partitions.
 */
import type { Logger } from 'pino';
import { backoffMs, pause, withDeadline } from './backoff.ts';
import { Breaker } from './breaker.ts';
import { actionOf, SluiceError } from './errors.ts';
import type { Readiness } from './health.ts';
import type { Assignment, LogClient, Membership } from './log.ts';
import { WorkerMetrics } from './metrics.ts';

/** What a worker needs of a task of either kind. */
export interface Task {
  readonly lag: bigint;
  readonly streamTimeMs: number;
  /** performance.now() of the last turn; 0 while it opens. */
  readonly progressAt: number;
  run(): Promise<void>;
  stop(): void;
  wake?(): void;
  /** While it waits to be opened again: looks how far the input has come, so that the lag stays true. */
  look?(): Promise<void>;
  /** After an error with action `dead-letter`: whether a smaller try can find the record at fault. */
  isolate?(): boolean;
}

export interface WorkerOptions<K extends Task> {
  readonly name: string;
  readonly input: string;
  readonly client: LogClient;
  readonly logger: Logger;
  readonly createTask: (partition: number, assignment: Assignment, worker: Worker<K>) => K;
}

interface Running<K extends Task> {
  readonly task: K;
  readonly ended: Promise<void>;
  readonly abort: AbortController;
}

/** What is tried again and again: a task, or what must be there before one. */
interface Tried {
  readonly who: string;
  readonly signal: AbortSignal;
  /** How the log names it. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly task?: Task;
}

/** Without a steady run between them. */
const MAX_GRAVE_FAILURES = 20;
const LOOK_MS = 1_000;
const STEADY_MS = 30_000;
const STALLED_MS = 60_000;
const REVOKE_DEADLINE_MS = 15_000;

export class Worker<K extends Task> {
  readonly metrics: WorkerMetrics;
  readonly membership: Membership;
  readonly #options: WorkerOptions<K>;
  readonly #running = new Map<number, Running<K>>();
  readonly #breaker = new Breaker({ now: () => performance.now() });
  readonly #stopping = new AbortController();
  #joined = false;
  #failed: (error: unknown) => void = () => {};

  constructor(options: WorkerOptions<K>) {
    this.#options = options;
    this.membership = options.client.membership(options.name, options.input);
    this.metrics = new WorkerMetrics(
      options.name,
      () =>
        [...this.#running].map(([partition, { task }]) => ({
          partition,
          lag: task.lag,
          streamTimeMs: task.streamTimeMs,
        })),
      this.#breaker,
    );
  }

  get tasks(): ReadonlyMap<number, K> {
    return new Map([...this.#running].map(([partition, { task }]) => [partition, task]));
  }

  /** Runs until `stop`. Rejects with what ended the worker. */
  async run(): Promise<void> {
    const failed = new Promise<never>((_, reject) => {
      this.#failed = reject;
    });
    const group = this.membership.run({
      assigned: (assignment) => this.#assigned(assignment),
      revoked: async () => await this.#revoked(),
    });
    await Promise.race([group, failed]);
  }

  /** What must work before the tasks can: tried under the breaker as they are. False when the worker was stopped meanwhile. */
  async prepare(what: string, work: () => Promise<void>): Promise<boolean> {
    const { signal } = this.#stopping;
    await this.#repeat({ who: what, signal, fields: { what } }, async () => {
      await work();
      this.succeeded();
    });
    return !signal.aborted;
  }

  /** A task has got something done: what it depends on is there. */
  succeeded(): void {
    const { outage, state } = this.#breaker;
    this.#breaker.succeeded();
    if (state === 'closed' || outage === null) return;
    this.#options.logger.info({ failures: outage.failures, ms: Math.round(outage.forMs) }, 'breaker closes');
  }

  /** Ends the worker: what runs beside the tasks has failed. */
  fail(error: unknown): void {
    this.#failed(error);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.membership.stop();
    await this.#revoked();
  }

  /** Ready means making progress: in the group, every task open and turning. A member without partitions is a ready standby. */
  readiness(): Readiness {
    const { state, outage } = this.#breaker;
    if (state !== 'closed' && outage !== null) {
      const seconds = Math.round(outage.forMs / 1_000);
      return {
        ready: false,
        reason: `breaker ${state}: ${outage.failures} failures in ${seconds} s, ${outage.lastCode}`,
      };
    }
    if (!this.#joined) return { ready: false, reason: 'joining the group' };
    const now = performance.now();
    for (const [partition, { task }] of this.#running) {
      if (task.progressAt === 0) return { ready: false, reason: `partition ${partition} is opening` };
      if (now - task.progressAt > STALLED_MS) return { ready: false, reason: `partition ${partition} is stalled` };
    }
    return { ready: true, reason: `${this.#running.size} partitions` };
  }

  #assigned(assignment: Assignment): void {
    const { logger } = this.#options;
    logger.info({ generation: assignment.generation, partitions: assignment.partitions }, 'assigned');
    this.#joined = true;
    // A standby depends on nothing, and nobody would find out when what was away is back.
    if (assignment.partitions.length === 0) this.succeeded();
    for (const partition of assignment.partitions) {
      const task = this.#options.createTask(partition, assignment, this);
      const abort = new AbortController();
      const ended = this.#supervise(partition, task, abort.signal);
      this.#running.set(partition, { task, ended, abort });
    }
  }

  async #revoked(): Promise<void> {
    this.#joined = false;
    const running = [...this.#running.values()];
    for (const { task, abort } of running) {
      abort.abort();
      task.stop();
    }
    const ended = Promise.all(running.map((one) => one.ended));
    await withDeadline(ended, REVOKE_DEADLINE_MS, () => {
      return new SluiceError('A task did not stop in time', { code: 'REVOKE_TIMEOUT', action: 'fatal' });
    }).catch((error: unknown) => this.fail(error));
    this.#running.clear();
  }

  async #supervise(partition: number, task: K, signal: AbortSignal): Promise<void> {
    const tried = { who: `partition ${partition}`, signal, fields: { partition }, task };
    await this.#repeat(tried, () => task.run()).catch((error: unknown) => this.fail(error));
  }

  /** Repeats what fails until it ends well or the signal comes. Throws what trying again does not mend. */
  async #repeat({ who, signal, fields, task }: Tried, work: () => Promise<void>): Promise<void> {
    let failures = 0;
    /** Those among them that are not transient. */
    let grave = 0;
    while (await this.#admitted(who, signal, task)) {
      const started = performance.now();
      try {
        await work();
        return;
      } catch (error) {
        if (signal.aborted) return;
        const action = actionOf(error);
        // Halving takes more tries than failures are allowed, and is bounded by itself.
        const isolating = action === 'dead-letter' && task?.isolate?.() === true;
        if (performance.now() - started > STEADY_MS) failures = grave = 0;
        if (!isolating) failures++;
        if (!isolating && action !== 'retry') grave++;
        this.#note({ who, fields, failures }, error);
        if (action === 'fatal' || grave >= MAX_GRAVE_FAILURES) throw error;
        await pause(isolating ? 0 : backoffMs(failures, { firstMs: 50, maxMs: 5_000 }), signal);
      } finally {
        this.#breaker.released(who);
      }
    }
  }

  #note({ who, fields, failures }: Pick<Tried, 'who' | 'fields'> & { failures: number }, error: unknown): void {
    const { logger } = this.#options;
    const code = error instanceof SluiceError ? error.code : 'UNEXPECTED';
    const wasClosed = this.#breaker.state === 'closed';
    if (actionOf(error) === 'retry') {
      this.metrics.retried(code);
      this.#breaker.failed(who, code);
    } else {
      this.metrics.restarted(code);
      this.#breaker.released(who);
    }
    const isClosed = this.#breaker.state === 'closed';
    // While it is open one line at its opening says it all.
    if (wasClosed && !isClosed) logger.warn({ ...this.#breaker.outage, err: error }, 'breaker opens');
    else logger[isClosed ? 'warn' : 'debug']({ ...fields, code, failures, err: error }, 'starts again');
  }

  /** Waits until the breaker lets in. False when the signal came first. */
  async #admitted(who: string, signal: AbortSignal, task?: Task): Promise<boolean> {
    let looked = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const waitMs = this.#breaker.admit(who);
      if (waitMs === 0) return true;
      if (performance.now() - looked >= LOOK_MS) {
        await task?.look?.().catch(() => {});
        looked = performance.now();
      }
      await pause(waitMs, signal);
    }
    this.#breaker.released(who);
    return false;
  }
}
