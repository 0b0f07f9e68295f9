/** The whole of Sluice for an end-to-end test: servers, deployment, workers as supervised processes, traffic, reconcile. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVICES } from '../../infra/native/layout.ts';
import { type Stack, startStack } from '../../infra/native/stack.ts';
import { Children, type WorkerChild } from '../../scripts/start/children.ts';
import { deploy } from '../../scripts/start/deploy.ts';
import { mustRun, runScript, type TaskResult } from '../../scripts/start/task.ts';
import { diagnosis } from './diagnosis.ts';
import { stackEnv } from './env.ts';
import { freePortBase } from './ports.ts';
import { trafficDuring } from './traffic.ts';

export interface Pipeline {
  readonly stack: Stack;
  readonly env: NodeJS.ProcessEnv;
  /** Of every topic that is spread. */
  readonly partitions: readonly number[];
  /** All worker processes; the instances of one worker have the same name. */
  readonly workers: readonly WorkerChild[];
  /** Where each instance has its local stores. */
  readonly stateDirs: readonly string[];
  /** Runs the generator to its end. */
  generate(...args: readonly string[]): Promise<void>;
  /** Runs `work` with the generator's traffic before, beside and after it: no longer than the work takes. */
  during<T>(traffic: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Runs a script, whatever its exit code. */
  script(name: string, ...args: readonly string[]): Promise<TaskResult>;
  /** Runs reconcile and gives back what it found; the last line of its output is JSON. */
  reconcile(): Promise<{
    readonly code: number;
    readonly report: { readonly result: string };
    readonly output: string;
  }>;
  stop(): Promise<void>;
}

const WORKERS = ['engagement.enrich', 'engagement.leaderboard', 'engagement.sink.clickhouse', 'engagement.sink.redis'];
const SCRIPT_MS = 240_000;

export interface PipelineOptions {
  /** Those of engagement if not given. */
  readonly workers?: readonly string[];
  /** Processes of each worker. */
  readonly instances: number;
  /** Processes to start once, beside the workers. */
  readonly others?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A registry for this stack alone: where the test ends it, cuts it off or changes its rules. */
  readonly ownRegistry?: boolean;
  /** What the workers see otherwise than the scripts do, for instance a server behind a proxy. */
  readonly workerEnv?: (env: NodeJS.ProcessEnv) => Promise<NodeJS.ProcessEnv>;
}

/**
 * Sessions end quickly, so that a lost member is noticed soon. Two partitions for each process, at half the transactions and inserts of the four that there are
 * otherwise. A comparison waits for the slowest sink, which gathers for less time than otherwise.
 */
function settings(instances: number): NodeJS.ProcessEnv {
  return {
    SLUICE_SESSION_TIMEOUT_MS: '6000',
    SLUICE_PARTITIONS: String(2 * instances),
    SLUICE_CLICKHOUSE_GATHER_MS: '1000',
  };
}

/** Starts everything. */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const home = mkdtempSync(join(tmpdir(), 'sluice-e2e-'));
  const portBase = await freePortBase();
  const shared = options.ownRegistry !== true;
  const services = SERVICES.filter((service) => service !== 'registry' || !shared);
  const stack = await startStack({ home, portBase, services, unawaited: ['connect'] });
  const env: NodeJS.ProcessEnv = {
    ...{ ...process.env, ...stack.env, ...settings(options.instances), ...options.env },
    ...(shared ? { SLUICE_REGISTRY_URL: stackEnv().SLUICE_REGISTRY_URL } : {}),
  };
  const sets: Children[] = [];
  const stateDirs: string[] = [];
  const stop = async () => {
    await Promise.all(sets.map((children) => children.stop()));
    await stack.stop({ remove: true });
  };
  try {
    const signal = AbortSignal.timeout(SCRIPT_MS);
    await deploy({ env, untilConnect: () => stack.untilUp('connect'), signal, say: () => {}, warn: () => {} });
    const workerEnv = { ...env, ...(await options.workerEnv?.(env)) };
    for (let instance = 0; instance < options.instances; instance++) {
      const folder = join(home, `instance-${instance}`);
      mkdirSync(join(folder, 'logs'), { recursive: true });
      stateDirs.push(join(folder, 'state'));
      const children = new Children({
        home: folder,
        // Each instance has its own folder of local stores, as on a machine of its own.
        env: { ...workerEnv, SLUICE_STATE_DIR: join(folder, 'state') },
        metricsPort: await freePortBase(),
        workers: [...(options.workers ?? WORKERS), ...(instance === 0 ? (options.others ?? []) : [])],
        onChange: () => {},
      });
      sets.push(children);
      await children.startWorkers();
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const run = { env, timeoutMs: SCRIPT_MS };
  return {
    stack,
    env,
    partitions: Array.from({ length: Number(env.SLUICE_PARTITIONS) }, (_, partition) => partition),
    workers: sets.flatMap((children) => children.workers),
    stateDirs,
    generate: async (...args) => await mustRun('generate.ts', args, run),
    during: async (traffic, work) => await trafficDuring(env, traffic, work),
    script: async (name, ...args) => await runScript(name, args, run),
    reconcile: async () => {
      const { code, output } = await runScript('reconcile.ts', ['--json', '--deadline', '120'], run);
      const last = output
        .trim()
        .split('\n')
        .findLast((line) => line.startsWith('{'));
      const report = last === undefined ? { result: 'no report' } : (JSON.parse(last) as { result: string });
      const told = report.result === 'equal' || report.result === 'different';
      return { code, report, output: told ? output : `${output}\n${await diagnosis(stack, sets)}` };
    },
    stop,
  };
}
