/**
 * Rebuilds a pipeline's ClickHouse tables from Kafka beside the ones that are read, while the sink goes on writing.
 *
 * The seam: the log of changes is asked for its end first (`from`), then the topic of present states is read to its end, then the log
 * is asked again (`seen`). What the states hold lies between the two. Once the sink has written up to `seen`, its own log of signed
 * changes from `from` on is laid over the states, and they are the rows exactly as of where the sink is.
 *
 * Of a log of versions, states and changes are one topic. There the sink is not waited for: the rebuilt tables may be ahead of it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type ClickHouseConfig, clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import {
  type Months,
  type Position,
  ShadowBuild,
  type ShadowOptions,
  type TableDifference,
} from '../../../connectors/clickhouse/shadow.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient, LogReader, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';

/** What a pipeline says of its tables. */
export interface WarehouseReplay {
  /** Topic of signed changes, or of versions, that the sink reads. */
  readonly changes: string;
  /** Compacted topic with the present state of each row, written in the same transactions; of versions the same one. */
  readonly states: string;
  readonly tables: Omit<ShadowOptions, 'run' | 'leaseMs'>;
  /** Columns of `row`. */
  readonly columns: readonly string[];
  /** Loads the schemas that records name. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  /** A record of the states as a TabSeparated row; null for none. */
  readonly row: (record: LogRecord, partition: number) => string | null;
}

/** Steps of a run; tests kill it after each. */
export type WarehouseStep = 'begun' | 'staged' | 'filled' | 'held' | 'swapped';

export interface WarehouseReplayOptions {
  readonly kafka: LogClient;
  readonly clickHouse: ClickHouseConfig;
  /** Names the shadow tables: letters and digits. */
  readonly run: string;
  readonly months: Months;
  /** `compare` leaves everything as it is. */
  readonly mode: 'swap' | 'compare';
  readonly signal: AbortSignal;
  readonly progress: (done: number, total: number, note: string) => void;
  /** The sink ends a hold after this long by itself. 120 s. */
  readonly holdSeconds?: number;
  /** How long the sink may take to come to where the states were read. */
  readonly deadlineMs?: number;
  readonly probe?: (step: WarehouseStep) => Promise<void>;
}

export interface WarehouseReplayResult {
  readonly states: number;
  /** How long the sink was held back. */
  readonly heldMs: number;
  readonly tables: readonly string[];
  /** Of `compare`. */
  readonly differences: readonly TableDifference[] | null;
}

const REQUEST_TIMEOUT_MS = 3_600_000;
const DEADLINE_MS = 300_000;
const POLL_MS = 100;
const HOLD_SECONDS = 120;
const HOLD_ATTEMPTS = 20;
const STAGE_CHARACTERS = 4 << 20;
/** Offsets within which control records alone may lie: they move no progress. */
const CONTROL_GAP = 16n;

/**
 * Throws REPLAY_SINK_BEHIND (fatal: the sink does not come to the position, or never stands between two ranges), else as
 * `clickHouseError` and the Kafka client. Whatever it throws, what readers see is as it was, or whole and rebuilt.
 */
export async function replayWarehouse(
  spec: WarehouseReplay,
  options: WarehouseReplayOptions,
): Promise<WarehouseReplayResult> {
  const client = clickHouseClient({ ...options.clickHouse, requestTimeoutMs: REQUEST_TIMEOUT_MS });
  const reader = options.kafka.reader({ minBytes: 1, maxWaitMs: 500, maxBufferedBytes: 8 << 20 });
  const build = new ShadowBuild(client, { ...spec.tables, run: options.run });
  try {
    return await new Run(spec, options, { build, reader }).toEnd();
  } catch (error) {
    throw options.signal.aborted ? error : clickHouseError(error, `rebuild what is fed from ${spec.tables.log}`);
  } finally {
    await build.end().catch(() => undefined);
    await Promise.all([client.close(), reader.close()]);
  }
}

class Run {
  readonly #spec: WarehouseReplay;
  readonly #options: WarehouseReplayOptions;
  readonly #build: ShadowBuild;
  readonly #reader: LogReader;
  #partitions: readonly number[] = [];

  constructor(
    spec: WarehouseReplay,
    options: WarehouseReplayOptions,
    parts: { readonly build: ShadowBuild; readonly reader: LogReader },
  ) {
    this.#spec = spec;
    this.#options = options;
    this.#build = parts.build;
    this.#reader = parts.reader;
  }

