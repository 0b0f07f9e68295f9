/**
 * Bars and candles in ClickHouse against the same SQL over Postgres. Shares no arithmetic with the pipeline.
 *
 * A candle mixes transactions, so it cannot be rolled back to a position: what differs is looked at again as of a later one. Invariant: a bar or
 * candle is called different only if the version that is shown was there before the last snapshot, and the sink has passed the position of that
 * snapshot: then it has everything that the snapshot sees of it, and nothing else. What moves with every snapshot is unknown, never equal.
 */
import { type ClickHouseConfig, clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { Deadline, until } from '../../operations/reconcile/deadline.ts';
import {
  Findings,
  type ReconcileReport,
  type SinkReport,
  unknownSink,
  verdictOf,
} from '../../operations/reconcile/report.ts';
import { withSnapshot } from '../../operations/reconcile/snapshot.ts';
import { KINDS, type Kind, PricesSource, type Row, type StockSum } from './source.ts';
import { PricesWarehouse } from './warehouse.ts';

export interface PricesReconcileOptions {
  /** A role that may create a replication slot and read `stocks` and `stock_prices`. */
  readonly postgresUrl: string;
  readonly clickHouse: ClickHouseConfig;
  /** Of `prices.candles`. */
  readonly partitions: number;
  /** Leaves out bars and candles that begin earlier: what ClickHouse has forgotten, for one. */
  readonly since: Date | null;
  /** How long to wait for the sink, each time. */
  readonly deadlineSeconds: number;
  /** Differences shown of each kind. */
  readonly limit: number;
  /** Name under which the ClickHouse sink writes its progress. */
  readonly pipeline?: string;
}

const SNAPSHOTS = 4;
const STOCKS_AT_ONCE = 20;

/** What differed as of the last snapshot, with the version that was shown; `undefined`: none was ever there. */
type Suspects = Map<string, string | undefined>;

interface Looked {
  readonly findings: Findings<string>;
  readonly suspects: Suspects;
  tookMs: number;
}

/** Never throws because of a server: what could not be compared is `unknown`, with the reason. */
export async function reconcilePrices(options: PricesReconcileOptions): Promise<ReconcileReport> {
  const started = performance.now();
  const client = clickHouseClient({ ...options.clickHouse, requestTimeoutMs: 600_000 });
  const warehouse = new PricesWarehouse(client, options);
  const looked = new Map<Kind, Looked>(
    KINDS.map((kind) => [kind, { findings: new Findings<string>(options.limit), suspects: new Map(), tookMs: 0 }]),
  );
  const took = () => Math.round(performance.now() - started);
  let first: Lsn | null = null;
  let at: Readonly<Record<string, string>> = {};
  try {
    for (let snapshot = 1; snapshot <= SNAPSHOTS; snapshot += 1) {
      const work = { url: options.postgresUrl, snapshotTimeoutMs: options.deadlineSeconds * 1_000 };
      await withSnapshot(work, async (sql, { lsn }) => {
        first ??= lsn;
        const written = await passed(warehouse, lsn, options);
        at = Object.fromEntries([...written].map(([partition, { nextOffset }]) => [String(partition), nextOffset]));
        const source = new PricesSource(sql, options.since);
        for (const [kind, of] of looked) {
          const begun = performance.now();
          if (snapshot === 1) await firstLook(kind, of, source, warehouse);
          else if (of.suspects.size > 0) await lookAgain(kind, of, source, warehouse);
          of.tookMs += Math.round(performance.now() - begun);
        }
      });
      if ([...looked.values()].every(({ suspects }) => suspects.size === 0)) break;
    }
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    const sinks = { clickhouse: unknownSink(`${error.code}: ${error.message}`, took()) };
    return { result: 'unknown', position: first === null ? null : formatLsn(first), sinks, tookMs: took() };
  } finally {
    await client.close();
  }
  const sinks = Object.fromEntries([...looked].map(([kind, of]) => [`clickhouse.${kind}`, reportOf(of, at)]));
  return { result: verdictOf(sinks), position: formatLsn(first!), sinks, tookMs: took() };
}

function reportOf({ findings, suspects, tookMs }: Looked, at: Readonly<Record<string, string>>): SinkReport {
  const report = findings.report(at, tookMs);
  if (suspects.size === 0 || report.result === 'different') return report;
  const problem = `${suspects.size} changed with each of ${SNAPSHOTS} snapshots, while prices are written: ask again, or with less traffic`;
  return { ...report, result: 'unknown', problem };
}

async function passed(
  warehouse: PricesWarehouse,
  lsn: Lsn,
  { partitions, deadlineSeconds }: PricesReconcileOptions,
): Promise<Awaited<ReturnType<PricesWarehouse['progress']>>> {
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  return await until(new Deadline(deadlineSeconds), {
    ask: async () => await warehouse.progress(),
    done: (progress) => (all.every((partition) => (progress.get(partition)?.lsn ?? -1n) >= lsn) ? progress : null),
    missing: (progress) =>
      all
        .filter((partition) => (progress.get(partition)?.lsn ?? -1n) < lsn)
        .map((partition) => {
          const is = progress.get(partition);
          const where = is === undefined ? 'not started' : `at ${formatLsn(is.lsn)}`;
          return `ClickHouse, partition ${partition} of the candles: ${where}, wanted ${formatLsn(lsn)}`;
        })
        .join('; '),
  });
}

async function firstLook(kind: Kind, looked: Looked, source: PricesSource, warehouse: PricesWarehouse): Promise<void> {
  const expected = await source.sums(kind);
  const found = await warehouse.sums(kind);
  const stocks = [...new Set([...expected.keys(), ...found.keys()])];
  looked.findings.bucketsCompared = stocks.length;
  for (const { rows } of expected.values()) looked.findings.rowsCompared += rows;
  const differing = stocks.filter((stock) => !sameSum(expected.get(stock), found.get(stock)));
  await inParts(differing, async (part) => {
    const differences = await differingRows(kind, part, source, warehouse);
    const versions = await warehouse.versions(kind, part);
    for (const key of differences.keys()) looked.suspects.set(key, versions.get(key));
  });
}

/** Decides on the suspects: equal now, different, or still moving. */
async function lookAgain(kind: Kind, looked: Looked, source: PricesSource, warehouse: PricesWarehouse): Promise<void> {
  const { suspects, findings } = looked;
  await inParts([...new Set([...suspects.keys()].map(stockOf))], async (part) => {
    const differences = await differingRows(kind, part, source, warehouse);
    // Asked after the rows were read: a version that is still the newest is the one that was read.
    const versions = await warehouse.versions(kind, part);
    const inPart = new Set(part);
    for (const [key, before] of suspects) {
      if (!inPart.has(stockOf(key))) continue;
      const difference = differences.get(key);
      if (difference !== undefined && versions.get(key) !== before) {
        suspects.set(key, versions.get(key));
        continue;
      }
      suspects.delete(key);
      if (difference !== undefined) findings.differs(shown(kind, key, difference), key);
    }
  });
}

interface RowDifference {
  readonly postgres: string | null;
  readonly sink: string | null;
}

async function differingRows(
  kind: Kind,
  stocks: readonly bigint[],
  source: PricesSource,
  warehouse: PricesWarehouse,
): Promise<ReadonlyMap<string, RowDifference>> {
  const expected = byKey(await source.rows(kind, stocks));
  const found = byKey(await warehouse.rows(kind, stocks));
  const differences = new Map<string, RowDifference>();
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    const [postgres, sink] = [expected.get(key) ?? null, found.get(key) ?? null];
    if (postgres !== sink) differences.set(key, { postgres, sink });
  }
  return differences;
}

const byKey = (rows: readonly Row[]): ReadonlyMap<string, string> =>
  new Map(rows.map(({ stockId, start, text }) => [`${stockId} ${start}`, text]));

const stockOf = (key: string): bigint => BigInt(key.slice(0, key.indexOf(' ')));

function shown(kind: Kind, key: string, { postgres, sink }: RowDifference) {
  const start = new Date(Number(key.slice(key.indexOf(' ') + 1))).toISOString();
  return { bucket: `stock ${stockOf(key)}`, row: `${kind} of ${start}`, postgres, sink };
}

async function inParts(stocks: readonly bigint[], work: (part: readonly bigint[]) => Promise<void>): Promise<void> {
  for (let at = 0; at < stocks.length; at += STOCKS_AT_ONCE) await work(stocks.slice(at, at + STOCKS_AT_ONCE));
}

function sameSum(a: StockSum | undefined, b: StockSum | undefined): boolean {
  return a !== undefined && b !== undefined && a.rows === b.rows && a.sum === b.sum;
}
