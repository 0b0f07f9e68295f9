/**
 * Asks one system again and again. Invariant: whatever a system does (answers, refuses, hangs), its own gauge says so within a
 * deadline, and no other system is asked later or shown differently for it.
 */
import type { Logger } from 'pino';
import { pause, withDeadline } from '../../../engine/backoff.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { MonitorMetrics, Sample } from './metrics.ts';

/** Connections to one system. Nothing is opened before the first poll. */
export interface ProbeSession {
  poll(): Promise<readonly Sample[]>;
  close(): Promise<void>;
}

export interface Probe {
  readonly system: string;
  readonly open: () => ProbeSession;
}

export interface ProbeTiming {
  readonly intervalMs: number;
  readonly deadlineMs: number;
}

const CLOSE_DEADLINE_MS = 5_000;

export class ProbeLoop {
  readonly #probe: Probe;
  readonly #metrics: MonitorMetrics;
  readonly #logger: Logger;
  readonly #timing: ProbeTiming;
  #session: ProbeSession | null = null;
  #up: boolean | null = null;
  #polledAt = 0;

  constructor(probe: Probe, metrics: MonitorMetrics, logger: Logger, timing: ProbeTiming) {
    this.#probe = probe;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#timing = timing;
  }

  get system(): string {
    return this.#probe.system;
  }

  /** performance.now() of the end of the last poll, answered or not; 0 before the first. */
  get polledAt(): number {
    return this.#polledAt;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.poll();
      await pause(this.#timing.intervalMs, signal);
    }
    await this.#drop();
  }

  /** Never throws, and ends within the deadline (and that of closing). */
  async poll(): Promise<void> {
    const { system } = this.#probe;
    const started = performance.now();
    let samples: readonly Sample[] = [];
    let problem: unknown = null;
    try {
      this.#session ??= this.#probe.open();
      samples = await withDeadline(this.#session.poll(), this.#timing.deadlineMs, () => this.#late());
    } catch (error) {
      problem = error;
    }
    const labels = { system };
    const up = problem === null;
    const seconds = (performance.now() - started) / 1_000;
    this.#metrics.show(system, [
      ...samples,
      { metric: 'sluice_probe_up', labels, value: up ? 1 : 0 },
      { metric: 'sluice_probe_seconds', labels, value: seconds },
    ]);
    if (up !== this.#up) this.#changed(up, problem);
    // A client in an unknown state is not asked again.
    if (!up) await this.#drop();
    this.#polledAt = performance.now();
  }

  /** One line for each change, not one for each poll. */
  #changed(up: boolean, problem: unknown): void {
    const { system } = this.#probe;
    if (up) this.#logger.info({ system }, 'answers');
    else this.#logger.warn({ system, err: problem }, 'does not answer');
    this.#up = up;
  }

  #late(): SluiceError {
    return new SluiceError(`${this.#probe.system} did not answer within ${this.#timing.deadlineMs} ms`, {
      code: 'PROBE_TIMEOUT',
      action: 'reconnect',
    });
  }

  async #drop(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    if (session === null) return;
    await withDeadline(session.close(), CLOSE_DEADLINE_MS, () => this.#late()).catch(() => undefined);
  }
}
