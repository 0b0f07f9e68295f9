/**
 * A sink that writes each record's rows into one ClickHouse table, exactly once, and knows nothing of what they mean.
 *
 * How a batch written twice changes nothing:
 * - The range of a batch is committed to Kafka before it is written, so whoever writes it again writes exactly it, under the same
 *   deduplication token. The server then completes the tables that the first attempt had missed and leaves the others alone.
 * - The server forgets tokens after some thousand inserts. So before the first write of an assignment, on a retry, and
 *   again every half lease, the sink asks what is there, and what the progress table covers is not written.
 * - Between asking and writing a process can be stopped for hours (SIGSTOP, a sleeping laptop) while another takes over. Each
 *   row carries `write_before`, server time of the asking plus the lease, and the table refuses it afterwards; within
 *   the lease the token is still known.
 * - A deliberate replay has another generation, and so other tokens: rows that an earlier reading has written are left out.
 */
import { SluiceError } from '../../engine/errors.ts';
import type { Sink, SinkBatch, SinkPosition, TopicPartition } from '../../engine/sink.ts';
import { type ClickHouseConfig, clickHouseClient } from './client.ts';
import { LEASE_MS } from './hold.ts';
import { InsertRows, type Rows } from './insert-rows.ts';
import { ClickHouseTarget, type Inspection, type Progress } from './target.ts';

export type { EmitRow } from './insert-rows.ts';

export type ClickHouseSinkOptions<T> = Rows<T> & {
  /** Name of the process; the `pipeline` of its rows in `sluice_progress`. */
  readonly name: string;
  readonly config: ClickHouseConfig;
  readonly table: string;
  readonly partColumn: string;
  /** Source position and time that a batch has reached; null when it does not say. */
  readonly progress: (batch: SinkBatch<T>) => { readonly lsn: bigint; readonly streamTimeMs: number } | null;
  /** How long after asking what is there a block may still arrive. The deduplication window must outlast it. */
  readonly leaseMs?: number;
  /** Settings of every insert beside the sink's own, for instance `insert_quorum` on a replicated cluster. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Monotonic milliseconds; for tests. */
  readonly now?: () => number;
};

/** What this process knows of a partition since it last asked. */
interface Known {
  readonly progress: Progress;
  readonly askedAt: number;
  readonly serverTimeMs: number;
  /** While a replay goes over rows of an earlier reading, every batch is asked for. */
  readonly earlierAhead: boolean;
}

/** Versions of rows pack the generation into 16 bits, above 47 of the offset. */
const MAX_GENERATION = 65_535;
/** Bounds one insert; the engine bounds batches far below. */
const MAX_BYTES = 256 * 1024 * 1024;

/**
 * Delivery `pending-range`. `write` throws as `clickHouseError`, and CLICKHOUSE_RANGE_IN_DOUBT (fatal: rows are there, but
 * so old that the server may have forgotten their token, and no progress says that the rollups have them),
 * CLICKHOUSE_BATCH_TOO_LARGE and CLICKHOUSE_GENERATION_TOO_LARGE (fatal).
 */
export function clickHouseSink<T>(options: ClickHouseSinkOptions<T>): Sink<T> {
  return new ClickHouseSink(options);
}

