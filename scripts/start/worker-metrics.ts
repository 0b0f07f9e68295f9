/** Reads what a worker says on /metrics and /ready. */
import type { WorkerFigures } from './state.ts';

const TIMEOUT_MS = 1_500;

/** The samples of a Prometheus text page that have this name, whatever their labels. */
export function samples(page: string, name: string): readonly number[] {
  const values: number[] = [];
  for (const line of page.split('\n')) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length);
    // Another metric may begin with this one's name.
    if (!rest.startsWith('{') && !rest.startsWith(' ')) continue;
    // A label's value may hold spaces; the sample's value is after the last brace.
    const value = Number(
      rest
        .slice(rest.lastIndexOf('}') + 1)
        .trim()
        .split(' ')[0],
    );
    if (Number.isFinite(value)) values.push(value);
  }
  return values;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

export interface Scrape {
  readonly atMs: number;
  readonly records: number;
  readonly figures: WorkerFigures;
}

/** Figures of one scrape; the rate comes from the difference to the one before. A counter that fell (a restart) gives no rate. */
export function figuresOf(page: string, atMs: number, before: Scrape | undefined): Scrape {
  const records = sum(samples(page, 'sluice_records_total'));
  const lags = samples(page, 'sluice_lag_records');
  const times = samples(page, 'sluice_stream_time_seconds');
  const elapsed = before === undefined ? 0 : (atMs - before.atMs) / 1_000;
  const rate = before === undefined || elapsed <= 0 ? null : (records - before.records) / elapsed;
  return {
    atMs,
    records,
    figures: {
      recordsPerSecond: rate === null || rate < 0 ? null : rate,
      lagRecords: lags.length === 0 ? null : sum(lags),
      freshnessSeconds: times.length === 0 ? null : Math.max(0, atMs / 1_000 - Math.min(...times)),
      deadLetters: sum(samples(page, 'sluice_dead_letters_total')),
    },
  };
}

/** Scrapes one worker again and again. */
export class WorkerScraper {
  readonly #base: string;
  #last: Scrape | undefined;

  constructor(port: number) {
    this.#base = `http://127.0.0.1:${port}`;
  }

  /** The newest figures; null when the worker does not answer. */
  async figures(): Promise<WorkerFigures | null> {
    try {
      this.#last = figuresOf(await this.page(), Date.now(), this.#last);
      return this.#last.figures;
    } catch {
      this.#last = undefined;
      return null;
    }
  }

  /** All metrics, as Prometheus reads them. */
  async page(): Promise<string> {
    const response = await fetch(`${this.#base}/metrics`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return await response.text();
  }

  async ready(): Promise<{ readonly ok: boolean; readonly reason: string }> {
    try {
      const response = await fetch(`${this.#base}/ready`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
      return { ok: response.ok, reason: (await response.text()).trim() };
    } catch {
      return { ok: false, reason: 'does not answer' };
    }
  }

  async live(): Promise<boolean> {
    try {
      const response = await fetch(`${this.#base}/live`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }
}
