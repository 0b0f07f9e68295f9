/** The newest indicators in Redis: what is shown is of the newest candle of its series, and what became so within its time to live is shown. */
import type { ClickHouseClient } from '@clickhouse/client';
import type { RedisClient } from '../../../connectors/redis/client.ts';
import type { Difference } from '../../operations/reconcile/report.ts';
import { finalityOf } from './candles.ts';
import type { Snapshot } from './comparison.ts';
import type { IndicatorsPlace, Part, ShownPart } from './indicator-sinks.ts';
import { type ExpectedRow, INDICATOR_NAMES, type IndicatorName } from './indicators.ts';
import { keyOf, STRAY } from './key.ts';
import { LEVEL_NAMES } from './levels.ts';
import { isDue, marksOf, type NewestKeys, newestPassed, straysOf } from './newest.ts';
import { CANDLE_KINDS, type CandleKind, type StockBars } from './source.ts';
import { millis, selected } from './warehouse.ts';
import { type ExactName, type ShownIndicators, wrongOf } from './wrong-indicators.ts';

/** The rest of a key is `interval:symbol`. */
export const INDICATORS_KEYS: NewestKeys = {
  prefix: 'px:{prices}:indicators:',
  control: 'px:{prices}:sink:indicators',
  ttlMs: 10 * 60_000,
};

type Hash = Readonly<Record<string, string>>;

interface Clients {
  readonly redis: RedisClient;
  /** Knows since when a row is as it is. */
  readonly clickHouse: ClickHouseClient;
}

export class NewestIndicators implements IndicatorsPlace {
  readonly name = 'redis.indicators';
  readonly #redis: RedisClient;
  readonly #clickHouse: ClickHouseClient;
  readonly #partitions: number;
  #snapshot!: Snapshot;
  #marks: Hash = {};
  /** By `interval stock start` of the newest rows: since when they are as they are, ms. */
  #since: ReadonlyMap<string, number> = new Map();

  constructor({ redis, clickHouse }: Clients, partitions: number) {
    this.#redis = redis;
    this.#clickHouse = clickHouse;
    this.#partitions = partitions;
  }

  async passed(snapshot: Snapshot): Promise<Readonly<Record<string, string>>> {
    this.#snapshot = snapshot;
    await this.#redis.connect();
    const position = await newestPassed(this.#redis, INDICATORS_KEYS, this.#partitions, snapshot);
    this.#marks = await marksOf(this.#redis, INDICATORS_KEYS);
    this.#since = await this.#newestRows();
    return position;
  }

  async #newestRows(): Promise<ReadonlyMap<string, number>> {
    const rows = await selected<{ row: string; as_of_ms: string }>(this.#clickHouse, {
      doing: 'read the newest indicators',
      query: `SELECT concat(interval, ' ', toString(stock_id), ' ', toString(max(${millis('start')}))) AS row,
          argMax(${millis('as_of')}, start) AS as_of_ms
        FROM prices_indicators GROUP BY interval, stock_id`,
      params: {},
    });
    return new Map(rows.map(({ row, as_of_ms }) => [row, Number(as_of_ms)]));
  }

  async group(): Promise<Iterable<bigint>> {
    return [];
  }

  async read({ kind, stocks }: Part): Promise<ShownPart> {
    const shown = await this.#redis.hashes(stocks.map(({ symbol }) => `${INDICATORS_KEYS.prefix}${kind}:${symbol}`));
    const part = new NewestPart(kind, this.#snapshot, (stockId, start) =>
      isDue(
        INDICATORS_KEYS,
        { series: `${stockId}|${kind}`, start },
        {
          marks: this.#marks,
          now: this.#snapshot.nowMs(),
          since: this.#since.get(`${kind} ${keyOf(stockId, start)}`) ?? null,
        },
      ),
    );
    for (const [index, { id, symbol }] of stocks.entries()) part.shows(id, symbol, shown[index]!);
    return part;
  }

  async strays(stocks: ReadonlyMap<bigint, StockBars>) {
    const symbols = new Set([...stocks.values()].map(({ symbol }) => symbol));
    const looks = CANDLE_KINDS.map(async (kind) => {
      const strays = await straysOf(this.#redis, `${INDICATORS_KEYS.prefix}${kind}:`, (symbol) => symbols.has(symbol));
      const versions = new Map(strays.map(({ name, found }) => [`${STRAY} ${name}`, JSON.stringify(found)]));
      const differing = strays.map(({ name, found }): [string, Difference] => {
        return [
          `${STRAY} ${name}`,
          { bucket: 'newest', row: name, postgres: null, sink: `start=${found.start ?? ''}` },
        ];
      });
      return [kind, { differing: new Map(differing), versionOf: (key: string) => versions.get(key) }] as const;
    });
    return new Map(await Promise.all(looks));
  }
}

