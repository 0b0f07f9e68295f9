/** What is committed in Postgres and not yet where it should be, looked at once a second. */
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import type { WorkerChild } from '../start/children.ts';
import { round } from './rates.ts';

export interface Backlog {
  /** Unread records of each worker; null when it does not answer. */
  readonly lagRecords: Readonly<Record<string, number | null>>;
  /** Age of the oldest partition's stream time: for enrich, how far capture and enrich are behind together. */
  readonly behindSeconds: Readonly<Record<string, number | null>>;
  /** Write-ahead log that the connector has not confirmed yet. */
  readonly captureBytes: number;
}

export interface BacklogReport {
  readonly start: Backlog | null;
  readonly middle: Backlog | null;
  readonly end: Backlog | null;
  /** Unread records of all workers together, the middle value of the last tenth of the time. */
  readonly endRecords: number;
  /** Whether any worker was further behind in the last third than in the first. */
  readonly growing: boolean;
}

const EVERY_MS = 1_000;
/** What the gathering of batches makes it vary by anyhow. */
const GROWTH_SECONDS = 1;

export class BacklogMeter {
  readonly #pool: PostgresPool;
  readonly #workers: readonly WorkerChild[];
  readonly #looks: Backlog[] = [];
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(postgresUrl: string, workers: readonly WorkerChild[]) {
    this.#pool = new PostgresPool({ url: postgresUrl, applicationName: 'sluice-bench', maxConnections: 1 });
    this.#workers = workers;
  }

  begin(): void {
    this.#looks.length = 0;
    this.#timer = setInterval(() => {
      // One look at a time: a server that is slow to answer is not asked more often.
      this.#looking = this.#looking.then(() => this.#look()).catch(() => undefined);
    }, EVERY_MS);
  }

  async end(): Promise<BacklogReport> {
    clearInterval(this.#timer);
    await this.#looking;
    return reportOf(this.#looks);
  }

  /** One look now. */
  async now(): Promise<Backlog> {
    const captured = this.#pool.query<{ bytes: string }>(
      `SELECT coalesce(sum(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)), 0)::text AS bytes
       FROM pg_replication_slots WHERE slot_type = 'logical'`,
    );
    const figures = await Promise.all(
      this.#workers.map(async ({ name, scraper }) => [name, await scraper.figures()] as const),
    );
    return {
      lagRecords: Object.fromEntries(figures.map(([name, figure]) => [name, figure?.lagRecords ?? null])),
      behindSeconds: Object.fromEntries(
        figures.map(([name, figure]) => {
          const seconds = figure?.freshnessSeconds ?? null;
          return [name, seconds === null ? null : round(seconds, 2)];
        }),
      ),
      captureBytes: Number((await captured).rows[0]?.bytes ?? 0),
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await this.#pool.close();
  }

  async #look(): Promise<void> {
    this.#looks.push(await this.now());
  }
}

/** All workers' unread records; null as long as one does not say. */
export function totalLag({ lagRecords }: Backlog): number | null {
  const lags = Object.values(lagRecords);
  return lags.some((lag) => lag === null) ? null : lags.reduce<number>((sum, lag) => sum + (lag ?? 0), 0);
}

/** Sums up looks that were taken at even intervals. */
export function reportOf(looks: readonly Backlog[]): BacklogReport {
  const third = Math.max(1, Math.floor(looks.length / 3));
  const tenth = Math.max(1, Math.floor(looks.length / 10));
  const names = Object.keys(looks[0]?.behindSeconds ?? {});
  const behind = (part: readonly Backlog[], name: string) => median(part.map((look) => look.behindSeconds[name] ?? 0));
  return {
    start: looks[0] ?? null,
    middle: looks[Math.floor(looks.length / 2)] ?? null,
    end: looks.at(-1) ?? null,
    endRecords: median(looks.slice(-tenth).map((look) => totalLag(look) ?? 0)),
    growing: names.some(
      (name) => behind(looks.slice(-third), name) > behind(looks.slice(0, third), name) + GROWTH_SECONDS,
    ),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
