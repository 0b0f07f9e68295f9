/** What a place shows of a part, where it has a row for each candle. */
import type { Difference } from '../../operations/reconcile/report.ts';
import { finalityOf } from './candles.ts';
import type { Snapshot } from './comparison.ts';
import type { ShownPart } from './indicator-sinks.ts';
import type { ExpectedRow } from './indicators.ts';
import { keyOf, named } from './key.ts';
import type { CandleKind } from './source.ts';
import type { Look } from './suspects.ts';
import { type ShownIndicators, wrongOf } from './wrong-indicators.ts';

export interface ShownRowsOptions {
  readonly kind: CandleKind;
  /** By `stock start`; null: a tombstone. Rows that begin before `since` are not among them. */
  readonly rows: ReadonlyMap<string, ShownIndicators | null>;
  readonly versions: ReadonlyMap<string, string>;
  readonly since: Date | null;
  readonly snapshot: Snapshot;
  readonly explanation?: Look['explanation'];
}

export class ShownRows implements ShownPart {
  readonly #options: ShownRowsOptions;
  readonly #since: number;
  readonly #differing = new Map<string, Difference>();
  readonly #expected = new Set<string>();

  constructor(options: ShownRowsOptions) {
    this.#options = options;
    this.#since = options.since?.getTime() ?? Number.NEGATIVE_INFINITY;
  }

  expect(stockId: bigint, row: ExpectedRow): void {
    if (row.candle.start < this.#since) return;
    const { kind, rows } = this.#options;
    const key = keyOf(stockId, row.candle.start);
    this.#expected.add(key);
    const wrong = wrongOf(row, rows.get(key) ?? null);
    if (wrong !== null) this.#differing.set(key, { ...named(kind, key), ...wrong });
  }

  told() {
    const { kind, rows, versions, snapshot, explanation } = this.#options;
    const broken = new Map<string, Difference>();
    const now = snapshot.nowMs();
    for (const [key, row] of rows) {
      if (row === null) continue;
      const { final, end } = row;
      if (!this.#expected.has(key)) this.#differing.set(key, { ...named(kind, key), postgres: null, sink: 'a row' });
      if (final ? end > now : end <= snapshot.finalTo) broken.set(key, finalityOf(kind, key, final));
    }
    return {
      ...{ rows: this.#expected.size, differing: this.#differing, broken, explanation },
      versionOf: (key: string) => versions.get(key),
    };
  }
}
