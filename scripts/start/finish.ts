/** How a bounded run went: stop the traffic, compare everything with Postgres, sum up. */
import type { Children } from './children.ts';
import type { ShownPipeline } from './shown.ts';
import { isHealthy, type PipelineState, type ScreenState } from './state.ts';
import { runScript } from './task.ts';

const RECONCILE_TIMEOUT_MS = 300_000;

export type Verdict = 'equal' | 'different' | 'unknown';

export interface Summary {
  /** All was healthy and equal. */
  readonly ok: boolean;
  readonly healthy: boolean;
  /** Of all pipelines: equal when each is, different when one is. */
  readonly reconcile: Verdict;
  readonly seconds: number;
  /** Each process that was not healthy at the end, or had been started again, with why. */
  readonly problems: readonly string[];
  readonly processes: Readonly<Record<string, ProcessSummary>>;
  /** By name, those that ran. */
  readonly pipelines: Readonly<Record<string, PipelineSummary>>;
}

export interface PipelineSummary {
  readonly rate: number | null;
  readonly reconcile: Verdict;
  readonly top: readonly { readonly name: string; readonly score: number }[];
  /** What reconcile said: its own JSON where it printed one. */
  readonly details: unknown;
}

interface ProcessSummary {
  readonly state: string;
  readonly restarts: number;
  readonly memoryMiB: number | null;
  readonly lagRecords?: number | null;
  readonly deadLetters?: number;
}

/**
 * The exit codes of `npm run reconcile`: 0 equal, 1 different, 2 could not tell. Node itself ends with 1 when a script cannot even
 * run, so a verdict counts only together with the report.
 */
export function verdictOf(code: number, report: unknown): Verdict {
  if (typeof report !== 'object') return 'unknown';
  if (code === 0) return 'equal';
  return code === 1 ? 'different' : 'unknown';
}

/** The last line that is a JSON object, or the end of the output. */
export function lastJson(output: string): unknown {
  for (const line of output.trim().split('\n').reverse()) {
    if (!line.startsWith('{')) continue;
    try {
      return JSON.parse(line);
    } catch {
      // Something else in braces: look further up.
    }
  }
  return output.trim().slice(-2_000);
}

/** What was wrong with the processes of a run that should have had no trouble at all. */
export function problemsOf(state: ScreenState): readonly string[] {
  return state.rows.flatMap((row) => {
    const why = row.detail ?? row.ready?.reason ?? '';
    if (!isHealthy(row)) return [`${row.name} is ${row.state === 'up' ? 'not ready' : row.state}: ${why}`];
    return row.restarts > 0 ? [`${row.name} was restarted ${row.restarts} times: ${why}`] : [];
  });
}

/** One verdict for all: what differs counts most, then what could not be told. */
export function overall(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes('different')) return 'different';
  return verdicts.length > 0 && verdicts.every((verdict) => verdict === 'equal') ? 'equal' : 'unknown';
}

export interface FinishOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** Those to compare. */
  readonly pipelines: readonly ShownPipeline[];
}

/** Ends the traffic and says how it went. `last` is the state while the traffic still ran. */
export async function finish(children: Children, last: ScreenState, options: FinishOptions): Promise<Summary> {
  await children.stopTraffic();
  const compared: Record<string, PipelineSummary> = {};
  // One after the other: each takes a snapshot and waits for its sinks, and they would wait for each other's load.
  for (const pipeline of options.pipelines) {
    compared[pipeline.name] = await compare(
      pipeline,
      last.pipelines.find(({ name }) => name === pipeline.name),
      options,
    );
  }
  const problems = problemsOf(last);
  const healthy = problems.length === 0 && last.rows.length > 0;
  const reconcile = overall(Object.values(compared).map((one) => one.reconcile));
  return {
    ok: healthy && reconcile === 'equal',
    healthy,
    reconcile,
    seconds: Math.round(last.upSeconds),
    problems,
    processes: Object.fromEntries(
      last.rows.map(({ name, state, restarts, memoryMiB, figures }) => [
        name,
        {
          state,
          restarts,
          memoryMiB: memoryMiB === null ? null : Math.round(memoryMiB),
          ...(figures === null ? {} : { lagRecords: figures.lagRecords, deadLetters: figures.deadLetters }),
        },
      ]),
    ),
    pipelines: compared,
  };
}

async function compare(
  { name }: ShownPipeline,
  last: PipelineState | undefined,
  { env, signal }: FinishOptions,
): Promise<PipelineSummary> {
  const run = { env, signal, timeoutMs: RECONCILE_TIMEOUT_MS };
  // Named: without, it would compare all that run here, each time.
  const { code, output } = await runScript('reconcile.ts', ['--json', '--pipeline', name], run);
  const details = lastJson(output);
  return {
    rate: last?.rate ?? null,
    reconcile: verdictOf(code, details),
    top: (last?.board.entries ?? []).map(({ name, score }) => ({ name, score })),
    details,
  };
}
