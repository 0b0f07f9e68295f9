/** Runs traffic against a database at a pace. */
import { Traffic, type TrafficBatch, type TrafficOptions } from '../../pipelines/engagement/traffic/traffic.ts';
import { Pace } from './pace.ts';
import { TrafficWriter, type Written } from './writer.ts';

export interface RunOptions extends Omit<TrafficOptions, 'existingIds'> {
  readonly url: string;
  /** Events inserted a second; 0 as fast as the database takes them. */
  readonly rate: number;
  /** 0 until the signal is aborted. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Called once a second. */
  readonly onProgress?: (totals: Totals) => void;
}

export interface Totals extends Written {
  /** Since the first batch. */
  readonly elapsedMs: number;
}

export interface RunSummary extends Written {
  /** As asked; 0 for as fast as possible. */
  readonly rate: number;
  /** As it took. */
  readonly seconds: number;
  /** Events inserted a second; below `rate` when the database was slower. */
  readonly achievedRate: number;
}

const MAX_BATCH = 5_000;
const EXISTING_IDS = 20_000;

/** Writes traffic until the time is over or the signal is aborted; always ends after a whole batch. */
export async function runTraffic(options: RunOptions): Promise<RunSummary> {
  const writer = new TrafficWriter(options.url);
  try {
    await writer.connect();
    const traffic = new Traffic({ ...options, existingIds: await writer.existingIds(EXISTING_IDS) }, wallMicros());
    await writer.prepare(traffic);
    return await new Run(options, writer, traffic).toEnd();
  } finally {
    await writer.close();
  }
}

const wallMicros = (): number => Math.floor((performance.timeOrigin + performance.now()) * 1_000);

class Run {
  readonly #options: RunOptions;
  readonly #writer: TrafficWriter;
  readonly #traffic: Traffic;
  readonly #pace: Pace;
  #written: Written = { inserted: 0, updated: 0, deleted: 0, contentEdits: 0 };
  #reportedMs = 0;

  constructor(options: RunOptions, writer: TrafficWriter, traffic: Traffic) {
    this.#options = options;
    this.#writer = writer;
    this.#traffic = traffic;
    this.#pace = new Pace(options);
  }

  async toEnd(): Promise<RunSummary> {
    let writing: Promise<void> = Promise.resolve();
    while (!this.#options.signal.aborted) {
      const due = this.#pace.due(MAX_BATCH);
      if (due === 0) {
        if (this.#pace.timeIsOver) break;
        await this.#pace.untilNextTick(this.#options.signal);
        continue;
      }
      const ids = await this.#writer.takeIds(due);
      const batch = this.#traffic.next(ids, wallMicros());
      const rows = this.#writer.encode(batch);
      this.#pace.made(due);
      // The server works on one batch while the next is made.
      await writing;
      writing = this.#write(batch, rows);
      // Paced batches are written at once: their time is now.
      if (this.#options.rate > 0) await writing;
      this.#report();
    }
    await writing;
    return this.#summary();
  }

  async #write(batch: TrafficBatch, rows: Buffer): Promise<void> {
    const now = await this.#writer.write(batch, rows, this.#traffic.contents);
    const sum = this.#written;
    this.#written = {
      inserted: sum.inserted + now.inserted,
      updated: sum.updated + now.updated,
      deleted: sum.deleted + now.deleted,
      contentEdits: sum.contentEdits + now.contentEdits,
    };
  }

  #report(): void {
    const elapsedMs = this.#pace.elapsedMs;
    if (elapsedMs - this.#reportedMs < 1_000) return;
    this.#reportedMs = elapsedMs;
    this.#options.onProgress?.({ ...this.#written, elapsedMs });
  }

  #summary(): RunSummary {
    const seconds = this.#pace.elapsedMs / 1_000;
    return {
      rate: this.#options.rate,
      seconds: Math.round(seconds * 1_000) / 1_000,
      ...this.#written,
      achievedRate: Math.round(this.#written.inserted / seconds),
    };
  }
}
