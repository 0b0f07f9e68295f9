/** Indicators in ClickHouse. */
import type { ClickHouseClient } from '@clickhouse/client';
import { INDICATORS, INDICATORS_CLICKHOUSE_SINK } from '../topics.ts';
import { warehousePassed } from './candles.ts';
import type { Snapshot } from './comparison.ts';
import type { Group } from './groups.ts';
import type { IndicatorsPlace, Part, ShownPart } from './indicator-sinks.ts';
import { INDICATOR_NAMES, type IndicatorName } from './indicators.ts';
import { keyOf } from './key.ts';
import { refusal } from './letters.ts';
import { LEVEL_NAMES } from './levels.ts';
import { type Scope, scopedStocks } from './scope.ts';
import { ShownRows } from './shown-rows.ts';
import type { CandleKind } from './source.ts';
import { e6, millis, progressOf, selected, type WarehouseProgress, type WrittenWarehouse } from './warehouse.ts';
import type { ExactName, ShownIndicators } from './wrong-indicators.ts';

export interface WarehouseIndicatorsOptions {
  readonly partitions: number;
  readonly scope: Scope;
}

/** As `CANDLE_STORES`. */
export const INDICATOR_STORES: Readonly<Record<CandleKind, string>> = {
  '5m': 'prices_indicators_minute_store',
  '15m': 'prices_indicators_minute_store',
  '1h': 'prices_indicators_hour_store',
  '1d': 'prices_indicators_day_store',
  '1w': 'prices_indicators_day_store',
};

/** The view has no pivots: those are of `prices_movers`. */
const PRICES = [
  ...(['open_e6', 'high_e6', 'low_e6', 'close_e6'] as const),
  ...LEVEL_NAMES.filter((name) => !/^(pivot|support|resistance)/.test(name)),
];
const FIGURES = PRICES.map((name) => `${e6(name.slice(0, -'_e6'.length))} AS ${name}`).join(', ');

type Found = Readonly<Record<IndicatorName, number | null>> &
  Readonly<Record<'stock_id' | 'start_ms' | 'end_ms' | 'volume' | 'obv' | 'symbol', string>> &
  Readonly<Partial<Record<ExactName, string | null>>> & {
    readonly final: boolean;
    readonly signals: readonly string[];
  };

export class WarehouseIndicators implements IndicatorsPlace, WrittenWarehouse {
  readonly name = 'clickhouse.indicators';
  readonly topic = INDICATORS;
  readonly #client: ClickHouseClient;
  readonly #options: WarehouseIndicatorsOptions;
  #snapshot!: Snapshot;
  /** Stocks that have indicators, or had some, by interval. */
  #held: ReadonlyMap<string, ReadonlySet<bigint>> = new Map();

  constructor(client: ClickHouseClient, options: WarehouseIndicatorsOptions) {
    this.#client = client;
    this.#options = options;
  }

  async progress(): Promise<ReadonlyMap<number, WarehouseProgress>> {
    return await progressOf(this.#client, INDICATORS_CLICKHOUSE_SINK, INDICATORS);
  }

  async passed(snapshot: Snapshot): Promise<Readonly<Record<string, string>>> {
    this.#snapshot = snapshot;
    const written = await warehousePassed(this, snapshot.lsn, this.#options.partitions, snapshot.deadline());
    const stores = [...new Set(Object.values(INDICATOR_STORES))];
    const rows = await this.#select<{ interval: string; stock_id: string }>(
      'look for stocks with indicators',
      stores.map((store) => `SELECT DISTINCT interval, stock_id FROM ${store}`).join(' UNION ALL '),
    );
    const held = rows.map(({ interval, stock_id }) => ({ interval, stock: BigInt(stock_id) }));
    const isScoped = scopedStocks(this.#options.scope);
    const byInterval = Map.groupBy(
      held.filter(({ stock }) => isScoped(stock)),
      ({ interval }) => interval,
    );
    this.#held = new Map([...byInterval].map(([interval, of]) => [interval, new Set(of.map(({ stock }) => stock))]));
    return Object.fromEntries([...written].map(([partition, { nextOffset }]) => [String(partition), nextOffset]));
  }

  async group({ wants }: Group): Promise<Iterable<bigint>> {
    return new Set([...this.#held.values()].flatMap((stocks) => [...stocks].filter(wants)));
  }

  async read({ kind, stocks }: Part): Promise<ShownPart> {
    // Five years of days are no candle of minutes: what has nothing is not asked for.
    const of = { kind, stocks: stocks.map(({ id }) => id).filter((id) => this.#held.get(kind)?.has(id) === true) };
    if (of.stocks.length === 0) return this.#shown(kind, [], new Map());
    const rows = await this.#select<Found>(
      'read indicators',
      `SELECT stock_id, symbol, ${millis('start')} AS start_ms, ${millis('end')} AS end_ms, volume, obv, final, signals, ${FIGURES},
         ${INDICATOR_NAMES.join(', ')}
       FROM (SELECT * FROM prices_indicators WHERE interval = {kind:String} AND stock_id IN ({stocks:Array(Int64)})
         AND ${millis('start')} >= {since:Int64})`,
      of,
    );
    // Asked after the rows were read: a version that is still the newest is the one that was read.
    const versions = await this.#select<{ key: string; newest: string }>(
      'read versions of indicators',
      `SELECT concat(toString(stock_id), ' ', toString(${millis('start')})) AS key, max(version) AS newest FROM ${INDICATOR_STORES[kind]}
       WHERE interval = {kind:String} AND stock_id IN ({stocks:Array(Int64)}) GROUP BY key`,
      of,
    );
    return this.#shown(kind, rows, new Map(versions.map(({ key, newest }) => [key, newest])));
  }

  #shown(kind: CandleKind, rows: readonly Found[], newest: ReadonlyMap<string, string>): ShownPart {
    return new ShownRows({
      ...{ kind, since: this.#options.scope.since, snapshot: this.#snapshot, versions: newest },
      rows: new Map(rows.map((row) => [keyOf(BigInt(row.stock_id), BigInt(row.start_ms)), shownOf(row)])),
      explanation: (key) => refusal(this.#snapshot.letters.indicators.get(`${kind} ${key}`), newest.get(key)),
    });
  }

  async #select<T>(doing: string, query: string, params: Readonly<Record<string, unknown>> = {}) {
    const since = String(this.#options.scope.since?.getTime() ?? 0);
    return await selected<T>(this.#client, { doing, query, params: { since, ...params } });
  }
}

function shownOf(row: Found): ShownIndicators {
  const { symbol, final, signals } = row;
  const [start, end] = [Number(row.start_ms), Number(row.end_ms)];
  const prices = PRICES.map((name) => [name, row[name] === null ? null : BigInt(row[name]!)]);
  const exact = { symbol, start, end, volume: BigInt(row.volume), obv: BigInt(row.obv), ...Object.fromEntries(prices) };
  return { exact, values: row, signals, end, final };
}
