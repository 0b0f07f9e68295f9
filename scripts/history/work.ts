/** Planning, doing and describing a load of history. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { SluiceError } from '../../engine/errors.ts';
import { SourceClock } from '../../engine/source-clock.ts';
import { sourceClock } from '../../pipelines/capture/source-clock.ts';
import { type Config, kafkaOptions } from '../../pipelines/config.ts';
import { liveLag } from '../../pipelines/operations/backfill/live-lag.ts';
import { untilStagePassed, untilStageRead } from '../../pipelines/operations/backfill/stage-wait.ts';
import { CANDLES_STAGE } from '../../pipelines/prices/candles-stage.ts';
import { byStock } from '../../pipelines/prices/history/by-stock.ts';
import { HistoryLedger, type HistoryRun } from '../../pipelines/prices/history/ledger.ts';
import { type Committed, loadHistory } from '../../pipelines/prices/history/load.ts';
import type { KnownStock, Reject } from '../../pipelines/prices/history/rows.ts';
import { fileSource, type HistorySource, madeSource, trafficOf } from '../../pipelines/prices/history/source.ts';
import { addStocks, knownStocks } from '../../pipelines/prices/history/stocks.ts';
import { PRICES_MONITORED } from '../../pipelines/prices/monitored.ts';
import { STOCKS_SINK } from '../../pipelines/prices/topics.ts';
import type { OperationContext, Plan, Report } from '../support/operation.ts';
import type { LoadFlags, Request } from './request.ts';

/** What is to be done: a new run, or the one that was left. */
export interface Work {
  readonly request: Request;
  readonly left: HistoryRun | null;
  readonly rows: number;
  readonly rejects: Rejects;
}

/** Lines of a file that are not loaded. */
interface Rejects {
  readonly count: number;
  readonly byReason: Readonly<Record<string, number>>;
  readonly first: readonly Reject[];
}

const NO_REJECTS: Rejects = { count: 0, byReason: {}, first: [] };
const SHOWN = 20;
/** Of bars, from capture to every sink. */
const WORKERS = PRICES_MONITORED.workers.filter(({ name }) => name !== STOCKS_SINK);

/** Reads what is to be loaded, whole, and finds whether the same was begun. Changes nothing but the file of `--rejects`. */
export async function plan(
  asked: Request,
  flags: LoadFlags,
  { config, progress }: OperationContext,
): Promise<Plan<Work>> {
  return await withPool(config, async (pool) => {
    const left = await new HistoryLedger(pool).open();
    const request = left === null ? asked : sameDay(asked, left.request as Request, flags);
    if (left !== null && JSON.stringify(left.request) !== JSON.stringify(request)) {
      throw new SluiceError(
        `Load ${left.runId} (${JSON.stringify(left.request)}) is not over: give the same again to go on, or: npm run history -- cancel`,
        { code: 'HISTORY_UNDER_WAY', action: 'fatal' },
      );
    }
    const found =
      request.kind === 'made'
        ? { rows: trafficOf(request.made).historySize(request.made.years), rejects: NO_REJECTS }
        : await scan(resolve(flags.file!), await knownStocks(pool), {
            rejects: flags.rejects === undefined ? null : resolve(flags.rejects),
            looked: (lines) => progress.update(lines, null, 'looking through the file'),
          });
    progress.end();
    const { rows, rejects } = found;
    const about = request.kind === 'made' ? 'about ' : '';
    const done = left === null ? '' : `; ${left.rowsRead} of them were loaded by run ${left.runId}, which goes on`;
    return {
      data: { request, left, rows, rejects },
      lines: [
        `load ${about}${rows - rejects.count} daily bars in transactions of ${request.chunkRows}${done}`,
        `a transaction waits while the pipeline is more than ${flags.maxLag} records behind`,
        ...rejectLines(rejects),
      ],
      report: { request, rows, rejects, runId: left?.runId ?? null },
      nothing: rows === rejects.count,
    };
  });
}

