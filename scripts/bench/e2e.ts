/** `bench e2e`: a fixed rate through everything on one machine, timed where it is read. */
import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import { clickHouseConfig, loadConfig } from '../../pipelines/config.ts';
import type { RunSummary } from '../generate/run.ts';
import { Children } from '../start/children.ts';
import { deploy } from '../start/deploy.ts';
import { lastJson, type Verdict, verdictOf } from '../start/finish.ts';
import { runScript } from '../start/task.ts';
import { BacklogMeter, type BacklogReport, totalLag } from './backlog.ts';
import { clickHouseReader, type Reader, redisReader, summaryOf } from './freshness.ts';
import type { LatencySummary } from './latency.ts';
import { type Load, LoadMeter } from './load-meter.ts';
import { type OwnStack, startOwnStack } from './own-stack.ts';
import { checkProc, type Machine, machine } from './proc.ts';
import { round } from './rates.ts';
import { startTraffic, type TrafficChild } from './traffic-child.ts';

export interface E2eOptions {
  readonly rate: number;
  /** Measured; the warm-up comes in front. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly contents: number;
  /** Percent of the events. */
  readonly updates: number;
  readonly deletes: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface E2eResult {
  readonly rate: number;
  readonly seconds: number;
  /** Inserted, warm-up included. */
  readonly events: number;
  readonly redis: LatencySummary;
  readonly clickhouse: LatencySummary;
  /** Of the machine's cores, in the measured time, whoever used them. */
  readonly cpuPercent: number;
  /** Of all processes of the run together, at most, in the measured time. */
  readonly memoryMiB: number;
  /** Of it what is not pages of mapped files. */
  readonly memoryHeldMiB: number;
  /** Unread records of all workers at the end of the traffic. */
  readonly backlogEnd: number;
  readonly reconcile: Verdict;
  readonly traffic: RunSummary;
  /** CPU of the run's own processes, of the machine's cores. */
  readonly ownCpuPercent: number;
  readonly processes: Readonly<Record<string, ProcessFigures>>;
  readonly backlog: BacklogReport;
  /** From the end of the traffic until everything was read. */
  readonly drainSeconds: number;
  /** Starts of a process after the first. */
  readonly restarts: Readonly<Record<string, number>>;
  /** What a look of the readers took. */
  readonly roundTrips: { readonly redis: LatencySummary; readonly clickhouse: LatencySummary };
  readonly reconcileSeconds: number;
  readonly reconcileReport: unknown;
  readonly machine: Machine;
}

export interface ProcessFigures {
  /** Of one core. */
  readonly cpuPercent: number;
  /** CPU for each event inserted in the measured time. */
  readonly cpuMicrosPerEvent: number;
  readonly rssMiB: number;
}

const WORKERS = ['engagement.enrich', 'engagement.leaderboard', 'engagement.sink.clickhouse', 'engagement.sink.redis'];
/** The CPU of a process that has ended is counted to its parent, which is the benchmark. */
const TRAFFIC_LONGER_SECONDS = 2;
const DRAIN_TIMEOUT_MS = 300_000;
const DRAIN_EVERY_MS = 250;
const RECONCILE_TIMEOUT_MS = 900_000;

/** Runs it. Throws what the servers, the workers, the traffic and the readers throw. */
export async function e2e(options: E2eOptions): Promise<E2eResult> {
  checkProc();
  const own = await startOwnStack(options);
  const undo: (() => Promise<void> | void)[] = [() => own.stack.stop({ remove: true })];
  try {
    await deploy({ env: own.env, signal: options.signal, say: options.say, warn: options.say });
    const children = new Children({
      home: own.home,
      env: own.env,
      metricsPort: own.stack.ports.metrics,
      workers: WORKERS,
      onChange: ({ name, state, detail }) => {
        if (state === 'backoff' || state === 'failed') options.say(`${name}: ${state} (${detail ?? ''})`);
      },
    });
    undo.push(() => children.stop());
    options.say('Starting the workers');
    await children.startWorkers();
    return await new Run(options, own, children, undo).measure();
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

class Run {
  readonly #options: E2eOptions;
  readonly #own: OwnStack;
  readonly #children: Children;
  readonly #traffic: TrafficChild;
  readonly #redis: Reader;
  readonly #clickhouse: Reader;
  readonly #backlog: BacklogMeter;
  readonly #load: LoadMeter;

  constructor(options: E2eOptions, own: OwnStack, children: Children, undo: (() => Promise<void> | void)[]) {
    this.#options = options;
    this.#own = own;
    this.#children = children;
    const config = loadConfig(own.env);
    this.#redis = redisReader(config.SLUICE_REDIS_URL, config.SLUICE_PARTITIONS);
    undo.push(() => this.#redis.close());
    this.#clickhouse = clickHouseReader(clickHouseConfig(config), config.SLUICE_PARTITIONS);
    undo.push(() => this.#clickhouse.close());
    this.#backlog = new BacklogMeter(config.SLUICE_POSTGRES_URL, children.workers);
    undo.push(() => this.#backlog.close());
    this.#load = new LoadMeter(() => this.#pids(), machine().cores);
    undo.push(() => this.#load.close());
    const seconds = options.warmUpSeconds + options.seconds + TRAFFIC_LONGER_SECONDS;
    options.say(`Traffic: ${options.rate} events/s, ${options.warmUpSeconds} s to warm up, then ${options.seconds} s`);
    this.#traffic = startTraffic(
      [
        ...['--rate', String(options.rate), '--seconds', String(seconds), '--seed', String(options.seed)],
        ...['--updates', String(options.updates), '--deletes', String(options.deletes)],
        ...['--contents', String(options.contents)],
      ],
      own.env,
    );
    undo.push(() => this.#traffic.stop());
  }

  async measure(): Promise<E2eResult> {
    const { options, load, backlog } = await this.#measuredTime();
    const traffic = await this.#traffic.done;
    const drainSeconds = await this.#drain();
    const redis = this.#redis.tracker.latencies.summary();
    const clickhouse = this.#clickhouse.tracker.latencies.summary();
    if (redis === null || clickhouse === null) {
      throw new SluiceError('Nothing of the traffic became visible', { code: 'BENCH_NOTHING_SEEN', action: 'fatal' });
    }
    const roundTrips = {
      redis: summaryOf(this.#redis.roundTrips),
      clickhouse: summaryOf(this.#clickhouse.roundTrips),
    };
    // No reader of ours disturbs the comparison.
    await Promise.all([this.#redis.close(), this.#clickhouse.close()]);
    const compared = await this.#reconcile();
    return {
      rate: options.rate,
      seconds: options.seconds,
      events: traffic.inserted,
      redis,
      clickhouse,
      cpuPercent: load.machineCpuPercent,
      memoryMiB: load.memoryMiB,
      memoryHeldMiB: load.memoryHeldMiB,
      backlogEnd: backlog.endRecords,
      reconcile: compared.verdict,
      traffic,
      ownCpuPercent: load.ownCpuPercent,
      processes: processesOf(load, options.rate * load.seconds),
      backlog,
      drainSeconds,
      restarts: this.#restarts(),
      roundTrips,
      reconcileSeconds: compared.seconds,
      reconcileReport: compared.report,
      machine: machine(),
    };
  }

  async #measuredTime(): Promise<{ options: E2eOptions; load: Load; backlog: BacklogReport }> {
    const options = this.#options;
    const trackers = [this.#redis.tracker, this.#clickhouse.tracker];
    await this.#whileTraffic(options.warmUpSeconds);
    for (const tracker of trackers) tracker.begin(Date.now());
    this.#load.begin();
    this.#backlog.begin();
    options.say('Measuring');
    await this.#whileTraffic(options.seconds);
    const load = this.#load.end();
    for (const tracker of trackers) tracker.end(Date.now());
    return { options, load, backlog: await this.#backlog.end() };
  }

  /** Waits; throws when the traffic fails meanwhile. */
  async #whileTraffic(seconds: number): Promise<void> {
    const over = new AbortController();
    const failed = this.#traffic.done.then(() => new Promise<never>(() => undefined));
    const signal = AbortSignal.any([over.signal, this.#options.signal]);
    try {
      await Promise.race([delay(seconds * 1_000, undefined, { signal }), failed]);
    } finally {
      over.abort();
    }
  }

  /** Waits until every worker has read everything. Throws BENCH_TIMEOUT. */
  async #drain(): Promise<number> {
    const started = performance.now();
    const committed = Date.now();
    for (let quiet = 0; quiet < 4; ) {
      if (performance.now() - started > DRAIN_TIMEOUT_MS) {
        throw new SluiceError('The workers did not catch up after the traffic', {
          code: 'BENCH_TIMEOUT',
          action: 'fatal',
        });
      }
      const backlog = await this.#backlog.now();
      // The stamps in Redis go on with the source clock, so they say when capture has come to the end, too.
      const caughtUp = totalLag(backlog) === 0 && this.#redis.tracker.oldest >= committed;
      quiet = caughtUp ? quiet + 1 : 0;
      await delay(DRAIN_EVERY_MS, undefined, { signal: this.#options.signal });
    }
    return round((performance.now() - started) / 1_000, 1);
  }

  async #reconcile(): Promise<{ readonly verdict: Verdict; readonly seconds: number; readonly report: unknown }> {
    this.#options.say('Comparing everything with Postgres');
    const started = performance.now();
    const { env } = this.#own;
    const { signal } = this.#options;
    const { code, output } = await runScript('reconcile.ts', ['--json'], {
      env,
      signal,
      timeoutMs: RECONCILE_TIMEOUT_MS,
    });
    const report = lastJson(output);
    return { verdict: verdictOf(code, report), seconds: round((performance.now() - started) / 1_000, 1), report };
  }

  #pids(): Readonly<Record<string, number | null>> {
    const workers = this.#children.workers.map(({ name, process }) => [name, process.status.pid] as const);
    return {
      ...this.#own.stack.pids(),
      ...Object.fromEntries(workers),
      traffic: this.#traffic.pid,
      benchmark: process.pid,
    };
  }

  #restarts(): Readonly<Record<string, number>> {
    const statuses = [...this.#own.stack.status(), ...this.#children.workers.map((worker) => worker.process.status)];
    return Object.fromEntries(
      statuses.filter(({ restarts }) => restarts > 0).map(({ name, restarts }) => [name, restarts]),
    );
  }
}

function processesOf({ processes }: Load, events: number): Readonly<Record<string, ProcessFigures>> {
  return Object.fromEntries(
    Object.entries(processes).map(([name, { cpuPercent, cpuMicros, rssMiB }]) => [
      name,
      { cpuPercent, cpuMicrosPerEvent: round(cpuMicros / events, 2), rssMiB },
    ]),
  );
}
