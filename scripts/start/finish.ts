/** How a bounded run went: stop the traffic, compare everything with Postgres, sum up. */
import type { Children } from './children.ts';
import { isHealthy, type ScreenState } from './state.ts';
import { runScript } from './task.ts';

const RECONCILE_TIMEOUT_MS = 300_000;

export type Verdict = 'equal' | 'different' | 'unknown';

export interface Summary {
  /** All was healthy and equal. */
  readonly ok: boolean;
  readonly healthy: boolean;
  readonly reconcile: Verdict;
  readonly seconds: number;
  readonly rate: number | null;
  /** Each process that was not healthy at the end, or had been started again, with why. */
  readonly problems: readonly string[];
  readonly processes: Readonly<Record<string, ProcessSummary>>;
  readonly top: readonly { readonly title: string; readonly events: number }[];
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

/** Ends the traffic and says how it went. `last` is the state while the traffic still ran. */
export async function finish(
  children: Children,
  last: ScreenState,
  options: { readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<Summary> {
  await children.traffic?.stop();
  const { code, output } = await runScript('reconcile.ts', ['--json'], { ...options, timeoutMs: RECONCILE_TIMEOUT_MS });
  const problems = problemsOf(last);
  const healthy = problems.length === 0 && last.rows.length > 0;
  const details = lastJson(output);
  const reconcile = verdictOf(code, details);
  return {
    ok: healthy && reconcile === 'equal',
    healthy,
    reconcile,
    seconds: Math.round(last.upSeconds),
    rate: last.rate,
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
    top: last.board.entries,
    details,
  };
}
