/** The newest prices in Redis: what is shown is the newest day of its stock, and what was committed within its time to live is shown. */
import { formatLsn } from '../../../connectors/postgres/lsn.ts';
import type { RedisClient } from '../../../connectors/redis/client.ts';
import { stampsOf } from '../../../connectors/redis/reader.ts';
import { until } from '../../operations/reconcile/deadline.ts';
import type { Difference } from '../../operations/reconcile/report.ts';
import type { Comparison, Snapshot } from './comparison.ts';
import { pricedSql } from './source.ts';
import { Suspects } from './suspects.ts';
import type { PricesWarehouse } from './warehouse.ts';

const PREFIX = 'px:{prices}:latest:';
const STAMPS = 'px:{prices}:sink:latest:asof';
/** Per stock: the newest day that was ever shown. No older one is shown again, even when that is gone. */
const MARKS = 'px:{prices}:sink:latest:marks';
const TTL_MS = 5 * 60_000;
/** Most stocks have a bar of so long ago: of them nobody needs to look through their history. */
const LATELY_MS = 30 * 24 * 3_600_000;
/** A price that expires while it is asked for is not missing. */
const MARGIN_MS = 5_000;

const decimal = (e6: string): string => `trim_scale(${e6} * 0.000001)::text`;

/** The newest day of each stock, with the fields that Redis has of it. */
const NEWEST = `WITH ${pricedSql('1d')}
  SELECT DISTINCT ON (stock_id) stock_id, symbol, start_ms, jsonb_build_object('stock_id', stock_id::text, 'price', ${decimal('close')},
    'open', ${decimal('open')}, 'high', ${decimal('high')}, 'low', ${decimal('low')}, 'volume', volume::text, 'vwap', ${decimal('vwap')},
    'day_start', start_ms::text, 'day_end', end_ms::text)::text AS fields
  FROM priced ORDER BY stock_id, start_ms DESC`;

interface Newest {
  readonly stock_id: bigint;
  readonly symbol: string;
  readonly start_ms: bigint;
  readonly fields: string;
}

type Hash = Readonly<Record<string, string>>;

export class LatestPrices implements Comparison {
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly #redis: RedisClient;
  readonly #warehouse: PricesWarehouse;
  readonly #partitions: number;

  /** `warehouse` knows when a price was committed. */
  constructor(
    redis: RedisClient,
    options: { readonly warehouse: PricesWarehouse; readonly partitions: number; readonly limit: number },
  ) {
    this.#redis = redis;
    this.#warehouse = options.warehouse;
    this.#partitions = options.partitions;
    this.suspects = new Map([['redis.latest', new Suspects(options.limit)]]);
  }

  async look(snapshot: Snapshot, first: boolean): Promise<void> {
    const suspects = this.suspects.get('redis.latest')!;
    const begun = performance.now();
    await this.#redis.connect();
    suspects.position = await this.#passed(snapshot);
    const newest = await snapshot.source.newest<Newest>(NEWEST, new Date(snapshot.nowMs() - LATELY_MS));
    const committed = await this.#warehouse.newestDays();
    const shown = await this.#redis.hashes(newest.map(({ symbol }) => PREFIX + symbol));
    const [marks = {}] = await this.#redis.hashes([MARKS]);
    const now = snapshot.nowMs();
    const differing = new Map<string, Difference>();
    const versions = new Map<string, string>();
    for (const [index, { stock_id, symbol, start_ms, fields }] of newest.entries()) {
      const found = shown[index]!;
      versions.set(symbol, JSON.stringify(found));
      const of = committed.get(stock_id);
      const fresh = of !== undefined && of.start === Number(start_ms) && of.committedMs + TTL_MS > now + MARGIN_MS;
      const passed = BigInt(/^-?\d+/.exec(marks[String(stock_id)] ?? '')?.[0] ?? start_ms) > start_ms;
      const wrong = wrongPrice(JSON.parse(fields) as Record<string, string | null>, found, fresh && !passed);
      if (wrong !== null) differing.set(symbol, { bucket: 'latest', row: symbol, ...wrong });
    }
    const look = { differing, versionOf: (symbol: string) => versions.get(symbol) };
    if (first) {
      suspects.suspect(look);
      suspects.findings.bucketsCompared = newest.length;
      suspects.findings.rowsCompared = shown.filter((found) => Object.keys(found).length > 0).length;
    } else suspects.decide(look);
    suspects.tookMs += Math.round(performance.now() - begun);
  }

  async #passed({ lsn, deadline }: Snapshot): Promise<Readonly<Record<string, string>>> {
    const all = Array.from({ length: this.#partitions }, (_, partition) => partition);
    return await until(deadline(), {
      ask: async () => stampsOf((await this.#redis.hashes([STAMPS]))[0]!).stamps,
      done: (stamps) => {
        const at = all.map((partition) => BigInt(stamps.get(partition)?.source_lsn ?? -1));
        if (at.some((one) => one < lsn)) return null;
        return Object.fromEntries(at.map((one, partition) => [String(partition), formatLsn(one)]));
      },
      missing: (stamps) =>
        all
          .map((partition) => {
            const at = stamps.get(partition)?.source_lsn;
            const where = at === undefined ? 'no stamp' : `at ${formatLsn(BigInt(at))}`;
            return `Redis newest prices, partition ${partition}: ${where}, wanted ${formatLsn(lsn)}`;
          })
          .join('; '),
    });
  }
}

/** Null: what is shown is right. `due`: it has to be shown. */
export function wrongPrice(
  expected: Readonly<Record<string, string | null>>,
  found: Hash,
  due: boolean,
): Pick<Difference, 'postgres' | 'sink'> | null {
  if (Object.keys(found).length === 0) return due ? { postgres: `price=${expected.price}`, sink: null } : null;
  const wrong = Object.keys(expected).filter((name) => (expected[name] ?? undefined) !== found[name]);
  if (wrong.length === 0) return null;
  const shown = (of: (name: string) => string | null | undefined) =>
    wrong.map((name) => `${name}=${of(name) ?? ''}`).join(' ');
  return { postgres: shown((name) => expected[name]), sink: shown((name) => found[name]) };
}
