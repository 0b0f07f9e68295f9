/** `prices.signals.v1`: every row of the compacted view against indicators computed anew from the candles of Postgres. */
import type { LogRecord } from '../../../engine/log.ts';
import type { SignalsV1 } from '../../../schemas/prices/signals-v1.ts';
import type { Difference } from '../../operations/reconcile/report.ts';
import { stableEnds } from '../../operations/reconcile/stable-end.ts';
import { candleKeyDecoder } from '../codec/candle.ts';
import { indicatorsDecoder, signalsV1Decoder } from '../codec/indicators.ts';
import { INDICATORS, SIGNALS_V1 } from '../topics.ts';
import { finalityOf } from './candles.ts';
import { CompactedTopic, type PublicRecord } from './compacted.ts';
import type { Comparison, Snapshot } from './comparison.ts';
import { type Group, groupsOf } from './groups.ts';
import { type ExpectedRow, expectedRows, type IndicatorName, TOLERANCE } from './indicators.ts';
import { keyOf, named, startOf, stockOf } from './key.ts';
import type { PublicOptions } from './public-candles.ts';
import { CANDLE_KINDS, type CandleKind } from './source.ts';
import { Stamps } from './stamps.ts';
import { Suspects } from './suspects.ts';

export class PublicSignals implements Comparison {
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly #options: PublicOptions;
  readonly #topic: CompactedTopic<SignalsV1>;
  readonly #stamps: Stamps;

  constructor(options: PublicOptions) {
    const { log, schemas, partitions, limit } = options;
    this.#options = options;
    this.#topic = new CompactedTopic(log, SIGNALS_V1, {
      keys: candleKeyDecoder(schemas),
      values: signalsV1Decoder(schemas),
    });
    const decoder = indicatorsDecoder(schemas);
    this.#stamps = new Stamps(log, {
      topic: INDICATORS,
      partitions,
      prepare: async (records) => await decoder.prepare(records.map(({ value }) => value)),
      stampOf: ({ value }: LogRecord) => {
        const body = value === null ? null : decoder.decode(value).body;
        return body?.kind === 'IndicatorsAsOf' ? { lsn: body.source_lsn, finalTo: 0 } : null;
      },
    });
    this.suspects = new Map(CANDLE_KINDS.map((kind) => [`signals.${kind}`, new Suspects(limit)]));
  }

  async look(snapshot: Snapshot, first: boolean): Promise<void> {
    await this.#stamps.passed(snapshot.lsn, snapshot.deadline());
    const { log, partitions } = this.#options;
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    const ends = await stableEnds(log, SIGNALS_V1, all, snapshot.deadline());
    const position = [...ends].map(([partition, end]) => [String(partition), String(end)]);
    for (const suspects of this.suspects.values()) suspects.position = Object.fromEntries(position);
    const groups = await groupsOf(snapshot.source, first ? null : this.suspects.values());
    for await (const { records, ...group } of this.#topic.groups(ends, groups)) {
      for (const kind of CANDLE_KINDS) {
        const suspects = this.suspects.get(`signals.${kind}`)!;
        const begun = performance.now();
        const of = records.filter(({ interval }) => interval === kind);
        await this.#compare(kind, of, { ...group, snapshot, first, suspects });
        suspects.tookMs += Math.round(performance.now() - begun);
      }
    }
  }

  async #compare(
    kind: CandleKind,
    records: readonly PublicRecord<SignalsV1>[],
    {
      snapshot,
      first,
      suspects,
      stocks,
      wants,
      mayHave,
    }: Group & { readonly snapshot: Snapshot; readonly first: boolean; readonly suspects: Suspects },
  ): Promise<void> {
    const since = this.#options.since?.getTime() ?? 0;
    const shown = new Map(records.filter(({ key }) => startOf(key) >= since).map((one) => [one.key, one]));
    const differing = new Map<string, Difference>();
    const expected = new Set<string>();
    for (const [stockId, candles] of mayHave(kind) ? await snapshot.source.series(kind, stocks) : []) {
      for (const row of expectedRows(candles)) {
        if (row.candle.start < since) continue;
        const key = keyOf(stockId, row.candle.start);
        expected.add(key);
        const wrong = wrongOf(row, shown.get(key)?.value ?? null);
        if (wrong !== null) differing.set(key, { ...named(kind, key), ...wrong });
      }
    }
    for (const [key, { value }] of shown) {
      if (value !== null && !expected.has(key))
        differing.set(key, { ...named(kind, key), postgres: null, sink: 'a row' });
    }
    const look = {
      differing,
      versionOf: (key: string) => shown.get(key)?.version,
      covers: (key: string) => wants(stockOf(key)),
    };
    if (!first) {
      suspects.decide(look);
      return;
    }
    suspects.suspect(look);
    suspects.findings.bucketsCompared += stocks.length;
    suspects.findings.rowsCompared += expected.size;
    const now = snapshot.nowMs();
    for (const { key, value } of shown.values()) {
      if (value === null || (value.final ? value.end <= now : value.end > snapshot.finalTo)) continue;
      suspects.findings.differs(finalityOf(kind, key, value.final), key);
    }
  }
}

/** What the record does not say as expected; null when it says all of it. */
export function wrongOf(
  { candle, values, obv, signals, strengthIsNoise }: ExpectedRow,
  record: SignalsV1 | null,
): Pick<Difference, 'postgres' | 'sink'> | null {
  if (record === null) return { postgres: 'a row', sink: null };
  const wrong: (readonly [name: string, expected: unknown, found: unknown])[] = [];
  const exact = {
    symbol: candle.symbol,
    start: candle.start,
    end: candle.end,
    close_e6: candle.close,
    volume: candle.volume,
    obv,
  };
  for (const [name, value] of Object.entries(exact)) {
    const found = record[name as keyof typeof exact];
    if (found !== value) wrong.push([name, value, found]);
  }
  for (const name of Object.keys(values) as IndicatorName[]) {
    if (name === 'rsi_14' && strengthIsNoise) continue;
    if (!isNear(values[name], record[name])) wrong.push([name, values[name], record[name]]);
  }
  const missing = signals.certain.filter((name) => !record.signals.includes(name));
  const many = record.signals.filter((name) => !signals.possible.includes(name));
  if (missing.length + many.length > 0) wrong.push(['signals', signals.certain.join(), record.signals.join()]);
  if (wrong.length === 0) return null;
  const shownBy = (at: 1 | 2) => wrong.map((one) => `${one[0]}=${one[at]}`).join(' ');
  return { postgres: shownBy(1), sink: shownBy(2) };
}

/** Within a millionth of the larger one, and of 1. */
function isNear(a: number | null, b: number | null): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(a), Math.abs(b));
}