class NewestPart implements ShownPart {
  readonly #kind: CandleKind;
  readonly #snapshot: Snapshot;
  readonly #isDue: (stockId: bigint, start: number) => boolean;
  readonly #shown = new Map<bigint, { readonly symbol: string; readonly hash: Hash }>();
  /** Of each stock, the newest row so far. */
  readonly #expected = new Map<bigint, ExpectedRow>();

  constructor(kind: CandleKind, snapshot: Snapshot, due: (stockId: bigint, start: number) => boolean) {
    this.#kind = kind;
    this.#snapshot = snapshot;
    this.#isDue = due;
  }

  shows(stockId: bigint, symbol: string, hash: Hash): void {
    this.#shown.set(stockId, { symbol, hash });
  }

  expect(stockId: bigint, row: ExpectedRow): void {
    this.#expected.set(stockId, row);
  }

  told() {
    const differing = new Map<string, Difference>();
    const broken = new Map<string, Difference>();
    const versions = new Map<string, string>();
    let rows = 0;
    for (const [stockId, { symbol, hash }] of this.#shown) {
      const key = `${stockId} ${symbol}`;
      versions.set(key, JSON.stringify(hash));
      const row = this.#expected.get(stockId);
      const shown = shownOf(symbol, hash);
      if (shown !== null) rows += 1;
      const wrong = this.#wrongOf(stockId, row, shown);
      if (wrong !== null) differing.set(key, { bucket: 'newest', row: symbol, ...wrong });
      if (shown === null) continue;
      const { final, end } = shown;
      if (final ? end > this.#snapshot.nowMs() : end <= this.#snapshot.finalTo)
        broken.set(key, { ...finalityOf(this.#kind, keyOf(stockId, Number(shown.exact.start)), final), row: symbol });
    }
    return { rows, differing, broken, versionOf: (key: string) => versions.get(key) };
  }

  #wrongOf(stockId: bigint, row: ExpectedRow | undefined, shown: ShownIndicators | null) {
    if (row === undefined) return shown === null ? null : { postgres: null, sink: `start=${shown.exact.start}` };
    if (shown !== null) return wrongOf(row, shown);
    return this.#isDue(stockId, row.candle.start) ? wrongOf(row, null) : null;
  }
}

const PRICES = ['open_e6', 'high_e6', 'low_e6', 'close_e6', ...LEVEL_NAMES] as const;

/** Null when nothing is shown. What is no number is null too, and so not as expected. */
function shownOf(symbol: string, hash: Hash): ShownIndicators | null {
  if (Object.keys(hash).length === 0) return null;
  const integer = (name: string) => (/^-?\d+$/.test(hash[name] ?? '') ? BigInt(hash[name]!) : null);
  const [start, end] = [Number(hash.start), Number(hash.end)];
  const prices = PRICES.map((name): [ExactName, bigint | null] => [
    name,
    millionths(hash[name.slice(0, -'_e6'.length)]),
  ]);
  const values = INDICATOR_NAMES.map((name): [IndicatorName, number | null] => {
    return [name, hash[name] === undefined ? null : Number(hash[name])];
  });
  const { signals = '' } = hash;
  return {
    exact: { symbol, start, end, volume: integer('volume'), obv: integer('obv'), ...Object.fromEntries(prices) },
    values: Object.fromEntries(values) as Record<IndicatorName, number | null>,
    signals: signals === '' ? [] : signals.split(','),
    end,
    final: hash.final === '1',
  };
}

/** Of decimal text; null for none. */
function millionths(text: string | undefined): bigint | null {
  const match = /^(-?)(\d+)(?:\.(\d{1,6}))?$/.exec(text ?? '');
  if (match === null) return null;
  const size = BigInt(match[2]!) * 1_000_000n + BigInt((match[3] ?? '').padEnd(6, '0'));
  return match[1] === '-' ? -size : size;
}
