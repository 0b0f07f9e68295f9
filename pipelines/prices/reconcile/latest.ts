/** The newest prices in Redis: what is shown is the newest day of its stock, and what was committed within its time to live is shown. */
import type { RedisClient } from '../../../connectors/redis/client.ts';
import type { Difference } from '../../operations/reconcile/report.ts';
import type { Comparison, Snapshot } from './comparison.ts';
import { isDue, marksOf, type NewestKeys, newestPassed, straysOf } from './newest.ts';
import type { Scope } from './scope.ts';
import { pricedSql } from './source.ts';
import { Suspects } from './suspects.ts';
import type { PricesWarehouse } from './warehouse.ts';

/** A day is shown for as long behind its commit. */
export const LATEST_KEYS: NewestKeys = {
  prefix: 'px:{prices}:latest:',
  control: 'px:{prices}:sink:latest',
  ttlMs: 5 * 60_000,
};

/** Most stocks have a bar of so long ago: of them nobody needs to look through their history. */
const LATELY_MS = 30 * 24 * 3_600_000;

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
  readonly title = 'newest prices in Redis';
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly #redis: RedisClient;
  readonly #warehouse: PricesWarehouse;
  readonly #partitions: number;
  readonly #scope: Scope;

  /** `warehouse` knows when a price was committed. */
  constructor(
    redis: RedisClient,
    options: {
      readonly warehouse: PricesWarehouse;
      readonly partitions: number;
      readonly scope: Scope;
      readonly limit: number;
    },
  ) {
    this.#scope = options.scope;
    this.#redis = redis;
    this.#warehouse = options.warehouse;
    this.#partitions = options.partitions;
    this.suspects = new Map([['redis.latest', new Suspects(options.limit)]]);
  }

  async look(snapshot: Snapshot, first: boolean): Promise<void> {
    const suspects = this.suspects.get('redis.latest')!;
    const begun = performance.now();
    await this.#redis.connect();
    suspects.position = await newestPassed(this.#redis, LATEST_KEYS, this.#partitions, snapshot);
    const newest = await snapshot.source.newest<Newest>(NEWEST, new Date(snapshot.nowMs() - LATELY_MS));
    const committed = await this.#warehouse.newestDays();
    const shown = await this.#redis.hashes(newest.map(({ symbol }) => LATEST_KEYS.prefix + symbol));
    const marks = await marksOf(this.#redis, LATEST_KEYS);
    const now = snapshot.nowMs();
    const differing = new Map<string, Difference>();
    const versions = new Map<string, string>();
    for (const [index, { stock_id, symbol, start_ms, fields }] of newest.entries()) {
      const found = shown[index]!;
      versions.set(symbol, JSON.stringify(found));
      const of = committed.get(stock_id);
      const row = { series: String(stock_id), start: Number(start_ms) };
      const due = isDue(LATEST_KEYS, row, { marks, now, since: of?.start === row.start ? of.committedMs : null });
      const wrong = wrongPrice(JSON.parse(fields) as Record<string, string | null>, found, due);
      if (wrong !== null) differing.set(symbol, { bucket: 'latest', row: symbol, ...wrong });
    }
    const known = new Set(newest.map(({ symbol }) => symbol));
    // Of some stocks only, nobody knows which others there are.
    const isKnown = (name: string) => this.#scope.stocks.length > 0 || known.has(name);
    for (const { name, found } of await straysOf(this.#redis, LATEST_KEYS.prefix, isKnown)) {
      versions.set(name, JSON.stringify(found));
      differing.set(name, { bucket: 'latest', row: name, postgres: null, sink: `price=${found.price ?? ''}` });
    }
    const look = { differing, versionOf: (symbol: string) => versions.get(symbol) };
    if (first) {
      suspects.suspect(look);
      suspects.findings.bucketsCompared = newest.length;
      suspects.findings.rowsCompared = shown.filter((found) => Object.keys(found).length > 0).length;
    } else suspects.decide(look);
    suspects.tookMs += Math.round(performance.now() - begun);
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
