/** The workers and the sample traffic, as supervised children. */
import { join } from 'node:path';
import { REPOSITORY } from '../../infra/native/layout.ts';
import { type ProcessSpec, type ProcessStatus, SupervisedProcess } from '../../infra/native/process.ts';
import { type Reaper, startReaper } from '../../infra/native/reaper.ts';
import { WorkerScraper } from './worker-metrics.ts';

export interface WorkerChild {
  readonly name: string;
  readonly process: SupervisedProcess;
  readonly scraper: WorkerScraper;
  readonly port: number;
}

export interface ChildrenOptions {
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  /** The first worker's metrics port; the others follow. */
  readonly metricsPort: number;
  readonly workers: readonly string[];
  readonly onChange: (status: ProcessStatus) => void;
}

/** A worker that is not up within this time has a problem that it says in its log. */
const WORKER_UP_MS = 60_000;
/** The worker's own deadline for a clean end is 20 s. */
const WORKER_STOP_MS = 25_000;

export class Children {
  readonly workers: readonly WorkerChild[];
  readonly #reaper: Reaper;
  readonly #options: ChildrenOptions;
  readonly #traffic: SupervisedProcess[] = [];

  constructor(options: ChildrenOptions) {
    this.#options = options;
    this.#reaper = startReaper(join(options.home, 'start.lock'));
    this.workers = options.workers.map((name, index) => {
      const port = options.metricsPort + index;
      const scraper = new WorkerScraper(port);
      const spec = this.#spec(name, ['worker.ts', name], { SLUICE_METRICS_PORT: String(port) });
      const process = this.#supervised({ ...spec, ready: () => scraper.live(), stopTimeoutMs: WORKER_STOP_MS });
      return { name, process, scraper, port };
    });
  }

  get traffic(): readonly SupervisedProcess[] {
    return this.#traffic;
  }

  /** All workers at once. Throws SERVICE_FAILED with the end of the log of one that does not come up. */
  async startWorkers(): Promise<void> {
    await Promise.all(this.workers.map(({ process }) => process.start()));
  }

  /** `args` are those of scripts/generate.ts. */
  async startTraffic(name: string, args: readonly string[]): Promise<void> {
    const spec = this.#spec(name, ['generate.ts', ...args], {});
    const traffic = this.#supervised({ ...spec, ready: async () => true });
    this.#traffic.push(traffic);
    await traffic.start();
  }

  async stopTraffic(): Promise<void> {
    await Promise.all(this.#traffic.map((traffic) => traffic.stop()));
  }

  /** Traffic first, so that the workers can finish what is there. */
  async stop(): Promise<void> {
    await this.stopTraffic();
    await Promise.all(this.workers.map(({ process }) => process.stop()));
    await this.#reaper.close();
  }

  #supervised(spec: ProcessSpec): SupervisedProcess {
    return new SupervisedProcess(spec, this.#reaper, this.#options.onChange);
  }

  #spec(name: string, [script, ...args]: readonly string[], env: NodeJS.ProcessEnv): Omit<ProcessSpec, 'ready'> {
    return {
      name,
      command: process.execPath,
      args: [join(REPOSITORY, 'scripts', script ?? ''), ...args],
      env: { ...this.#options.env, ...env },
      cwd: REPOSITORY,
      logFile: join(this.#options.home, 'logs', `${name}.log`),
      readyTimeoutMs: WORKER_UP_MS,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 15_000,
    };
  }
}