class ClickHouseSink<T> implements Sink<T> {
  readonly name: string;
  readonly delivery = 'pending-range';
  readonly #options: ClickHouseSinkOptions<T>;
  readonly #target: ClickHouseTarget;
  readonly #rows: InsertRows<T>;
  readonly #leaseMs: number;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  constructor(options: ClickHouseSinkOptions<T>) {
    const { name, config, table, partColumn } = options;
    this.name = name;
    this.#options = options;
    this.#rows = new InsertRows(options, partColumn);
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    this.#now = options.now ?? (() => performance.now());
    this.#target = new ClickHouseTarget(clickHouseClient(config), {
      pipeline: name,
      target: { table, columns: this.#rows.columns, partColumn },
      settings: options.settings ?? {},
    });
  }

  async connect(): Promise<void> {
    await this.#target.check();
  }

  /** A target that holds nothing of the partition is filled from the beginning of the topic, whatever was committed. */
  async position(at: TopicPartition & { readonly generation: number }): Promise<SinkPosition> {
    this.#known.delete(keyOf(at));
    const empty = await this.#target.isEmpty(at);
    return empty ? { kind: 'offset', offset: 0n } : { kind: 'committed' };
  }

  async write(batch: SinkBatch<T>, { retry }: { readonly retry: boolean }): Promise<'written' | 'stale' | 'lost'> {
    if (batch.generation > MAX_GENERATION) {
      throw new SluiceError(`Generation ${batch.generation} is above ${MAX_GENERATION}`, {
        code: 'CLICKHOUSE_GENERATION_TOO_LARGE',
        action: 'fatal',
      });
    }
    const key = keyOf(batch);
    const known = this.#known.get(key);
    const ready = known !== undefined && !retry && this.#holds(known, batch);
    const look = ready ? null : await this.#look(batch, known);
    if (look !== null && look.kind !== 'write') return look.kind;
    const base = look?.known ?? known!;
    await this.#insert(batch, base, look?.skip ?? null);
    const reached = this.#options.progress(batch);
    const progress: Progress = {
      generation: batch.generation,
      nextOffset: batch.to,
      lsn: max(reached?.lsn ?? 0n, base.progress.lsn),
      streamTimeMs: Math.max(reached?.streamTimeMs ?? 0, base.progress.streamTimeMs),
    };
    await this.#target.writeProgress(batch, progress);
    this.#known.set(key, { ...base, progress });
    return 'written';
  }

  /** The log is a sum, so a row counts the same whenever it comes. The progress is not touched: it has passed the batch. */
  async redrive(batch: SinkBatch<T>): Promise<void> {
    const inspection = await this.#target.inspect(batch, batch);
    const { present, serverTimeMs } = inspection;
    // A later reading of the topic has written it, now that the target takes it.
    if (present.some(({ generation }) => generation > batch.generation)) return;
    await this.#refuseDoubt(batch, inspection);
    await this.#insert(batch, { serverTimeMs }, await this.#skip(batch, inspection, batch.from));
  }

  async close(): Promise<void> {
    this.#known.clear();
    await this.#target.close();
  }

  /** Whether nothing can have happened to the partition that the tokens would not catch. */
  #holds({ progress, askedAt, earlierAhead }: Known, batch: SinkBatch<T>): boolean {
    return (
      !earlierAhead &&
      progress.generation === batch.generation &&
      progress.nextOffset === batch.from &&
      this.#now() - askedAt < this.#leaseMs / 2
    );
  }

  async #look(batch: SinkBatch<T>, known: Known | undefined): Promise<Look> {
    // Before the question is sent: the answer is at least as new as this.
    const askedAt = this.#now();
    const inspection = await this.#target.inspect(batch, batch);
    const { progress } = inspection;
    if (known !== undefined && (progress === null || isBehind(progress, known.progress))) {
      this.#known.delete(keyOf(batch));
      return { kind: 'lost' };
    }
    if (progress !== null && progress.generation > batch.generation) return { kind: 'stale' };
    const covered = progress?.generation === batch.generation ? progress.nextOffset : batch.from;
    if (covered > batch.to) return { kind: 'stale' };
    if (covered === batch.to && batch.from < batch.to) return { kind: 'written' };
    await this.#refuseDoubt(batch, inspection);
    return {
      kind: 'write',
      // What an earlier reading had reached says nothing of this one.
      known: {
        progress: progress?.generation === batch.generation ? progress : NOTHING,
        askedAt,
        serverTimeMs: inspection.serverTimeMs,
        earlierAhead: inspection.earlierAhead,
      },
      skip: await this.#skip(batch, inspection, covered),
    };
  }

  /** Rows of this very batch without progress: an attempt that broke off, to be completed under its token. */
  async #refuseDoubt(batch: SinkBatch<T>, { present }: Inspection): Promise<void> {
    const mine = present.find(({ generation }) => generation === batch.generation);
    if (mine === undefined || !(await this.#target.tokensForgottenSince(mine.sinceMs))) return;
    throw new SluiceError(
      `${this.#options.table} holds ${mine.rows} rows of ${tokenOf(batch)}, but nothing says that the rollups do, and their ` +
        'token may be forgotten. See "A range in doubt" in docs/clickhouse.md.',
      { code: 'CLICKHOUSE_RANGE_IN_DOUBT', action: 'fatal' },
    );
  }

  /** Which rows are not to be written: what progress covers, and what an earlier reading of the topic wrote. */
  async #skip(batch: SinkBatch<T>, { present }: Inspection, covered: bigint): Promise<Skip | null> {
    const earlier = present.some(({ generation }) => generation < batch.generation);
    if (!earlier && covered <= batch.from) return null;
    const rows = earlier ? await this.#target.rowsOfEarlierReadings(batch, batch) : NO_ROWS;
    return { below: covered, rows };
  }

  async #insert(batch: SinkBatch<T>, known: Pick<Known, 'serverTimeMs'>, skip: Skip | null): Promise<void> {
    const rows = this.#rows;
    const { partition, generation } = batch;
    rows.begin({ partition, generation, writeBeforeMs: known.serverTimeMs + this.#leaseMs });
    for (const record of batch.records) {
      const { offset } = record;
      if (skip !== null && offset < skip.below) continue;
      rows.add(record, skip === null ? null : (part) => skip.rows.has(`${offset}/${part}`));
    }
    const body = rows.take();
    if (body === null) return;
    if (body.length > MAX_BYTES) {
      throw new SluiceError(`${tokenOf(batch)} is ${body.length} bytes; lower the batch size`, {
        code: 'CLICKHOUSE_BATCH_TOO_LARGE',
        action: 'fatal',
      });
    }
    await this.#target.insert(body, { token: tokenOf(batch), leaseMs: this.#leaseMs });
  }
}

type Look =
  | { readonly kind: 'written' | 'stale' | 'lost' }
  | { readonly kind: 'write'; readonly known: Known; readonly skip: Skip | null };

interface Skip {
  /** Offsets below are written already. */
  readonly below: bigint;
  /** `offset/part` of rows written already. */
  readonly rows: ReadonlySet<string>;
}

const NO_ROWS: ReadonlySet<string> = new Set();
const NOTHING: Progress = { generation: 0, nextOffset: 0n, lsn: 0n, streamTimeMs: 0 };

const keyOf = ({ topic, partition }: TopicPartition) => `${topic}:${partition}`;

/** Names a batch for the server's deduplication. */
function tokenOf({ topic, partition, generation, from, to }: SinkBatch<unknown>): string {
  return `${topic}:${partition}:${generation}:${from}-${to}`;
}

const max = (a: bigint, b: bigint) => (a > b ? a : b);

function isBehind(a: Progress, b: Progress): boolean {
  return a.generation < b.generation || (a.generation === b.generation && a.nextOffset < b.nextOffset);
}