  async toEnd(): Promise<WarehouseReplayResult> {
    const { kafka, months, probe } = this.#options;
    const { changes } = this.#spec;
    this.#partitions = Array.from({ length: await kafka.partitions(changes) }, (_, partition) => partition);
    await this.#build.begin();
    await probe?.('begun');
    const from = await kafka.offsets(changes, this.#partitions, 'lastStable');
    const states = await this.#stage();
    const seen = await kafka.offsets(changes, this.#partitions, 'highWatermark');
    await probe?.('staged');
    const filled = this.#versions ? await this.#build.written() : await this.#untilWritten(seen);
    await this.#build.stageLog(from, filled);
    this.#options.signal.throwIfAborted();
    await this.#build.fill(months);
    await probe?.('filled');
    return { states, tables: this.#build.tables, ...(await this.#underHold(filled)) };
  }

  get #versions(): boolean {
    return this.#spec.tables.kind === 'versions';
  }

  async #stage(): Promise<number> {
    const { kafka, progress, signal } = this.#options;
    const { states, columns, prepare, row } = this.#spec;
    const earliest = await kafka.offsets(states, this.#partitions, 'earliest');
    const ends = await kafka.offsets(states, this.#partitions, 'highWatermark');
    const total = this.#partitions.reduce((sum, at) => sum + Number(ends.get(at)! - earliest.get(at)!), 0);
    let staged = 0;
    let passed = 0;
    for (const partition of this.#partitions) {
      const range = { topic: states, partition, from: earliest.get(partition)!, end: ends.get(partition)! };
      let text = '';
      await readToEnd(this.#reader, range, async (run) => {
        signal.throwIfAborted();
        await prepare(run.records);
        for (const record of run.records) {
          const cells = row(record, partition);
          if (cells === null) continue;
          text += cells;
          staged += 1;
        }
        passed += Number(run.next - run.from);
        progress(Math.min(passed, total), total, 'reading present states');
        if (text.length < STAGE_CHARACTERS) return;
        await this.#build.stage(columns, text);
        text = '';
      });
      if (text !== '') await this.#build.stage(columns, text);
    }
    return staged;
  }

  /** Where the sink is, once it has passed `seen`. */
  async #untilWritten(seen: Position): Promise<Position> {
    return await this.#until('has not come to where the present states were read', async () => {
      const written = await this.#build.written();
      for (const [partition, end] of seen) {
        const next = written.get(partition) ?? 0n;
        if (next < end && !(await this.#isControl(partition, next, end))) return null;
      }
      return written;
    });
  }

  async #isControl(partition: number, from: bigint, end: bigint): Promise<boolean> {
    if (end - from > CONTROL_GAP) return false;
    let records = 0;
    await readToEnd(this.#reader, { topic: this.#spec.changes, partition, from, end }, (run) => {
      records += run.records.length;
    });
    return records === 0;
  }

  async #underHold(filled: Position): Promise<Pick<WarehouseReplayResult, 'heldMs' | 'differences'>> {
    const { months, mode, probe, signal } = this.#options;
    let attempts = 0;
    return await this.#until('never stands between two ranges', async () => {
      signal.throwIfAborted();
      attempts += 1;
      if (attempts > HOLD_ATTEMPTS) throw behind(this.#spec, 'never stands between two ranges');
      const started = performance.now();
      const held = await this.#build.held(filled, this.#options.holdSeconds ?? HOLD_SECONDS, async () => {
        await probe?.('held');
        if (mode === 'compare') return await this.#build.compare(months);
        await this.#build.swap(months);
        if (this.#versions) await this.#build.renewProgress();
        await probe?.('swapped');
        return null;
      });
      if (held === null) {
        // A range that is refused halfway is completed when the sink tries again.
        await pause(2_000, undefined, { signal });
        return null;
      }
      return { heldMs: Math.round(performance.now() - started), differences: held.result };
    });
  }

  async #until<T>(missing: string, ask: () => Promise<T | null>): Promise<T> {
    const deadline = performance.now() + (this.#options.deadlineMs ?? DEADLINE_MS);
    for (;;) {
      const answer = await ask();
      if (answer !== null) return answer;
      if (performance.now() > deadline) throw behind(this.#spec, missing);
      await pause(POLL_MS, undefined, { signal: this.#options.signal });
    }
  }
}

function behind({ tables }: WarehouseReplay, missing: string): SluiceError {
  return new SluiceError(`${tables.pipeline} ${missing}: see that it runs and keeps up, then try again`, {
    code: 'REPLAY_SINK_BEHIND',
    action: 'fatal',
  });
}

/** The months that a range touches, whole; null when neither end is given. Without an end the next month is the end. */
export function wholeMonths(from: Date | null, to: Date | null, now: Date): Months {
  if (from === null && to === null) return null;
  const first = from ?? new Date(0);
  const last = to ?? new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 2));
  return {
    from: new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth())),
    to: new Date(Date.UTC(last.getUTCFullYear(), last.getUTCMonth() + (isMonthStart(last) ? 0 : 1))),
  };
}

function isMonthStart(date: Date): boolean {
  return date.getTime() === Date.UTC(date.getUTCFullYear(), date.getUTCMonth());
}
