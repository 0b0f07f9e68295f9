/**
 * The process `sluice.monitor`: metrics that no worker can tell of itself, because it may be dead, or because they are those of
 * a system. One loop for each system.
 */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Readiness } from '../../../engine/health.ts';
import { MonitorMetrics, type Sample } from './metrics.ts';
import { type Probe, ProbeLoop, type ProbeTiming } from './probe.ts';

/** A loop that has not ended a poll for this many intervals, and one deadline, is stuck. */
const STUCK_INTERVALS = 3;

export class Monitor {
  readonly #metrics: MonitorMetrics;
  readonly #loops: readonly ProbeLoop[];
  readonly #timing: ProbeTiming;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  /** `known`: what it says beside the answers of the probes, whoever answers. */
  constructor(probes: readonly Probe[], logger: Logger, timing: ProbeTiming, known: () => readonly Sample[]) {
    this.#metrics = new MonitorMetrics(known);
    this.#timing = timing;
    this.#loops = probes.map((probe) => new ProbeLoop(probe, this.#metrics, logger, timing));
  }

  get registry(): Registry {
    return this.#metrics.registry;
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    this.#running = Promise.all(this.#loops.map((loop) => loop.run(this.#stopping.signal)));
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Ready means that every system was asked, whatever it answered. */
  readiness(): Readiness {
    const { intervalMs, deadlineMs } = this.#timing;
    const oldest = performance.now() - STUCK_INTERVALS * intervalMs - deadlineMs;
    for (const { system, polledAt } of this.#loops) {
      if (polledAt === 0) return { ready: false, reason: `${system} was not asked yet` };
      if (polledAt < oldest) return { ready: false, reason: `asking ${system} is stuck` };
    }
    return { ready: true, reason: `${this.#loops.length} systems` };
  }
}
