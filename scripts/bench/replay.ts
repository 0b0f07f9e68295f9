/** `bench replay`: each stage and sink alone over a recorded history. */
import { join } from 'node:path';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import type { Service } from '../../infra/native/layout.ts';
import { kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import { LEADERBOARDS } from '../../pipelines/engagement/topics.ts';
import { mustRun } from '../start/task.ts';
import { type ProfileSummary, readProfile, renderProfile, summarise } from './cpu-profile.ts';
import { type FillResult, fillTopics } from './fill.ts';
import { type Metered, runMetered, runUntilReady } from './metered-worker.ts';
import { type OwnStack, startOwnStack } from './own-stack.ts';
import { checkProc, type Machine, machine } from './proc.ts';
import { type Rate, rateOf, rateWhile, round } from './rates.ts';
import { repeatTopic } from './repeat.ts';

export const STAGES = ['enrich', 'leaderboard', 'clickhouse', 'redis'] as const;
export type StageName = (typeof STAGES)[number];

export interface ReplayOptions {
  readonly records: number;
  readonly contents: number;
  /** Null for all. */
  readonly stage: StageName | null;
  readonly seed: number;
  /** Also with this many contents, to compare; null for not. */
  readonly growthContents: number | null;
  /** Folder for CPU profiles; null for none. */
  readonly profileFolder: string | null;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** How the cost of a record grows; above 1 it does. */
export interface Growth {
  /** CPU per record of the last tenth of the run, to that of the second. */
  readonly rows: number | null;
  /** CPU per record with many contents, to that with few. */
  readonly contents: number | null;
}

export interface StageResult extends Rate {
  readonly rssMiB: number;
  readonly serverCpuMicrosPerRecord: Readonly<Record<string, number>>;
  readonly startUpMs: number;
  readonly restarts: number;
  readonly growth: Growth;
}

export interface ReplayResult {
  readonly records: number;
  readonly contents: number;
  readonly recordBytes: number;
  readonly machine: Machine;
  readonly stages: Readonly<Partial<Record<StageName, StageResult>>>;
  /** The same with other many contents, where asked for. */
  readonly manyContents: {
    readonly contents: number;
    readonly stages: Readonly<Partial<Record<StageName, Rate>>>;
  } | null;
}

interface StageSpec {
  readonly worker: string;
  readonly server: Service | null;
  /** What must have run, so that there is something to read. */
  readonly after: readonly StageName[];
}

const SPECS: Readonly<Record<StageName, StageSpec>> = {
  enrich: { worker: 'engagement.enrich', server: null, after: [] },
  leaderboard: { worker: 'engagement.leaderboard', server: null, after: ['enrich'] },
  clickhouse: { worker: 'engagement.sink.clickhouse', server: 'clickhouse', after: ['enrich'] },
  redis: { worker: 'engagement.sink.redis', server: 'redis', after: ['enrich', 'leaderboard'] },
};

const STEP_TIMEOUT_MS = 120_000;
/** A worker slower than this is not worth waiting for. */
const MIN_RECORDS_PER_SECOND = 500;
const PARTITIONS = 4;

/** Runs it. Throws what the servers, the workers and their measuring throw. */
export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  checkProc();
  const first = await runHistory(options, options.contents);
  const { growthContents } = options;
  const second = growthContents === null ? null : await runHistory({ ...options, profileFolder: null }, growthContents);
  const stages: Partial<Record<StageName, StageResult>> = {};
  const many: Partial<Record<StageName, Rate>> = {};
  for (const name of STAGES) {
    const run = first.runs[name];
    if (run === undefined) continue;
    const other = second?.runs[name];
    if (other !== undefined) many[name] = rateOf(other.samples);
    stages[name] = resultOf(run, other ?? null);
  }
  return {
    records: first.filled.records,
    contents: options.contents,
    recordBytes: Math.round(first.filled.bytes / first.filled.records),
    machine: machine(),
    stages,
    manyContents: growthContents === null ? null : { contents: growthContents, stages: many },
  };
}

function resultOf(run: Metered, manyContents: Metered | null): StageResult {
  const rate = rateOf(run.samples);
  const cpu = Object.entries(run.serverCpuMicros);
  const { records } = rate;
  const early = rateWhile(run.samples, records * 0.1, records * 0.2);
  const late = rateWhile(run.samples, records * 0.9, records);
  const other = manyContents === null ? null : rateOf(manyContents.samples);
  return {
    ...rate,
    rssMiB: Math.round(run.peakRssMiB),
    serverCpuMicrosPerRecord: Object.fromEntries(cpu.map(([name, micros]) => [name, round(micros / records, 2)])),
    startUpMs: run.startUpMs,
    restarts: run.restarts,
    growth: {
      rows: early === null || late === null ? null : ratio(late.cpuMicrosPerRecord, early.cpuMicrosPerRecord),
      contents: other === null ? null : ratio(other.cpuMicrosPerRecord, rate.cpuMicrosPerRecord),
    },
  };
}

function ratio(a: number, b: number): number | null {
  return b === 0 ? null : round(a / b, 2);
}

interface HistoryRun {
  readonly filled: FillResult;
  readonly runs: Readonly<Partial<Record<StageName, Metered>>>;
}

/** One history on servers of its own: fill the captured topics, then one worker after the other. */
async function runHistory(options: ReplayOptions, contents: number): Promise<HistoryRun> {
  const wanted = options.stage === null ? STAGES : [options.stage];
  const needed = STAGES.filter((name) => wanted.some((want) => want === name || SPECS[want].after.includes(name)));
  const servers = needed.map((name) => SPECS[name].server).filter((server) => server !== null);
  const services: readonly Service[] = ['kafka', 'registry', ...servers];
  const own = await startOwnStack({ services, signal: options.signal, say: options.say });
  try {
    await prepare(own, services, options.signal);
    if (needed.includes('redis')) await settleRedis(own, options);
    const filled = await fill(own, options, contents);
    const runs: Partial<Record<StageName, Metered>> = {};
    for (const name of needed) {
      const measured = wanted.includes(name);
      if (name === 'redis') await lengthenLeaderboards(own, options);
      const run = await runStage(own, name, { ...options, profileFolder: measured ? options.profileFolder : null });
      if (measured) runs[name] = run;
    }
    return { filled, runs };
  } finally {
    await own.stack.stop({ remove: true });
  }
}

async function prepare({ env }: OwnStack, services: readonly Service[], signal: AbortSignal): Promise<void> {
  const run = { env, signal, timeoutMs: STEP_TIMEOUT_MS };
  await mustRun('schemas.ts', ['register'], run);
  await mustRun('topics.ts', ['create'], run);
  if (services.includes('clickhouse')) await mustRun('migrate.ts', ['--only', 'clickhouse'], run);
}

/**
 * A Redis that holds nothing is filled by a rebuild, in one piece. What is measured is the daily work instead: batch after batch
 * behind the fence. So the sink takes its (empty) partitions over once before there is anything to read.
 */
async function settleRedis(own: OwnStack, { signal }: ReplayOptions): Promise<void> {
  const worker = stageWorkerOptions(own, 'redis');
  await runUntilReady({ ...worker, timeoutMs: STEP_TIMEOUT_MS, signal });
}

function stageWorkerOptions(own: OwnStack, name: StageName) {
  return {
    name: SPECS[name].worker,
    home: own.home,
    env: { ...own.env, SLUICE_PARTITIONS: String(PARTITIONS) },
    metricsPort: own.stack.ports.metrics,
  };
}

/** A history gives few entries, since a board changes once a transaction: as many as there are changes are needed for a steady figure. */
async function lengthenLeaderboards(own: OwnStack, { records, say }: ReplayOptions): Promise<void> {
  const kafka = new KafkaClient(kafkaOptions(loadConfig(own.env), 'bench'));
  try {
    const entries = await repeatTopic(kafka, { topic: LEADERBOARDS, partitions: PARTITIONS, atLeast: records });
    say(`${LEADERBOARDS} holds ${entries} records`);
  } finally {
    await kafka.close();
  }
}

async function fill(own: OwnStack, options: ReplayOptions, contents: number): Promise<FillResult> {
  const config = loadConfig({ ...own.env, SLUICE_PARTITIONS: String(PARTITIONS) });
  const kafka = new KafkaClient(kafkaOptions(config, 'bench'));
  const registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  const started = performance.now();
  try {
    const recording = { records: options.records, contents, seed: options.seed, endMs: Date.now() };
    const filled = await fillTopics({ kafka, registry }, { ...recording, partitions: PARTITIONS });
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    options.say(`Recorded ${filled.records} changes of ${filled.contents} contents in ${seconds} s`);
    return filled;
  } finally {
    await kafka.close();
  }
}

async function runStage(own: OwnStack, name: StageName, options: ReplayOptions): Promise<Metered> {
  const { server } = SPECS[name];
  const pids = own.stack.pids();
  const folder = options.profileFolder === null ? null : join(options.profileFolder, name);
  const run = await runMetered({
    ...stageWorkerOptions(own, name),
    servers: { kafka: pids.kafka, ...(server === null ? {} : { [server]: pids[server] }) },
    // Every change of the history leads to one or more changes of what others read; only enrich's own input is known exactly.
    atLeast: name === 'enrich' ? options.records : 1,
    profileFolder: folder,
    timeoutMs: 60_000 + (options.records / MIN_RECORDS_PER_SECOND) * 1_000,
    signal: options.signal,
  });
  const rate = rateOf(run.samples);
  options.say(
    `${name}: ${rate.records} records, ${rate.recordsPerSecond}/s, ${rate.cpuMicrosPerRecord} µs CPU a record, ` +
      `${Math.round(run.peakRssMiB)} MiB${run.restarts === 0 ? '' : `, ${run.restarts} TASK RESTARTS`}`,
  );
  if (folder !== null) {
    const summary: ProfileSummary = summarise(readProfile(folder), run.startUpMs * 1_000);
    options.say(renderProfile(summary, rate.records));
  }
  return run;
}
