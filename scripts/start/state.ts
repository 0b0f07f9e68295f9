/** Everything the screen shows, gathered once a second. */
import type { ProcessState } from '../../infra/native/process.ts';

export type ProcessKind = 'server' | 'worker' | 'traffic';

export interface WorkerFigures {
  /** Null until two scrapes are there to compare. */
  readonly recordsPerSecond: number | null;
  readonly lagRecords: number | null;
  /** Age of the oldest partition's stream time. */
  readonly freshnessSeconds: number | null;
  readonly deadLetters: number;
}

export interface ProcessRow {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly state: ProcessState;
  /** For a worker: whether `/ready` says so, with its reason; null where nothing like it is asked. */
  readonly ready: { readonly ok: boolean; readonly reason: string } | null;
  readonly pid: number | null;
  readonly restarts: number;
  /** Of one core; null until it was measured twice. */
  readonly cpuPercent: number | null;
  readonly memoryMiB: number | null;
  readonly figures: WorkerFigures | null;
  /** Why it last went down. */
  readonly detail: string | null;
}

export interface BoardEntry {
  /** What a query asks for it by. */
  readonly key: string;
  readonly name: string;
  /** What it is ranked by; above 0. */
  readonly score: number;
  /** The score with its unit. */
  readonly text: string;
}

export interface Board {
  /** What it is a board of. */
  readonly title: string;
  readonly entries: readonly BoardEntry[];
  /** Stream time of the slowest partition, ms since the epoch; null before the first stamp. */
  readonly asOfMs: number | null;
}

/** What is shown of one pipeline. */
export interface PipelineState {
  readonly name: string;
  /** What flows: `events`, `bars`. */
  readonly unit: string;
  /** So many a second were asked of the sample traffic; null without it. */
  readonly rate: number | null;
  /** So many a second came in; null until that was measured. */
  readonly perSecond: number | null;
  readonly board: Board;
}

export interface Connection {
  readonly name: string;
  readonly try: string;
}

export interface ScreenState {
  readonly upSeconds: number;
  readonly rows: readonly ProcessRow[];
  readonly pipelines: readonly PipelineState[];
  readonly connections: readonly Connection[];
  /** Newest last. */
  readonly notices: readonly string[];
  readonly logs: string;
}

/** Whether a process does its work: up, and a worker also ready. */
export function isHealthy({ state, ready }: ProcessRow): boolean {
  return state === 'up' && (ready === null || ready.ok);
}