/** Made-up history that was asked for without a day goes on with the day on which it was begun. */
function sameDay(asked: Request, left: Request, { until }: LoadFlags): Request {
  if (asked.kind !== 'made' || left.kind !== 'made' || until !== undefined) return asked;
  return { ...asked, made: { ...asked.made, until: left.made.until } };
}

async function scan(
  file: string,
  stocks: ReadonlyMap<string, KnownStock>,
  to: { readonly rejects: string | null; readonly looked: (lines: number) => void },
): Promise<{ readonly rows: number; readonly rejects: Rejects }> {
  const out = to.rejects === null ? null : createWriteStream(to.rejects);
  out?.write('line,reason,message\n');
  const first: Reject[] = [];
  const byReason: Record<string, number> = {};
  let [rows, count] = [0, 0];
  for await (const chunk of fileSource(file, stocks)(SCAN_ROWS)) {
    rows += chunk.read;
    count += chunk.rejects.length;
    for (const reject of chunk.rejects) {
      byReason[reject.reason] = (byReason[reject.reason] ?? 0) + 1;
      if (first.length < SHOWN) first.push(reject);
      out?.write(`${reject.line},${reject.reason},"${reject.message.replaceAll('"', '""')}"\n`);
    }
    if (out?.writableNeedDrain === true) await once(out, 'drain');
    to.looked(rows);
  }
  if (out !== null) {
    out.end();
    await once(out, 'finish');
  }
  return { rows, rejects: { count, byReason, first } };
}

const SCAN_ROWS = 20_000;

function rejectLines({ count, byReason, first }: Rejects): readonly string[] {
  if (count === 0) return [];
  const reasons = Object.entries(byReason).map(([reason, lines]) => `${lines} ${reason}`);
  const more = count > first.length ? [`… and ${count - first.length} more: --rejects writes them all`] : [];
  return [
    `${count} lines are not loaded: ${reasons.join(', ')}`,
    ...first.map(({ line, reason, message }) => `  line ${line}: ${reason}: ${message}`),
    ...more,
  ];
}

export async function execute(work: Work, flags: LoadFlags, context: OperationContext): Promise<Report> {
  const { config, signal, progress } = context;
  const { request, rejects } = work;
  const log = new KafkaClient(kafkaOptions(config, 'sluice-history'));
  const clock = sourceClock(new RegistryClient({ url: config.SLUICE_REGISTRY_URL }));
  const pipeline = new PipelineLag(log, clock);
  const begunMs = performance.now();
  try {
    return await withPool(config, async (pool) => {
      await pipeline.start();
      const ledger = new HistoryLedger(pool);
      const runId = work.left?.runId ?? context.runId;
      if (work.left === null) await ledger.begin({ runId, request, rowsPlanned: work.rows });
      const run = await loadHistory({
        ...{ postgresUrl: config.SLUICE_POSTGRES_URL, pool, runId, chunkRows: request.chunkRows, signal },
        source: await sourceOf(request, flags, pool),
        lag: async (committed) => await pipeline.lag(committed),
        maxLag: flags.maxLag,
        report: ({ rowsRead, rowsPlanned }, note) => progress.update(rowsRead, Math.max(rowsRead, rowsPlanned), note),
      });
      const loadedMs = performance.now();
      const never = await untilShown({ pool, clock, log, signal }, (name) =>
        progress.update(run.rowsRead, run.rowsRead, `all is in Postgres, waiting for ${name}`),
      );
      await ledger.end('done');
      const tookMs = { loaded: loadedMs - begunMs, shown: performance.now() - begunMs };
      return reportOf(run, { rejects, never, tookMs });
    });
  } finally {
    await pipeline.close();
    await log.close();
  }
}

async function sourceOf(request: Request, flags: LoadFlags, pool: PostgresPool): Promise<HistorySource> {
  if (request.kind === 'file') return byStock(fileSource(resolve(flags.file!), await knownStocks(pool)));
  return byStock(madeSource(request.made, await addStocks(pool, trafficOf(request.made).listings)));
}

/**
 * One after the other, in the order data flows: what each has read was written by those before it. Returns the names of those that never ran, which are
 * not waited for. Throws HISTORY_NOT_SHOWN (retry).
 */
