/**
 * Postgres against everything that the prices pipeline feeds. docs/reconcile.md says how it decides. Shares no arithmetic with the pipeline: only names
 * of topics, and the decoders of records.
 */
import { type ClickHouseConfig, clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import type { Sql } from '../../../connectors/postgres/pool.ts';
import { redisClient } from '../../../connectors/redis/client.ts';
import { boardReader } from '../../../connectors/redis/reader.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { Deadline } from '../../operations/reconcile/deadline.ts';
import {
  type ReconcileReport,
  type SinkReport,
  type SourcePosition,
  unknownSink,
  verdictOf,
  type Watch,
} from '../../operations/reconcile/report.ts';
import { withSnapshot } from '../../operations/reconcile/snapshot.ts';
import { candleDecoder } from '../codec/candle.ts';
import { CANDLES } from '../topics.ts';
import { WarehouseCandles, warehousePassed } from './candles.ts';
import { type Comparison, isOpen, type Snapshot } from './comparison.ts';
import { explainedBars } from './explained.ts';
import { IndicatorSinks } from './indicator-sinks.ts';
import { LatestPrices } from './latest.ts';
import { lettersOf, NO_LETTERS, readPriceLetters } from './letters.ts';
import { MoverBoards } from './movers.ts';
import { PERIODS } from './movers-source.ts';
import { NewestIndicators } from './newest-indicators.ts';
import { PublicCandles } from './public-candles.ts';
import { PublicSignals } from './public-signals.ts';
import { comparedOf, type Scope } from './scope.ts';
import { PricesSource } from './source.ts';
import { Stamps } from './stamps.ts';
import { PricesWarehouse } from './warehouse.ts';
import { WarehouseIndicators } from './warehouse-indicators.ts';

export interface PricesReconcileOptions {
  /** A role that may create a replication slot and read `stocks` and `stock_prices`. */
  readonly postgresUrl: string;
  readonly clickHouse: ClickHouseConfig;
  readonly redisUrl: string;
  /** That have boards in Redis. */
  readonly sectors: readonly string[];
  readonly log: LogClient;
  readonly schemas: SchemaSource;
  /** Leaves out what ClickHouse has forgotten, for one. */
  readonly scope: Scope;
  /** How long to wait for a sink, each time. */
  readonly deadlineSeconds: number;
  /** Bars with letters count as differences. */
  readonly strict?: boolean;
  /** Differences shown of each report. */
  readonly limit: number;
  /** Name under which the ClickHouse sink writes its progress. */
  readonly pipeline?: string;
  readonly watch?: Watch;
}

const SNAPSHOTS = 4;

const later = (a: Lsn, b: Lsn): Lsn => (a < b ? b : a);

/** What differs, by report, as far as `limit` goes. */
export type PriceSubjects = ReadonlyMap<string, readonly PriceSubject[]>;

export interface PriceSubject {
  /** `stock start` of a bar or candle, `stock symbol` of newest indicators, the symbol of a newest price, `universe board symbol` of a place. */
  readonly key: string;
  /** Shown though Postgres has nothing of it. */
  readonly stray: boolean;
}

export interface PricesCompared {
  readonly report: ReconcileReport;
  readonly subjects: PriceSubjects;
}

export async function reconcilePrices(options: PricesReconcileOptions): Promise<ReconcileReport> {
  return (await comparePrices(options)).report;
}

/** Never throws because of a server: what could not be compared is `unknown`, with the reason. */
export async function comparePrices(options: PricesReconcileOptions): Promise<PricesCompared> {
  const started = performance.now();
  const client = clickHouseClient({ ...options.clickHouse, requestTimeoutMs: 600_000 });
  const reader = boardReader({ url: options.redisUrl });
  const redis = redisClient({ url: options.redisUrl });
  const took = () => Math.round(performance.now() - started);
  const run = new Run(options, new PricesWarehouse(client, options), { clickHouse: client, reader, redis });
  try {
    await run.all();
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    const sinks = { source: unknownSink(`${error.code}: ${error.message}`, took()) };
    return { report: { result: 'unknown', position: run.position, sinks, tookMs: took() }, subjects: new Map() };
  } finally {
    await Promise.allSettled([client.close(), reader.close(), redis.close()]);
  }
  const sinks = run.reports();
  const report = { result: verdictOf(sinks), position: run.position, sinks, tookMs: took() };
  return { report, subjects: run.subjects() };
}

interface Clients {
  readonly clickHouse: ReturnType<typeof clickHouseClient>;
  readonly reader: ReturnType<typeof boardReader>;
  readonly redis: ReturnType<typeof redisClient>;
}

class Run {
  /** Of the first snapshot. */
  position: string | null = null;
  readonly #options: PricesReconcileOptions;
  readonly #warehouse: PricesWarehouse;
  readonly #clients: Clients;
  /** What could not be looked at, and why. */
  readonly #failed = new Map<Comparison, SluiceError>();
  #comparisons: readonly Comparison[] = [];
  #partitions = 0;

  constructor(options: PricesReconcileOptions, warehouse: PricesWarehouse, clients: Clients) {
    this.#options = options;
    this.#warehouse = warehouse;
    this.#clients = clients;
  }

  async all(): Promise<void> {
    const { postgresUrl: url, deadlineSeconds, log } = this.#options;
    this.#partitions = await log.partitions(CANDLES);
    this.#comparisons = this.#comparisonsOf(this.#partitions);
    const stamps = this.#stamps();
    for (let snapshot = 1; snapshot <= SNAPSHOTS; snapshot += 1) {
      const work = { url, snapshotTimeoutMs: deadlineSeconds * 1_000 };
      await withSnapshot(work, async (sql, position) => {
        this.position ??= formatLsn(position.lsn);
        const at = await this.#snapshot(sql, position, stamps);
        for (const comparison of this.#comparisons) await this.#look(comparison, at, snapshot === 1);
      });
      if (!this.#comparisons.some((one) => !this.#failed.has(one) && isOpen(one))) break;
    }
  }

  reports(): Readonly<Record<string, SinkReport>> {
    const reports = this.#comparisons.flatMap((comparison) => {
      return [...comparison.suspects].map(([name, suspects]): [string, SinkReport] => {
        const error = this.#failed.get(comparison) ?? comparison.failed?.get(name);
        const report = suspects.report(SNAPSHOTS);
        if (error === undefined || report.result === 'different') return [name, report];
        return [name, unknownSink(`${error.code}: ${error.message}`, suspects.tookMs)];
      });
    });
    return Object.fromEntries(reports);
  }

  subjects(): PriceSubjects {
    const all = this.#comparisons.flatMap(({ suspects }) => [...suspects]);
    return new Map(
      all.map(([name, { findings }]) => {
        const { subjects, differences } = findings;
        return [name, subjects.map((key, index) => ({ key, stray: differences[index]!.postgres === null }))];
      }),
    );
  }

  #comparisonsOf(partitions: number): readonly Comparison[] {
    const { log, schemas, scope, limit, sectors } = this.#options;
    const { reader, redis, clickHouse } = this.#clients;
    const topics = { log, schemas, partitions, scope, limit };
    const warehouse = this.#warehouse;
    const candles = [new WarehouseCandles(warehouse, { partitions, limit }), new PublicCandles(topics)];
    const { series, boards } = comparedOf(scope);
    if (!series) return candles;
    const places = [
      new PublicSignals(topics),
      new WarehouseIndicators(clickHouse, { partitions, scope }),
      new NewestIndicators(this.#clients, partitions),
    ];
    return [
      ...candles,
      new IndicatorSinks(places, { scope, limit }),
      ...(boards ? PERIODS : []).map((period) => new MoverBoards(reader, { period, partitions, sectors, limit })),
      new LatestPrices(redis, { warehouse, partitions, scope, limit }),
    ];
  }

  /** Looks, if there is something to look at; what cannot be looked at leaves the others alone. */
  async #look(comparison: Comparison, snapshot: Snapshot, first: boolean): Promise<void> {
    if (this.#failed.has(comparison) || !(first || isOpen(comparison))) return;
    const { watch } = this.#options;
    const at = `comparing ${comparison.title}`;
    watch?.(at);
    try {
      await comparison.look({ ...snapshot, progress: (within) => watch?.(at, within) }, first);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      this.#failed.set(comparison, error);
    }
  }

  /** Waits for the candles themselves, from which everything else is made. */
  async #snapshot(sql: Sql, position: SourcePosition, stamps: Stamps): Promise<Snapshot> {
    const { deadlineSeconds, scope, log, schemas, strict, watch } = this.#options;
    watch?.('waiting until candles have passed the position');
    const deadline = () => new Deadline(deadlineSeconds);
    const taken = performance.now();
    const newest = [...(await stamps.passed(position.lsn, deadline())).values()];
    const lsn = [position.lsn, ...newest.map(({ lsn }) => lsn)].reduce(later);
    const letters = strict === true ? NO_LETTERS : lettersOf(await readPriceLetters(log, schemas), scope);
    const plain = new PricesSource(sql, scope);
    const { overrides, explained } = await explainedBars(letters, plain, async (bars) => {
      await warehousePassed(this.#warehouse, lsn, this.#partitions, deadline());
      return await this.#warehouse.bars(bars);
    });
    return {
      source: overrides.length === 0 ? plain : new PricesSource(sql, scope, overrides),
      lsn,
      finalTo: Math.min(...newest.map(({ finalTo }) => finalTo)),
      nowMs: () => Math.round(position.timeMs + performance.now() - taken),
      letters,
      explained,
      deadline,
    };
  }

  #stamps(): Stamps {
    const { log, schemas } = this.#options;
    const decoder = candleDecoder(schemas);
    return new Stamps(log, {
      topic: CANDLES,
      partitions: this.#partitions,
      prepare: async (records) => await decoder.prepare(records.map(({ value }) => value)),
      stampOf: ({ value }) => {
        const body = value === null ? null : decoder.decode(value).body;
        return body?.kind === 'CandlesAsOf' ? { lsn: body.source_lsn, finalTo: body.final_to } : null;
      },
    });
  }
}
