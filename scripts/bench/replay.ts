/** `bench replay`: each stage and sink of a pipeline alone over a recorded history. */
import { join } from 'node:path';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import type { Service } from '../../infra/native/layout.ts';
import { kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import { mustRun } from '../start/task.ts';
import { type ProfileSummary, readProfile, renderProfile, summarise } from './cpu-profile.ts';
import { type FillResult, fillTopics } from './fill.ts';
import { type Metered, runMetered, runUntilReady } from './metered-worker.ts';
import { type OwnStack, startOwnStack } from './own-stack.ts';
import { checkProc, type Machine, machine } from './proc.ts';
import { type Rate, rateOf, rateWhile, round } from './rates.ts';
import { repeatTopic } from './repeat.ts';
import type { ReplayPipeline, StageSpec } from './replay-pipelines.ts';

export interface ReplayOptions {
  readonly pipeline: ReplayPipeline;
  readonly records: number;
  /** Contents or symbols. */
  readonly groups: number;
  /** Null for all. */
  readonly stage: string | null;
  readonly seed: number;
  /** Also with this many contents or symbols, to compare; null for not. */
  readonly growthGroups: number | null;
  /** Folder for CPU profiles; null for none. */
  readonly profileFolder: string | null;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** How the cost of a record grows; above 1 it does. */
export interface Growth {
  /** CPU per record of the last tenth of the run, to that of the second. */
  readonly rows: number | null;
  /** CPU per change of the history with the other number of contents or symbols, to that with the first. */
  readonly groups: number | null;
}

/** The same as of the records, for each change of the history: a change may lead to several records, or several to one. */
export interface PerChange {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

export interface StageResult extends Rate {
  readonly perChange: PerChange;
  readonly rssMiB: number;
  readonly serverCpuMicrosPerRecord: Readonly<Record<string, number>>;
  readonly startUpMs: number;
  readonly restarts: number;
  readonly growth: Growth;
}

export interface ReplayResult {
  readonly pipeline: string;
  /** Changes of the history. */
  readonly records: number;
  readonly groups: number;
  readonly recordBytes: number;
  readonly machine: Machine;
  readonly stages: Readonly<Record<string, StageResult>>;
  /** The same with the other number of contents or symbols, where asked for. */
  readonly other: {
    readonly groups: number;
    readonly stages: Readonly<Record<string, Rate & { readonly perChange: PerChange }>>;
  } | null;
}

const STEP_TIMEOUT_MS = 120_000;
/** A worker slower than this is not worth waiting for. */
const MIN_RECORDS_PER_SECOND = 500;
const PARTITIONS = 4;

/** Runs it. Throws what the servers, the workers and their measuring throw. */
export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  checkProc();
  const { pipeline, groups, growthGroups } = options;
  const first = await new HistoryRun(options).run();
  const second =
    growthGroups === null
      ? null
      : await new HistoryRun({ ...options, groups: growthGroups, profileFolder: null }).run();
  const names = Object.keys(pipeline.stages).filter((name) => first.runs[name] !== undefined);
  return {
    pipeline: pipeline.name,
    records: first.filled.records,
    groups,
    recordBytes: Math.round(first.filled.bytes / first.filled.records),
    machine: machine(),
    stages: Object.fromEntries(names.map((name) => [name, resultOf(name, first, second)])),
    other:
      second === null || growthGroups === null
        ? null
        : { groups: growthGroups, stages: Object.fromEntries(names.map((name) => [name, ratesOf(name, second)])) },
  };
}

function ratesOf(name: string, { filled, runs }: Recorded): Rate & { readonly perChange: PerChange } {
  const rate = rateOf(runs[name]!.samples);
  const { records, seconds, cpuMicrosPerRecord } = rate;
  const cpuMicros = round((cpuMicrosPerRecord * records) / filled.records, 2);
  return { ...rate, perChange: { perSecond: seconds === 0 ? 0 : Math.round(filled.records / seconds), cpuMicros } };
}

function resultOf(name: string, first: Recorded, second: Recorded | null): StageResult {
  const rates = ratesOf(name, first);
  const run = first.runs[name]!;
  const cpu = Object.entries(run.serverCpuMicros);
  const { records } = rates;
  const early = rateWhile(run.samples, records * 0.1, records * 0.2);
  const late = rateWhile(run.samples, records * 0.9, records);
  const other = second === null ? null : ratesOf(name, second);
  return {
    ...rates,
    rssMiB: Math.round(run.peakRssMiB),
    serverCpuMicrosPerRecord: Object.fromEntries(cpu.map(([server, micros]) => [server, round(micros / records, 2)])),
    startUpMs: run.startUpMs,
    restarts: run.restarts,
    growth: {
      rows: early === null || late === null ? null : ratio(late.cpuMicrosPerRecord, early.cpuMicrosPerRecord),
      groups: other === null ? null : ratio(other.perChange.cpuMicros, rates.perChange.cpuMicros),
    },
  };
}

function ratio(a: number, b: number): number | null {
  return b === 0 ? null : round(a / b, 2);
}

interface Recorded {
  readonly filled: FillResult;
  readonly runs: Readonly<Record<string, Metered>>;
}

/** One history on servers of its own: fill the captured topics, then one worker after the other. */
class HistoryRun {
  readonly #options: ReplayOptions;
  readonly #stages: ReplayPipeline['stages'];

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#stages = options.pipeline.stages;
  }

  async run(): Promise<Recorded> {
    const { stage, signal, say, profileFolder } = this.#options;
    const names = Object.keys(this.#stages);
    const wanted = stage === null ? names : [stage];
    const needed = names.filter((name) =>
      wanted.some((want) => want === name || this.#stages[want]!.after.includes(name)),
    );
    const specs = needed.map((name) => ({ name, spec: this.#stages[name]! }));
    const servers = new Set(specs.map(({ spec }) => spec.server).filter((server) => server !== null));
    const services: readonly Service[] = ['kafka', 'registry', ...servers];
    const started = await startOwnStack({ services, signal, say });
    const own = { ...started, env: { ...started.env, SLUICE_PIPELINES: this.#options.pipeline.name } };
    try {
      await prepare(own, services, signal);
      for (const { spec } of specs) if (spec.settle === true) await this.#settle(own, spec);
      const filled = await this.#fill(own);
      const runs: Record<string, Metered> = {};
      for (const { name, spec } of specs) {
        const measured = wanted.includes(name);
        if (spec.lengthen !== undefined) await this.#lengthen(own, spec.lengthen);
        const run = await this.#stage(own, name, measured ? profileFolder : null);
        if (measured) runs[name] = run;
      }
      return { filled, runs };
    } finally {
      await own.stack.stop({ remove: true });
    }
  }

  async #settle(own: OwnStack, spec: StageSpec): Promise<void> {
    await runUntilReady({ ...workerOptions(own, spec), timeoutMs: STEP_TIMEOUT_MS, signal: this.#options.signal });
  }

  async #lengthen(own: OwnStack, topic: string): Promise<void> {
    const { records, say } = this.#options;
    const kafka = new KafkaClient(kafkaOptions(loadConfig(own.env), 'bench'));
    try {
      const entries = await repeatTopic(kafka, { topic, partitions: PARTITIONS, atLeast: records });
      say(`${topic} holds ${entries} records`);
    } finally {
      await kafka.close();
    }
  }

  async #fill(own: OwnStack): Promise<FillResult> {
    const { pipeline, records, groups, seed, say } = this.#options;
    const config = loadConfig({ ...own.env, SLUICE_PARTITIONS: String(PARTITIONS) });
    const kafka = new KafkaClient(kafkaOptions(config, 'bench'));
    const registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
    const started = performance.now();
    try {
      const history = pipeline.history({ records, groups, seed, partitions: PARTITIONS });
      const filled = await fillTopics({ kafka, registry }, history);
      const seconds = ((performance.now() - started) / 1_000).toFixed(1);
      say(`Recorded ${filled.records} ${pipeline.words.changes} of ${groups} ${pipeline.words.groups} in ${seconds} s`);
      return filled;
    } finally {
      await kafka.close();
    }
  }

  async #stage(own: OwnStack, name: string, profileFolder: string | null): Promise<Metered> {
    const { records, signal, say } = this.#options;
    const spec = this.#stages[name]!;
    const { server } = spec;
    const pids = own.stack.pids();
    const folder = profileFolder === null ? null : join(profileFolder, name);
    const run = await runMetered({
      ...workerOptions(own, spec),
      servers: { kafka: pids.kafka, ...(server === null ? {} : { [server]: pids[server] }) },
      // Every change of the history leads to one or more changes of what others read; only the first one's own input is known exactly.
      atLeast: spec.first === true ? records : 1,
      profileFolder: folder,
      timeoutMs: 60_000 + (records / MIN_RECORDS_PER_SECOND) * 1_000,
      signal,
    });
    const rate = rateOf(run.samples);
    say(
      `${name}: ${rate.records} records, ${rate.recordsPerSecond}/s, ${rate.cpuMicrosPerRecord} µs CPU a record, ` +
        `${Math.round(run.peakRssMiB)} MiB${run.restarts === 0 ? '' : `, ${run.restarts} TASK RESTARTS`}`,
    );
    if (folder !== null) {
      const summary: ProfileSummary = summarise(readProfile(folder), run.startUpMs * 1_000);
      say(renderProfile(summary, rate.records));
    }
    return run;
  }
}

async function prepare({ env }: OwnStack, services: readonly Service[], signal: AbortSignal): Promise<void> {
  const run = { env, signal, timeoutMs: STEP_TIMEOUT_MS };
  await mustRun('schemas.ts', ['register'], run);
  await mustRun('topics.ts', ['create'], run);
  if (services.includes('clickhouse')) await mustRun('migrate.ts', ['--only', 'clickhouse'], run);
}

function workerOptions(own: OwnStack, { worker }: StageSpec) {
  return {
    name: worker,
    home: own.home,
    env: { ...own.env, SLUICE_PARTITIONS: String(PARTITIONS) },
    metricsPort: own.stack.ports.metrics,
  };
}
