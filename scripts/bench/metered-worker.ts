/** Runs one worker process alone, from its start until it has read everything, and measures it from outside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import { REPOSITORY } from '../../infra/native/layout.ts';
import { startReaper } from '../../infra/native/reaper.ts';
import { figuresOf, WorkerScraper } from '../start/worker-metrics.ts';
import { peakResidentMiB, processTimes } from './proc.ts';

export interface WorkerOptions {
  readonly name: string;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  readonly metricsPort: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface MeteredOptions extends WorkerOptions {
  /** Further processes to take CPU of: the servers that the worker works with. */
  readonly servers: Readonly<Record<string, number | null>>;
  /** Records without which it cannot have read everything. */
  readonly atLeast: number;
  /** Folder for a CPU profile; null for none. */
  readonly profileFolder: string | null;
}

/** One look at the worker. */
export interface Sample {
  readonly atMs: number;
  readonly records: number;
  readonly lag: number;
  readonly cpuMicros: number;
}

export interface Metered {
  /** The last look before the first fetch, then one look each quarter of a second, up to the first without lag. */
  readonly samples: readonly Sample[];
  readonly peakRssMiB: number;
  /** CPU of the servers in the same time. */
  readonly serverCpuMicros: Readonly<Record<string, number>>;
  /** From the process's start to the last look before the first fetch. */
  readonly startUpMs: number;
  /** Tasks that had to start again. */
  readonly restarts: number;
}

/** Often enough to see the first record, then seldom enough that answering costs nothing. */
const FIRST_EVERY_MS = 50;
const EVERY_MS = 250;
/** Without lag for so many looks, the worker is done. */
const QUIET_LOOKS = 8;
const SCRAPE_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 60_000;

/** Throws BENCH_WORKER_ENDED with the end of its log, or BENCH_TIMEOUT. */
export async function runMetered(options: MeteredOptions): Promise<Metered> {
  return await withWorker(options, options.profileFolder, async (running) => {
    return await new Meter(options, running).measure();
  });
}

/** Starts the worker, waits until it owns its partitions, and stops it. Throws as `runMetered`. */
export async function runUntilReady(options: WorkerOptions): Promise<void> {
  const scraper = new WorkerScraper(options.metricsPort);
  await withWorker(options, null, async (running) => {
    for (;;) {
      running.check();
      const { ok, reason } = await scraper.ready();
      if (ok && reason !== '0 partitions') return;
      await delay(FIRST_EVERY_MS, undefined, { signal: options.signal });
    }
  });
}

interface Running {
  readonly pid: number;
  readonly startedMs: number;
  /** Throws when the worker has ended or its time is over. */
  check(): void;
}

async function withWorker<T>(
  options: WorkerOptions,
  profileFolder: string | null,
  work: (running: Running) => Promise<T>,
): Promise<T> {
  const logFile = join(options.home, 'logs', `${options.name}.log`);
  const reaper = startReaper(join(options.home, 'bench.lock'));
  const startedMs = performance.now();
  const child = start(options, profileFolder, logFile);
  reaper.watch(child.pid!);
  const check = (): void => {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended || performance.now() - startedMs > options.timeoutMs) throw notDone(options, ended, logFile);
  };
  try {
    return await work({ pid: child.pid!, startedMs, check });
  } finally {
    await stop(child);
    reaper.forget(child.pid!);
    await reaper.close();
  }
}

function notDone({ name, timeoutMs }: WorkerOptions, ended: boolean, logFile: string): SluiceError {
  const log = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
  return new SluiceError(
    `${name} ${ended ? 'ended before it had read everything' : `was not done within ${timeoutMs / 1_000} s`}:\n${log}`,
    { code: ended ? 'BENCH_WORKER_ENDED' : 'BENCH_TIMEOUT', action: 'fatal' },
  );
}

