/**
 * Every place that shows indicators, against the definitions: what is expected is computed once, series by series, and held against what each place
 * shows of it.
 */
import { SluiceError } from '../../../engine/errors.ts';
import type { Comparison, Snapshot, WatchedSnapshot } from './comparison.ts';
import { type Group, type Groups, groupsOf, partsOf, stocksIn } from './groups.ts';
import { type ExpectedRow, expectedRows } from './indicators.ts';
import { STRAY, stockOf } from './key.ts';
import type { Scope } from './scope.ts';
import { CANDLE_KINDS, type CandleKind, type StockBars } from './source.ts';
import { type Look, Suspects } from './suspects.ts';

/** Some stocks of one interval. */
export interface Part {
  readonly kind: CandleKind;
  readonly stocks: readonly { readonly id: bigint; readonly symbol: string }[];
}

/** What a place shows of a part, as it was read. */
export interface ShownPart {
  /** Called with each row that should be there, in the order of time within a stock. */
  expect(stockId: bigint, row: ExpectedRow): void;
  /** Called at the end. */
  told(): Told;
}

interface Told extends Pick<Look, 'differing' | 'versionOf' | 'explanation'> {
  /** Rows that should be there and were looked for. */
  readonly rows: number;
  /** What is wrong whatever moves: there is no second look. */
  readonly broken: Look['differing'];
}

/** One place; what its methods throw (SluiceError) makes it unknown and leaves the others alone. */
export interface IndicatorsPlace {
  /** Its reports are called so, with the interval behind. */
  readonly name: string;
  /** Waits until it has passed the position of the snapshot; how far it has come. */
  passed(snapshot: Snapshot): Promise<Readonly<Record<string, string>>>;
  /** Called before the groups, each time. */
  begin?(groups: Groups): void;
  /** Called for each group in turn, before its parts; the stocks of the group that it shows, which Postgres may not have. */
  group(group: Group): Promise<Iterable<bigint>>;
  read(part: Part): Promise<ShownPart>;
  /** Called when it is over, whatever came of it. */
  end?(): Promise<void>;
  /** What is shown though no stock has it, by interval; the stock of its keys is STRAY. */
  strays?(stocks: ReadonlyMap<bigint, StockBars>): Promise<ReadonlyMap<CandleKind, Look>>;
}

type Places = readonly IndicatorsPlace[];

interface Looking {
  readonly snapshot: WatchedSnapshot;
  readonly stocks: ReadonlyMap<bigint, StockBars>;
  readonly first: boolean;
}

export class IndicatorSinks implements Comparison {
  readonly title = 'indicators in ClickHouse and Redis, and the public topic of signals';
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly failed = new Map<string, SluiceError>();
  readonly #places: Places;
  readonly #scope: Scope;

  constructor(places: Places, { scope, limit }: { readonly scope: Scope; readonly limit: number }) {
    this.#places = places;
    this.#scope = scope;
    this.suspects = new Map(places.flatMap((one) => reportsOf(one).map((name) => [name, new Suspects(limit)])));
  }

  async look(snapshot: WatchedSnapshot, first: boolean): Promise<void> {
    const places = await this.#each(
      this.#places.filter((place) => first || this.#isOpen(place)),
      async (place) => {
        const position = await place.passed(snapshot);
        for (const name of reportsOf(place)) this.suspects.get(name)!.position = position;
      },
    );
    const stocks = await snapshot.source.allStocks();
    const open = places.flatMap((place) => reportsOf(place).map((name) => this.suspects.get(name)!));
    const groups = await groupsOf({ stocks: async () => stocks }, first ? null : open, this.#scope);
    try {
      await this.#groups(places, groups, { snapshot, stocks, first });
    } finally {
      for (const place of places) await place.end?.();
    }
    // Of some stocks only, nobody knows which others there are.
    if (this.#scope.stocks.length > 0) return;
    await this.#each(places, async (place) => {
      const strays = await place.strays?.(stocks);
      for (const [kind, look] of strays ?? []) this.#judge(place, kind, { ...look, covers: isStray }, first);
    });
  }

  async #groups(places: Places, groups: Groups, { snapshot, stocks, first }: Looking): Promise<void> {
    for (const place of places) place.begin?.(groups);
    const of = stocksIn(groups.list);
    let done = 0;
    for (const group of groups.list) {
      snapshot.progress({ done, of, unit: 'stocks' });
      done += group.stocks.length;
      const all = new Set(group.stocks);
      const reading = await this.#each(places, async (place) => {
        for (const stock of await place.group(group)) all.add(stock);
      });
      for (const part of partsOf([...all], stocks)) {
        const named = part.map((id) => ({ id, symbol: stocks.get(id)?.symbol ?? '' }));
        for (const kind of CANDLE_KINDS) {
          const mayHave = group.mayHave(kind);
          await this.#part(reading, { kind, stocks: named }, { snapshot, first, mayHave });
        }
      }
    }
  }

  async #part(
    places: Places,
    part: Part,
    { snapshot, first, mayHave }: Omit<Looking, 'stocks'> & { readonly mayHave: boolean },
  ): Promise<void> {
    const { kind } = part;
    const begun = performance.now();
    const stocks = part.stocks.map(({ id }) => id);
    const shown = new Map<IndicatorsPlace, ShownPart>();
    const read = await this.#each(places, async (place) => {
      shown.set(place, await place.read(part));
    });
    for (const [stockId, candles] of mayHave ? await snapshot.source.series(kind, stocks) : []) {
      for (const row of expectedRows(kind, candles)) {
        for (const one of shown.values()) one.expect(stockId, row);
      }
    }
    const inPart = new Set(stocks);
    for (const place of read) {
      const { rows, broken, ...look } = shown.get(place)!.told();
      const suspects = this.#judge(place, kind, { ...look, covers: (key) => inPart.has(stockOf(key)) }, first);
      if (first) {
        suspects.findings.bucketsCompared += stocks.length;
        suspects.findings.rowsCompared += rows;
        for (const [key, difference] of broken) suspects.findings.differs(difference, key);
      }
      suspects.tookMs += Math.round(performance.now() - begun);
    }
  }

  #judge({ name }: IndicatorsPlace, kind: CandleKind, look: Look, first: boolean): Suspects {
    const suspects = this.suspects.get(`${name}.${kind}`)!;
    if (first) suspects.suspect(look);
    else suspects.decide(look);
    return suspects;
  }

  #isOpen(place: IndicatorsPlace): boolean {
    return reportsOf(place).some((name) => !this.failed.has(name) && this.suspects.get(name)!.open.size > 0);
  }

  /** Those for which the work could be done. */
  async #each(places: Places, work: (place: IndicatorsPlace) => Promise<void>): Promise<Places> {
    const done: IndicatorsPlace[] = [];
    for (const place of places) {
      if (reportsOf(place).some((name) => this.failed.has(name))) continue;
      try {
        await work(place);
        done.push(place);
      } catch (error) {
        if (!(error instanceof SluiceError)) throw error;
        for (const name of reportsOf(place)) this.failed.set(name, error);
      }
    }
    return done;
  }
}

const reportsOf = ({ name }: IndicatorsPlace): readonly string[] => CANDLE_KINDS.map((kind) => `${name}.${kind}`);

const isStray = (key: string): boolean => stockOf(key) === STRAY;
