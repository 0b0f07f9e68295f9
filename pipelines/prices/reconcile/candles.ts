/** Bars and candles in ClickHouse: sums of hashes by stock first, then row by row. */
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';
import type { Difference } from '../../operations/reconcile/report.ts';
import type { Comparison, Snapshot, WatchedSnapshot } from './comparison.ts';
import { keyOf, named, startOf, stockOf } from './key.ts';
import { refusal } from './letters.ts';
import { KINDS, type Kind, type PricesSource, type Row, type StockSum } from './source.ts';
import { Suspects } from './suspects.ts';
import type { PricesWarehouse, WarehouseProgress, WrittenWarehouse } from './warehouse.ts';

const STOCKS_AT_ONCE = 20;

export class WarehouseCandles implements Comparison {
  readonly title = 'bars and candles in ClickHouse';
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly #warehouse: PricesWarehouse;
  readonly #partitions: number;
  readonly #limit: number;

  constructor(
    warehouse: PricesWarehouse,
    options: { /** Of `prices.candles`. */ readonly partitions: number; readonly limit: number },
  ) {
    this.#warehouse = warehouse;
    this.#partitions = options.partitions;
    this.#limit = options.limit;
    this.suspects = new Map(KINDS.map((kind) => [`clickhouse.${kind}`, new Suspects(options.limit)]));
  }

  async look(snapshot: WatchedSnapshot, first: boolean): Promise<void> {
    const written = await warehousePassed(this.#warehouse, snapshot.lsn, this.#partitions, snapshot.deadline());
    const position = [...written].map(([partition, { nextOffset }]) => [String(partition), nextOffset]);
    for (const [index, kind] of KINDS.entries()) {
      snapshot.progress({ done: index, of: KINDS.length, unit: 'kinds of rows' });
      const suspects = this.suspects.get(`clickhouse.${kind}`)!;
      const begun = performance.now();
      suspects.position = Object.fromEntries(position);
      if (first) await this.#firstLook(kind, suspects, snapshot);
      else if (suspects.open.size > 0) await this.#lookAgain(kind, suspects, snapshot);
      suspects.tookMs += Math.round(performance.now() - begun);
    }
  }

  async #firstLook(kind: Kind, suspects: Suspects, snapshot: Snapshot): Promise<void> {
    const { source } = snapshot;
    const { findings } = suspects;
    const expected = await source.sums(kind);
    const found = await this.#warehouse.sums(kind);
    const stocks = [...new Set([...expected.keys(), ...found.keys()])];
    findings.bucketsCompared = stocks.length;
    for (const { rows } of expected.values()) findings.rowsCompared += rows;
    const differing = stocks.filter((stock) => !sameSum(expected.get(stock), found.get(stock)));
    await inParts(differing, async (part) => {
      const { differences, versions } = await this.#differing(kind, part, source);
      suspects.suspect({ differing: differences, versionOf: (key) => versions.get(key) });
    });
    if (kind === 'bar') {
      for (const { key, reason } of snapshot.explained) findings.isDeadLettered(explainedRow(key), reason);
    } else await this.#finality(kind, suspects, snapshot);
  }

  async #lookAgain(kind: Kind, suspects: Suspects, { source, letters }: Snapshot): Promise<void> {
    await inParts([...new Set([...suspects.open].map(stockOf))], async (part) => {
      const { differences, versions } = await this.#differing(kind, part, source);
      const inPart = new Set(part);
      suspects.decide({
        differing: differences,
        versionOf: (key) => versions.get(key),
        covers: (key) => inPart.has(stockOf(key)),
        // What ClickHouse refused is a version behind the one that it shows.
        explanation: (key) => refusal(letters.warehouse.get(`${kind} ${key}`), versions.get(key)),
      });
    });
  }

  /** That is promised of every candle, whatever moves: there is no second look. */
  async #finality(kind: Kind, { findings }: Suspects, { finalTo, nowMs }: Snapshot): Promise<void> {
    const { count, shown } = await this.#warehouse.notFinal(kind, { finalTo, nowMs: nowMs(), limit: this.#limit });
    for (const { key, final } of shown) findings.differs(finalityOf(kind, key, final), key);
    findings.differenceCount += count - shown.length;
  }

  async #differing(kind: Kind, stocks: readonly bigint[], source: PricesSource) {
    const differences = differencesOf(kind, await source.rows(kind, stocks), await this.#warehouse.rows(kind, stocks));
    // Asked after the rows were read: a version that is still the newest is the one that was read.
    const versions = await this.#warehouse.versions(kind, stocks);
    return { differences, versions };
  }
}

/** Until ClickHouse has passed the position in every partition. Throws RECONCILE_DEADLINE (retry). */
export async function warehousePassed(
  warehouse: WrittenWarehouse,
  lsn: Lsn,
  partitions: number,
  deadline: Deadline,
): Promise<ReadonlyMap<number, WarehouseProgress>> {
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  const behind = (progress: ReadonlyMap<number, WarehouseProgress>) =>
    all.filter((partition) => (progress.get(partition)?.lsn ?? -1n) < lsn);
  return await until(deadline, {
    ask: async () => await warehouse.progress(),
    done: (progress) => (behind(progress).length === 0 ? progress : null),
    missing: (progress) =>
      behind(progress)
        .map((partition) => {
          const is = progress.get(partition);
          const where = is === undefined ? 'not started' : `at ${formatLsn(is.lsn)}`;
          return `ClickHouse, partition ${partition} of ${warehouse.topic}: ${where}, wanted ${formatLsn(lsn)}`;
        })
        .join('; '),
  });
}

/** What differs between rows of Postgres and of a sink, by key. */
export function differencesOf(
  kind: string,
  postgres: readonly Row[],
  sink: readonly Row[],
): ReadonlyMap<string, Difference> {
  const [expected, found] = [byKey(postgres), byKey(sink)];
  const differences = new Map<string, Difference>();
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    const difference = { postgres: expected.get(key) ?? null, sink: found.get(key) ?? null };
    if (difference.postgres !== difference.sink) differences.set(key, { ...named(kind, key), ...difference });
  }
  return differences;
}

export function finalityOf(kind: string, key: string, final: boolean): Difference {
  return { ...named(kind, key), postgres: final ? 'not final' : 'final', sink: final ? 'final' : 'not final' };
}

/** The row of a bar that is named by its microseconds. */
export function explainedRow(key: string): string {
  return `bar of ${new Date(startOf(key) / 1_000).toISOString()} of stock ${stockOf(key)}`;
}

const byKey = (rows: readonly Row[]): ReadonlyMap<string, string> =>
  new Map(rows.map(({ stockId, start, text }) => [keyOf(stockId, start), text]));

async function inParts(stocks: readonly bigint[], work: (part: readonly bigint[]) => Promise<void>): Promise<void> {
  for (let at = 0; at < stocks.length; at += STOCKS_AT_ONCE) await work(stocks.slice(at, at + STOCKS_AT_ONCE));
}

function sameSum(a: StockSum | undefined, b: StockSum | undefined): boolean {
  return a !== undefined && b !== undefined && a.rows === b.rows && a.sum === b.sum;
}
