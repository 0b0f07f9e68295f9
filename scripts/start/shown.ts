/** What `npm start` has to know of a pipeline to run it, show it and compare it. */
import type { Board, Connection } from './state.ts';

/** Shown once a second: an answer that takes longer is of no use. */
export const BOARD_TIMEOUT_MS = 1_000;

/** The first places of a board, read as an application would. */
export interface BoardSource {
  connect(): Promise<void>;
  top(count: number): Promise<Omit<Board, 'title'>>;
  close(): Promise<void>;
}

export interface ShownPipeline {
  /** As in `SLUICE_PIPELINES`. */
  readonly name: string;
  /** What flows, in the plural. */
  readonly unit: string;
  /** The worker that reads what was captured: what it takes in is what flows. */
  readonly entry: string;
  /** Arguments of scripts/generate.ts for sample traffic without end, so many a second. */
  readonly traffic: (rate: number, nowMs: number) => readonly string[];
  readonly board: { readonly title: string; readonly open: (redisUrl: string) => BoardSource };
  /** Something to try, each short enough for 100 columns on the default ports. `best`: the key of the board's first place. */
  readonly connections: (env: NodeJS.ProcessEnv, best: string | null) => readonly Connection[];
}

/** How curl logs in to ClickHouse, and where. */
export function clickHouseAddress(env: NodeJS.ProcessEnv): string {
  const { host } = new URL(env.SLUICE_CLICKHOUSE_URL ?? '');
  return `${env.SLUICE_CLICKHOUSE_PASSWORD ? `-u default:${env.SLUICE_CLICKHOUSE_PASSWORD} ` : ''}${host}`;
}
