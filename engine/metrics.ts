/** What every worker measures; names are `sluice_<name>_<unit>`, labels bounded (worker, partition, reason). */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Breaker, BreakerState } from './breaker.ts';
import type { StageMetrics } from './stage-task.ts';

/** What the gauges read when they are scraped. */
export interface TaskView {
  readonly partition: number;
  readonly lag: bigint;
  readonly streamTimeMs: number;
}

/** How far each partition is read, for whatever reads partitions. */
export function progressGauges(registry: Registry, worker: string, tasks: () => readonly TaskView[]): void {
  const registers = [registry];
  new Gauge({
    name: 'sluice_lag_records',
    help: 'Unread offsets of the input partition, control records counted',
    labelNames: ['worker', 'partition'],
    registers,
    collect() {
      this.reset();
      for (const { partition, lag } of tasks()) this.set({ worker, partition: String(partition) }, Number(lag));
    },
  });
  new Gauge({
    name: 'sluice_stream_time_seconds',
    help: 'Newest source commit time processed, Unix seconds; now minus this is the freshness',
    labelNames: ['worker', 'partition'],
    registers,
    collect() {
      this.reset();
      for (const { partition, streamTimeMs } of tasks()) {
        if (streamTimeMs > 0) this.set({ worker, partition: String(partition) }, streamTimeMs / 1000);
      }
    },
  });
}

const BREAKER_STATES: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 1, open: 2 };

export class WorkerMetrics implements StageMetrics {
  readonly registry = new Registry();
  readonly #worker: string;
  readonly #records: Counter;
  readonly #deadLetters: Counter;
  readonly #restarts: Counter;
  readonly #aborts: Counter;
  readonly #retries: Counter;
  readonly #transactions: Histogram;

  constructor(worker: string, tasks: () => readonly TaskView[], breaker: Pick<Breaker, 'state' | 'openMs'>) {
    this.#worker = worker;
    const registers = [this.registry];
    const labelNames = ['worker'];
    this.registry.setDefaultLabels({});
    collectDefaultMetrics({ register: this.registry, prefix: 'sluice_' });
    this.#records = new Counter({
      name: 'sluice_records_total',
      help: 'Input records whose outputs are committed',
      labelNames,
      registers,
    });
    this.#deadLetters = new Counter({
      name: 'sluice_dead_letters_total',
      help: 'Records written to the dead-letter topic',
      labelNames: ['worker', 'reason'],
      registers,
    });
    this.#restarts = new Counter({
      name: 'sluice_task_restarts_total',
      help: 'Tasks started again after an error other than a transient one, by its code',
      labelNames: ['worker', 'code'],
      registers,
    });
    this.#aborts = new Counter({
      name: 'sluice_transaction_aborts_total',
      help: 'Transactions of a stage that did not commit for sure; their records are read again',
      labelNames,
      registers,
    });
    this.#retries = new Counter({
      name: 'sluice_retries_total',
      help: 'Tries again after a transient error (a server away, slow or busy), by its code',
      labelNames: ['worker', 'reason'],
      registers,
    });
    new Gauge({
      name: 'sluice_breaker_state',
      help: '0 closed, 1 half-open (one try is under way), 2 open: what the worker depends on is away',
      labelNames,
      registers,
      collect() {
        this.set({ worker }, BREAKER_STATES[breaker.state]);
      },
    });
    new Counter({
      name: 'sluice_breaker_open_seconds_total',
      help: 'How long the breaker was not closed',
      labelNames,
      registers,
      collect() {
        this.reset();
        this.inc({ worker }, breaker.openMs / 1_000);
      },
    });
    this.#transactions = new Histogram({
      name: 'sluice_commit_seconds',
      help: 'Time of one commit: transaction or sink write',
      labelNames,
      registers,
      buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    });
    this.#records.inc({ worker }, 0);
    this.#aborts.inc({ worker }, 0);
    progressGauges(this.registry, worker, tasks);
  }

  records(count: number): void {
    this.#records.inc({ worker: this.#worker }, count);
  }

  deadLetters(reason: string): void {
    this.#deadLetters.inc({ worker: this.#worker, reason });
  }

  restarted(code: string): void {
    this.#restarts.inc({ worker: this.#worker, code });
  }

  aborted(): void {
    this.#aborts.inc({ worker: this.#worker });
  }

  retried(reason: string): void {
    this.#retries.inc({ worker: this.#worker, reason });
  }

  transaction(seconds: number): void {
    this.#transactions.observe({ worker: this.#worker }, seconds);
  }
}
