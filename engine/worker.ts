/**
 * A worker: a member of a consumer group that runs one task per partition it is given. A task that fails is opened again
 * with backoff; one that cannot go on, or fails too often in a row, ends the process with its message (the supervisor of the process
 * starts it again). Several workers of one name share the partitions.
 */
import type { Logger } from 'pino';
import { backoffMs, pause, withDeadline } from './backoff.ts';
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

const MAX_FAILURES_IN_A_ROW = 20;
const STEADY_MS = 30_000;
const STALLED_MS = 60_000;
const REVOKE_DEADLINE_MS = 15_000;

export class Worker<K extends Task> {
  readonly metrics: WorkerMetrics;
  readonly membership: Membership;
  readonly #options: WorkerOptions<K>;
  readonly #running = new Map<number, Running<K>>();
  #joined = false;
  #failed: (error: unknown) => void = () => {};

  constructor(options: WorkerOptions<K>) {
    this.#options = options;
    this.membership = options.client.membership(options.name, options.input);
    this.metrics = new WorkerMetrics(options.name, () =>
      [...this.#running].map(([partition, { task }]) => ({
        partition,
        lag: task.lag,
        streamTimeMs: task.streamTimeMs,
      })),
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

  /** Ends the worker: what runs beside the tasks has failed. */
  fail(error: unknown): void {
    this.#failed(error);
  }

  async stop(): Promise<void> {
    await this.membership.stop();
    await this.#revoked();
  }

  /** Ready means making progress: in the group, every task open and turning. A member without partitions is a ready standby. */
  readiness(): Readiness {
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
    const { logger } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const started = performance.now();
      try {
        await task.run();
      } catch (error) {
        if (signal.aborted) return;
        const code = error instanceof SluiceError ? error.code : 'UNEXPECTED';
        const action = actionOf(error);
        // Halving takes more tries than failures are allowed, and is bounded by itself.
        const isolating = action === 'dead-letter' && task.isolate?.() === true;
        if (!isolating) failures = performance.now() - started > STEADY_MS ? 1 : failures + 1;
        this.metrics.restarted(code);
        logger.warn({ partition, code, failures, err: error }, 'task starts again');
        if (action === 'fatal' || failures >= MAX_FAILURES_IN_A_ROW) {
          this.fail(error);
          return;
        }
        await pause(isolating ? 0 : backoffMs(failures, { firstMs: 50, maxMs: 5_000 }), signal);
      }
    }
  }
}
