/** Gathers what the screen shows. */
import type { ProcessStatus } from '../../infra/native/process.ts';
import { BoardReader } from './board.ts';
import type { Children } from './children.ts';
import type { Servers } from './servers.ts';
import type { ShownPipeline } from './shown.ts';
import type { Connection, PipelineState, ProcessKind, ProcessRow, ScreenState } from './state.ts';
import { UsageMeter } from './usage.ts';

export interface GatherOptions {
  readonly servers: Servers;
  readonly children: Children;
  readonly pipelines: readonly ShownPipeline[];
  readonly env: NodeJS.ProcessEnv;
  /** A second, of each pipeline; null without traffic. */
  readonly rate: number | null;
  /** What is known of this run only. */
  readonly moreConnections: readonly Connection[];
  readonly logs: string;
  readonly notices: () => readonly string[];
}

const TOP = 5;

export class Gatherer {
  readonly #options: GatherOptions;
  readonly #startedMs = Date.now();
  readonly #usage = new UsageMeter();
  readonly #boards: readonly BoardReader[];

  constructor(options: GatherOptions) {
    this.#options = options;
    const redis = options.env.SLUICE_REDIS_URL ?? '';
    this.#boards = options.pipelines.map(({ board }) => new BoardReader(board, redis));
  }

  async state(): Promise<ScreenState> {
    const { servers, children, pipelines, env, moreConnections, logs, notices } = this.#options;
    const server = servers.status();
    const traffic = children.traffic.map(({ status }) => status);
    const worker = await Promise.all(
      children.workers.map(async ({ process, scraper }) => {
        const [figures, ready] = await Promise.all([scraper.figures(), scraper.ready()]);
        return { status: process.status, figures, ready };
      }),
    );
    const all = [...server, ...worker.map(({ status }) => status), ...traffic];
    const pids = all.flatMap(({ pid }) => (pid === null ? [] : [pid]));
    const usage = await this.#usage.measure(pids).catch(() => new Map<number, never>());
    const row = (status: ProcessStatus, kind: ProcessKind, more: Partial<ProcessRow> = {}): ProcessRow => {
      const used = status.pid === null ? undefined : usage.get(status.pid);
      const { cpuPercent = null, memoryMiB = null } = used ?? {};
      return { ...status, kind, ready: null, figures: null, cpuPercent, memoryMiB, ...more };
    };
    const rows = [
      ...server.map((status) => row(status, 'server')),
      ...worker.map(({ status, figures, ready }) => row(status, 'worker', { figures, ready })),
      ...traffic.map((status) => row(status, 'traffic')),
    ];
    const shown = await Promise.all(
      pipelines.map(async (pipeline, index) => await this.#pipeline(pipeline, index, rows)),
    );
    const best = shown.map(({ board }) => board.entries[0]?.key ?? null);
    return {
      upSeconds: (Date.now() - this.#startedMs) / 1_000,
      rows,
      pipelines: shown,
      connections: [...connectionsOf(pipelines, env, best), ...moreConnections],
      notices: notices(),
      logs,
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#boards.map((board) => board.close()));
  }

  async #pipeline(
    { name, unit, entry }: ShownPipeline,
    index: number,
    rows: readonly ProcessRow[],
  ): Promise<PipelineState> {
    return {
      ...{ name, unit, rate: this.#options.rate },
      perSecond: rows.find((row) => row.name === entry)?.figures?.recordsPerSecond ?? null,
      board: await this.#boards[index]!.top(TOP),
    };
  }
}

/** Where to connect, each with something to try first. `best`: of each pipeline the key of the first place of its board. */
export function connectionsOf(
  pipelines: readonly ShownPipeline[],
  env: NodeJS.ProcessEnv,
  best: readonly (string | null)[],
): readonly Connection[] {
  return [
    { name: 'Postgres', try: `psql ${env.SLUICE_POSTGRES_URL}` },
    { name: 'Schemas', try: `curl ${env.SLUICE_REGISTRY_URL}/subjects` },
    ...pipelines.flatMap(({ connections }, index) => connections(env, best[index] ?? null)),
  ];
}