function start({ name, env, metricsPort }: WorkerOptions, profileFolder: string | null, logFile: string): ChildProcess {
  const profile = profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
  if (profileFolder !== null) mkdirSync(profileFolder, { recursive: true });
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, [...profile, join(REPOSITORY, 'scripts', 'worker.ts'), name], {
    detached: true,
    cwd: REPOSITORY,
    env: { ...env, SLUICE_METRICS_PORT: String(metricsPort) },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  if (child.pid === undefined) {
    throw new SluiceError(`${process.execPath} could not be started`, { code: 'BENCH_WORKER_ENDED', action: 'fatal' });
  }
  return child;
}

/** Politely, so that a profile is written. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const gone = await Promise.race([exited.then(() => true), delay(STOP_TIMEOUT_MS, false, { ref: false })]);
  if (gone) return;
  child.kill('SIGKILL');
  await exited;
}

class Meter {
  readonly #options: MeteredOptions;
  readonly #running: Running;

  constructor(options: MeteredOptions, running: Running) {
    this.#options = options;
    this.#running = running;
  }

  async measure(): Promise<Metered> {
    let base = await this.#look();
    let servers = this.#serverCpu();
    let restarts = 0;
    const samples: Sample[] = [];
    // Until the first fetch has arrived every look replaces the one before: starting up is not measured. Not until the first
    // commit: with large batches a good part of the work is done by then.
    while (samples.length === 0) {
      await delay(FIRST_EVERY_MS, undefined, { signal: this.#options.signal });
      const look = await this.#look();
      if (look === null) continue;
      if (look.records > 0 || look.lag > 0) {
        samples.push(base ?? look, look);
        continue;
      }
      base = look;
      servers = this.#serverCpu();
    }
    let done = servers;
    let quiet = 0;
    while (quiet < QUIET_LOOKS) {
      await delay(EVERY_MS, undefined, { signal: this.#options.signal });
      const look = await this.#look();
      if (look === null) continue;
      restarts = look.restarts;
      const last = samples.at(-1)!;
      if (look.lag > 0 || look.records > last.records || look.records < this.#options.atLeast) {
        samples.push(look);
        done = this.#serverCpu();
        quiet = 0;
      } else {
        quiet += 1;
      }
    }
    return {
      samples: withoutTail(samples),
      peakRssMiB: peakResidentMiB(this.#running.pid),
      serverCpuMicros: Object.fromEntries(
        Object.entries(done).map(([name, micros]) => [name, micros - (servers[name] ?? 0)]),
      ),
      startUpMs: Math.round(samples[0]!.atMs - this.#running.startedMs),
      restarts,
    };
  }

  /** Null while the worker does not answer yet. */
  async #look(): Promise<(Sample & { readonly restarts: number }) | null> {
    this.#running.check();
    let page: string;
    try {
      const signal = AbortSignal.timeout(SCRAPE_TIMEOUT_MS);
      const response = await fetch(`http://127.0.0.1:${this.#options.metricsPort}/metrics`, { signal });
      page = await response.text();
    } catch {
      return null;
    }
    const atMs = performance.now();
    const { records, figures } = figuresOf(page, atMs, undefined);
    const cpuMicros = processTimes(this.#running.pid)?.cpuMicros ?? 0;
    const restarts = [...page.matchAll(/^sluice_task_restarts_total\{.*\} (\d+)/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
    return { atMs, records, lag: figures.lagRecords ?? 0, cpuMicros, restarts };
  }

  #serverCpu(): Readonly<Record<string, number>> {
    const entries = Object.entries(this.#options.servers);
    return Object.fromEntries(
      entries.map(([name, pid]) => [name, pid === null ? 0 : (processTimes(pid)?.cpuMicros ?? 0)]),
    );
  }
}

/** Up to the first look that had seen everything. */
function withoutTail(samples: readonly Sample[]): readonly Sample[] {
  const records = samples.at(-1)!.records;
  const end = samples.findIndex((sample) => sample.records === records && sample.lag === 0);
  return end < 0 ? samples : samples.slice(0, end + 1);
}
