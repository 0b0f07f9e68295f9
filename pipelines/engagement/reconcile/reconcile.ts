/**
 * Postgres against everything that the pipeline feeds, as of one position of Postgres. docs/reconcile.md says how it decides.
 * Shares no arithmetic with the pipeline: only names of topics, and the decoders of records.
 */
import { type ClickHouseConfig, clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { formatLsn } from '../../../connectors/postgres/lsn.ts';
import { type BoardReader, boardReader } from '../../../connectors/redis/reader.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { Deadline } from '../../operations/reconcile/deadline.ts';
import {
  confirmed,
  Findings,
  type ReconcileReport,
  type SinkReport,
  unknownSink,
  verdictOf,
  type Watch,
} from '../../operations/reconcile/report.ts';
import { askPostgres } from '../../operations/reconcile/snapshot.ts';
import { CHANGES, CLICKHOUSE_SINK } from '../topics.ts';
import { type BoardRules, type BoardWindow, compareWindow, type PlaceDifference } from './boards.ts';
import { type ContentDifference, compareContents } from './contents.ts';
import { type DeadLetters, NO_LETTERS, readDeadLetters } from './dead-letters.ts';
import { type Asked, askDeployed, isStill } from './deployed.ts';
import { ExternalTopic } from './external.ts';
import { ROLLUPS, type Rollup } from './period.ts';
import { type CellDifference, compareRollup } from './rollups.ts';
import { compareRows, type ExplainedRow, type RowDifference, type RowStore } from './rows.ts';
import { ALL_ROWS, type RowScope } from './scope.ts';
import { compareLog, type LogDifference } from './signed-log.ts';
import { type RangeSum, type Source, withSource } from './source.ts';
import { Settling, untilWarehousePassed, untilWarehouseWrote } from './wait.ts';
import { type Progress, Warehouse } from './warehouse.ts';

export type ReconcileStep = 'snapshot' | 'passed' | 'contents' | 'rows' | 'external' | 'rollups';

export interface ReconcileOptions extends Asked {
  /** A role that may create a replication slot and read `content` and `engagement_events`. */
  readonly postgresUrl: string;
  readonly clickHouse: ClickHouseConfig;
  readonly redisUrl: string;
  readonly log: LogClient;
  /** The log that holds the external topic, where it is on another cluster. */
  readonly externalLog?: LogClient;
  readonly schemas: SchemaSource;
  /** Compares what the captured topic holds of contents too. */
  readonly contents?: boolean;
  /** The log of ClickHouse is known not to hold everything: it is not held against the rows. */
  readonly skipLog?: boolean;
  /** Boards to compare; all of them when left out. */
  readonly windows?: readonly BoardWindow[];
  /** Leaves out rows with an earlier event_ts, and periods that begin earlier. Boards are compared whole. */
  readonly since?: Date | null;
  /** Compares only the rows that are also within this: neither rollups nor boards. */
  readonly scope?: RowScope;
  /** How long to wait for a sink. 120 s. */
  readonly deadlineSeconds?: number;
  /** Dead-lettered rows count as differences. */
  readonly strict?: boolean;
  /** Differences shown of each sink. 20. */
  readonly limit?: number;
  /** Name under which the ClickHouse sink writes its progress. */
  readonly pipeline?: string;
  /** Called with a report that another snapshot is to confirm. */
  readonly unconfirmed?: (report: ReconcileReport) => void;
  /** Called with a comparison that found differences which another snapshot need not confirm, while its snapshot is there. */
  readonly different?: (comparison: Comparison) => Promise<void>;
  readonly watch?: Watch;
  /** Called between the steps; for tests. */
  readonly probe?: (step: ReconcileStep) => Promise<void>;
}

/** What differs, by sink, as far as `limit` goes. */
export interface Subjects {
  readonly contents: readonly ContentDifference[];
  readonly log: readonly LogDifference[];
  readonly clickHouseRows: readonly RowDifference[];
  readonly external: readonly RowDifference[];
  readonly cells: ReadonlyMap<Rollup, readonly CellDifference[]>;
  readonly places: ReadonlyMap<BoardWindow, readonly PlaceDifference[]>;
}

/** A comparison with its snapshot open. */
export interface Comparison {
  readonly report: ReconcileReport;
  readonly subjects: Subjects;
  readonly source: Source;
  readonly warehouse: Warehouse;
  /** Waits until the log of ClickHouse holds everything that any of its tables showed when this was called. */
  readonly settle: () => Promise<void>;
}

/** While contents are edited the log may not lead back exactly (docs/reconcile.md): then another snapshot decides. */
const ATTEMPTS = 3;

/** Compares everything. Never throws because of a server: what could not be compared is `unknown`, with the reason. Throws what `different` throws. */
export async function reconcile(options: ReconcileOptions): Promise<ReconcileReport> {
  const started = performance.now();
  const earlier: ReconcileReport[] = [];
  for (let attempt = 1; ; attempt++) {
    const { report, leaps, failure } = await attemptOnce(options, attempt === ATTEMPTS);
    if (failure !== undefined) throw failure.error;
    const open = report.result === 'different' && leaps;
    if (!open || attempt === ATTEMPTS) {
      return { ...(open ? confirmed(report, earlier) : report), tookMs: since(started) };
    }
    earlier.push(report);
    options.unconfirmed?.(report);
  }
}

const since = (started: number): number => Math.round(performance.now() - started);

interface Attempt {
  readonly report: ReconcileReport;
  readonly leaps: boolean;
  /** What `different` threw: no fault of what is compared. */
  readonly failure?: { readonly error: unknown };
}

async function attemptOnce(options: ReconcileOptions, last: boolean): Promise<Attempt> {
  const started = performance.now();
  const client = clickHouseClient({ ...options.clickHouse, requestTimeoutMs: 600_000 });
  const reader = boardReader({ url: options.redisUrl });
  const deadlineSeconds = options.deadlineSeconds ?? 120;
  try {
    await askPostgres(options.postgresUrl);
    const deployed = await askDeployed(options, new Deadline(deadlineSeconds));
    if (typeof deployed === 'string') return { report: unknownReport('deployments', deployed, started), leaps: false };
    const { logic, rules } = deployed;
    const asked = {
      url: options.postgresUrl,
      since: options.since ?? null,
      scope: options.scope ?? ALL_ROWS,
      maxPctBp: logic.maxPctBp,
      snapshotTimeoutMs: deadlineSeconds * 1_000,
    };
    return await withSource(asked, async (source) => {
      const { position } = source;
      const pipeline = options.pipeline ?? CLICKHOUSE_SINK;
      const warehouse = new Warehouse(client, { pipeline, topic: CHANGES, position, ...asked });
      await options.probe?.('snapshot');
      const run = new Run({ options, rules, source, warehouse, reader, deadlineSeconds });
      const sinks = await run.sinks();
      if (verdictOf(sinks) === 'different' && !(await isStill(logic, options))) {
        return { report: unknownReport('deployments', 'the logic was changed meanwhile', started), leaps: false };
      }
      const leaps = await warehouse.hasInvisibleCorrections().catch(() => false);
      const report = { result: verdictOf(sinks), position: formatLsn(position.lsn), sinks, tookMs: since(started) };
      if (options.different === undefined || report.result !== 'different' || (leaps && !last))
        return { report, leaps };
      const failure = await options.different(run.comparison(report)).then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      return { report, leaps, failure };
    });
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { report: unknownReport('postgres', `${error.code}: ${error.message}`, started), leaps: false };
  } finally {
    await Promise.allSettled([client.close(), reader.close()]);
  }
}

function unknownReport(sink: string, problem: string, started: number): ReconcileReport {
  const sinks = { [sink]: unknownSink(problem, since(started)) };
  return { result: 'unknown', position: null, sinks, tookMs: since(started) };
}

interface RunParts {
  readonly options: ReconcileOptions;
  readonly rules: BoardRules;
  readonly source: Source;
  readonly warehouse: Warehouse;
  readonly reader: BoardReader;
  readonly deadlineSeconds: number;
}

/** One comparison of all sinks with one snapshot. Each step needs what the ones before it found out. */
class Run {
  readonly #parts: RunParts;
  readonly #sinks: Record<string, SinkReport> = {};
  #partitions = 0;
  #written: ReadonlyMap<number, Progress> = new Map();
  #letters: DeadLetters = NO_LETTERS;
  #rangeSums: ReadonlyMap<bigint, RangeSum> = new Map();
  #explained: readonly ExplainedRow[] = [];
  readonly #contents: Findings<ContentDifference>;
  readonly #log: Findings<LogDifference>;
  readonly #clickHouseRows: Findings<RowDifference>;
  readonly #externalRows: Findings<RowDifference>;
  readonly #cells: ReadonlyMap<Rollup, Findings<CellDifference>>;
  readonly #places: ReadonlyMap<BoardWindow, Findings<PlaceDifference>>;

  constructor(parts: RunParts) {
    this.#parts = parts;
    const limit = parts.options.limit ?? 20;
    this.#contents = new Findings(limit);
    this.#log = new Findings(limit);
    this.#clickHouseRows = new Findings(limit);
    this.#externalRows = new Findings(limit);
    this.#cells = new Map(ROLLUPS.map((rollup) => [rollup, new Findings(limit)]));
    const windows = parts.options.windows ?? parts.rules.windows.map(({ name }) => name);
    this.#places = new Map(windows.map((window) => [window, new Findings(limit)]));
  }

  comparison(report: ReconcileReport): Comparison {
    const { source, warehouse } = this.#parts;
    const subjects = {
      contents: this.#contents.subjects,
      log: this.#log.subjects,
      clickHouseRows: this.#clickHouseRows.subjects,
      external: this.#externalRows.subjects,
      cells: new Map([...this.#cells].map(([rollup, { subjects }]) => [rollup, subjects])),
      places: new Map([...this.#places].map(([window, { subjects }]) => [window, subjects])),
    };
    const settle = async () => await untilWarehouseWrote(warehouse, await this.#changesEnd(), this.#deadline());
    return { report, subjects, source, warehouse, settle };
  }

  async sinks(): Promise<Readonly<Record<string, SinkReport>>> {
    const { options } = this.#parts;
    options.watch?.('waiting until ClickHouse has passed the position');
    const ready = await this.#guard('clickhouse', async () => await this.#prepare());
    if (!ready) return this.#sinks;
    await options.probe?.('passed');
    if (options.contents === true && options.scope === undefined) {
      await this.#step('contents', this.#contents, async (findings) => {
        const { source } = this.#parts;
        const { log, schemas } = options;
        return await compareContents({ source, log, schemas, deadline: this.#deadline(), findings });
      });
      await options.probe?.('contents');
    }
    await this.#step('clickhouse.rows', this.#clickHouseRows, async (findings) => await this.#rows(findings));
    await options.probe?.('rows');
    // Only by right rows: from wrong ones nobody can tell which of the two is at fault.
    if (options.skipLog !== true && options.scope === undefined && this.#sinks['clickhouse.rows']?.result === 'equal') {
      await this.#signedLog();
    }
    await this.#step('external', this.#externalRows, async (findings) => await this.#external(findings));
    await options.probe?.('external');
    if (options.scope !== undefined) return this.#sinks;
    for (const [rollup, found] of this.#cells) {
      await this.#step(`clickhouse.${rollup.name}`, found, async (findings) => {
        const { source, warehouse } = this.#parts;
        const settle = this.#settling(await warehouse.progress());
        await compareRollup({ source, warehouse, rollup, explained: this.#explained, settle, findings });
        return this.#offsets(this.#written);
      });
    }
    await options.probe?.('rollups');
    for (const [window, found] of this.#places) {
      await this.#step(`redis.${window}`, found, async (findings) => await this.#boards(window, findings));
    }
    return this.#sinks;
  }

  /** Waits for ClickHouse, by whose log everything is rolled back, and reads what all comparisons need. */
  async #prepare(): Promise<void> {
    const { options, source, warehouse } = this.#parts;
    const deadline = this.#deadline();
    this.#partitions = await options.log.partitions(CHANGES);
    const target = { lsn: source.position.lsn, partitions: this.#partitions };
    this.#written = await untilWarehousePassed(warehouse, target, deadline);
    if (options.strict !== true) this.#letters = await readDeadLetters(options.log, options.schemas);
    this.#rangeSums = await source.rangeSums();
  }

  async #rows(findings: Findings<RowDifference>): Promise<Readonly<Record<string, string>>> {
    const { source, warehouse } = this.#parts;
    const before = await warehouse.progress();
    const store: RowStore = {
      rowHashes: async (ranges) => await warehouse.rowHashes(ranges),
      rows: async (ids) => await warehouse.rows(ids),
      settle: this.#settling(before),
    };
    const found = await warehouse.rangeSums();
    const letters = [this.#letters.pipeline, this.#letters.warehouse];
    this.#explained = await compareRows({ ...this.#common(findings), letters, source, warehouse, store, found });
    return this.#offsets(before);
  }

  async #signedLog(): Promise<void> {
    const { warehouse } = this.#parts;
    await this.#step('clickhouse.log', this.#log, async (findings) => {
      const before = await warehouse.progress();
      const keeps = await warehouse.keepsLog();
      if (keeps) await compareLog({ warehouse, settle: this.#settling(before), findings });
      return this.#offsets(before);
    });
  }

  async #external(findings: Findings<RowDifference>): Promise<Readonly<Record<string, string>>> {
    const { options, source, warehouse } = this.#parts;
    const deadline = this.#deadline();
    const topic = new ExternalTopic({
      client: options.externalLog ?? options.log,
      changes: options.log,
      schemas: options.schemas,
      partitions: this.#partitions,
      since: options.since ?? null,
      scope: options.scope ?? ALL_ROWS,
      deadline,
    });
    await topic.read();
    await untilWarehouseWrote(warehouse, topic.changesEnd, deadline);
    const letters = [this.#letters.pipeline];
    const found = topic.rangeSums();
    await compareRows({ ...this.#common(findings), letters, source, warehouse, store: topic, found });
    return Object.fromEntries([...topic.changesEnd].map(([partition, offset]) => [partition, String(offset)]));
  }

  async #boards(window: BoardWindow, findings: Findings<PlaceDifference>): Promise<Readonly<Record<string, string>>> {
    const { source, warehouse, reader, rules } = this.#parts;
    const rule = rules.windows.find(({ name }) => name === window);
    if (rule === undefined) throw noSuchWindow(window, rules);
    const deadline = this.#deadline();
    await reader.connect();
    const partitions = this.#partitions;
    const explained = this.#explained.filter(({ warehouseOnly }) => !warehouseOnly);
    const counted = await compareWindow(
      { source, warehouse, reader, partitions, rules, explained, deadline, findings },
      rule,
    );
    return Object.fromEntries([...counted].map(([partition, offset]) => [partition, String(offset)]));
  }

  /** Of one wait: how long comparing takes is no sink's fault. */
  #deadline(): Deadline {
    return new Deadline(this.#parts.deadlineSeconds);
  }

  #settling(last: ReadonlyMap<number, Progress>): () => Promise<boolean> {
    const changesEnd = async () => await this.#changesEnd();
    const settling = new Settling(this.#parts.warehouse, { changesEnd, deadline: () => this.#deadline(), last });
    return async () => await settling.settle();
  }

  async #changesEnd(): Promise<ReadonlyMap<number, bigint>> {
    const partitions = Array.from({ length: this.#partitions }, (_, partition) => partition);
    return await this.#parts.options.log.offsets(CHANGES, partitions, 'highWatermark');
  }

  #common(findings: Findings<RowDifference>) {
    return { expected: this.#rangeSums, findings };
  }

  #offsets(progress: ReadonlyMap<number, Progress>): Readonly<Record<string, string>> {
    return Object.fromEntries([...progress].map(([partition, { nextOffset }]) => [partition, String(nextOffset)]));
  }

  /** Compares one sink; one that cannot be compared leaves the others alone. */
  async #step<S>(
    name: string,
    findings: Findings<S>,
    compare: (findings: Findings<S>) => Promise<Readonly<Record<string, string>>>,
  ): Promise<void> {
    const started = performance.now();
    this.#parts.options.watch?.(`comparing ${name}`);
    await this.#guard(name, async () => {
      const position = await compare(findings);
      this.#sinks[name] = findings.report(position, since(started));
    });
  }

  async #guard(name: string, work: () => Promise<void>): Promise<boolean> {
    const started = performance.now();
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      this.#sinks[name] = unknownSink(`${error.code}: ${error.message}`, since(started));
      return false;
    }
  }
}

function noSuchWindow(window: BoardWindow, { windows }: BoardRules): SluiceError {
  const names = windows.map(({ name }) => name).join(', ');
  return new SluiceError(`There are no boards of ${window}: there is ${names}`, {
    code: 'WINDOW_UNKNOWN',
    action: 'fatal',
  });
}