async function untilShown(
  at: Parameters<typeof untilStagePassed>[0] & { readonly log: KafkaClient; readonly signal: AbortSignal },
  waiting: (name: string) => void,
): Promise<readonly string[]> {
  const never: string[] = [];
  for (const { name, input } of WORKERS) {
    if (!(await everRan(at.log, name, input))) {
      never.push(name);
      continue;
    }
    waiting(name);
    const wait = { log: at.log, stage: name, captured: input, signal: at.signal };
    try {
      if (name === CANDLES_STAGE) await untilStagePassed(at, wait);
      else await untilStageRead(wait);
    } catch (cause) {
      if (!(cause instanceof SluiceError && cause.code === 'BACKFILL_STAGE_BEHIND')) throw cause;
      throw new SluiceError(
        `All rows are in Postgres, but ${name} does not come on: is it running? Then the same command goes on`,
        { code: 'HISTORY_NOT_SHOWN', action: 'retry', cause },
      );
    }
  }
  return never;
}

async function everRan(log: KafkaClient, worker: string, input: string): Promise<boolean> {
  for (let partition = 0; partition < (await log.partitions(input)); partition++) {
    if ((await log.committed(worker, input, partition)) !== null) return true;
  }
  return false;
}

function reportOf(
  run: HistoryRun,
  {
    rejects,
    never,
    tookMs,
  }: {
    readonly rejects: Rejects;
    readonly never: readonly string[];
    readonly tookMs: { readonly loaded: number; readonly shown: number };
  },
): Report {
  const { runId, rowsRead, rowsChanged } = run;
  const seconds = Math.round(tookMs.shown) / 1_000;
  const loadedSeconds = Math.round(tookMs.loaded) / 1_000;
  return {
    lines: [
      `Load ${runId} is done: ${rowsRead} rows read, ${rowsChanged} of them new or changed. This process took ${loadedSeconds} s to load and ${seconds} s until every sink had them.`,
      ...(never.length === 0 ? [] : [`Not waited for, since they never ran: ${never.join(', ')}`]),
      ...rejectLines(rejects),
    ],
    report: { runId, rowsRead, rowsChanged, rejects, never, loadedSeconds, seconds },
    complete: rejects.count === 0,
  };
}

/** How far capture and the workers are behind what was committed. */
class PipelineLag {
  readonly #log: KafkaClient;
  readonly #clock: SourceClock;
  #position = 0n;
  #failure: unknown = null;

  constructor(log: KafkaClient, clock: ReturnType<typeof sourceClock>) {
    this.#log = log;
    this.#clock = new SourceClock(log, {
      ...clock,
      listener: async ({ position }) => {
        this.#position = position;
      },
      failed: (error) => {
        this.#failure = error;
      },
    });
  }

  async start(): Promise<void> {
    await this.#clock.start();
  }

  async close(): Promise<void> {
    await this.#clock.close();
  }

  async lag(committed: readonly Committed[]): Promise<number> {
    if (this.#failure !== null) throw this.#failure;
    const uncaptured = committed.reduce((sum, { lsn, rows }) => (lsn > this.#position ? sum + rows : sum), 0);
    return uncaptured + (await liveLag(this.#log, WORKERS));
  }
}

export function describeRun({
  status,
  rowsRead,
  rowsPlanned,
  rowsRejected,
  startedAt,
  updatedAt,
  request,
}: HistoryRun): string {
  return `${status}, ${rowsRead} of about ${rowsPlanned} rows read, ${rowsRejected} rejected; begun ${startedAt}, last moved ${updatedAt}; ${JSON.stringify(request)}`;
}

export async function withLedger<T>(config: Config, work: (ledger: HistoryLedger) => Promise<T>): Promise<T> {
  return await withPool(config, async (pool) => await work(new HistoryLedger(pool)));
}

async function withPool<T>(config: Config, work: (pool: PostgresPool) => Promise<T>): Promise<T> {
  const url = config.SLUICE_POSTGRES_URL;
  const pool = new PostgresPool({ url, applicationName: 'sluice-history', statementTimeoutMs: 120_000 });
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}
