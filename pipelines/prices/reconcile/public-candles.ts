/** `prices.candles.v1`: the compacted view of the public topic of candles. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import type { CandleV1 } from '../../../schemas/prices/candle-v1.ts';
import { stableEnds } from '../../operations/reconcile/stable-end.ts';
import { candleKeyDecoder, candleV1Decoder } from '../codec/candle.ts';
import { CANDLES_V1 } from '../topics.ts';
import { differencesOf, finalityOf } from './candles.ts';
import { CompactedTopic, type PublicRecord } from './compacted.ts';
import type { Comparison, Snapshot, WatchedSnapshot } from './comparison.ts';
import { type Group, groupsOf, stocksIn } from './groups.ts';
import { startOf, stockOf } from './key.ts';
import type { Scope } from './scope.ts';
import { CANDLE_KINDS, type CandleKind, type Row } from './source.ts';
import { Suspects } from './suspects.ts';

export interface PublicOptions {
  /** Where the topic is, and those of the pipeline. */
  readonly log: LogClient;
  readonly schemas: SchemaSource;
  readonly partitions: number;
  readonly scope: Scope;
  readonly limit: number;
}

export class PublicCandles implements Comparison {
  readonly title = 'the public topic of candles';
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly #options: PublicOptions;
  readonly #topic: CompactedTopic<CandleV1>;

  constructor(options: PublicOptions) {
    const { log, schemas, limit } = options;
    this.#options = options;
    this.#topic = new CompactedTopic(log, CANDLES_V1, {
      keys: candleKeyDecoder(schemas),
      values: candleV1Decoder(schemas),
    });
    this.suspects = new Map(CANDLE_KINDS.map((kind) => [`external.${kind}`, new Suspects(limit)]));
  }

  async look(snapshot: WatchedSnapshot, first: boolean): Promise<void> {
    const { log, partitions, scope } = this.#options;
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    // The stamps of prices.candles have passed, and a transaction that writes one writes both topics.
    const ends = await stableEnds(log, CANDLES_V1, all, snapshot.deadline());
    const position = [...ends].map(([partition, end]) => [String(partition), String(end)]);
    for (const suspects of this.suspects.values()) suspects.position = Object.fromEntries(position);
    const groups = await groupsOf(snapshot.source, first ? null : this.suspects.values(), scope);
    const of = stocksIn(groups.list);
    let done = 0;
    snapshot.progress({ done, of, unit: 'stocks' });
    for await (const { records, ...group } of this.#topic.groups(ends, groups)) {
      for (const kind of CANDLE_KINDS) {
        await this.#compare(
          kind,
          records.filter(({ interval }) => interval === kind),
          { snapshot, first, ...group },
        );
      }
      done += group.stocks.length;
      snapshot.progress({ done, of, unit: 'stocks' });
    }
  }

  async #compare(
    kind: CandleKind,
    records: readonly PublicRecord<CandleV1>[],
    { snapshot, first, stocks, wants, mayHave }: Group & { readonly snapshot: Snapshot; readonly first: boolean },
  ): Promise<void> {
    const suspects = this.suspects.get(`external.${kind}`)!;
    const begun = performance.now();
    const { since, until } = this.#options.scope;
    const shown = records.filter(({ key, value }) => {
      const late = until !== null && value !== null && value.end > until.getTime();
      return startOf(key) >= (since?.getTime() ?? 0) && !late;
    });
    const postgres = mayHave(kind) ? await snapshot.source.publicRows(kind, stocks) : [];
    const versions = new Map(shown.map(({ key, version }) => [key, version]));
    const look = {
      differing: differencesOf(kind, postgres, shown.flatMap(rowOf)),
      versionOf: (key: string) => versions.get(key),
      covers: (key: string) => wants(stockOf(key)),
    };
    if (first) {
      suspects.suspect(look);
      suspects.findings.bucketsCompared += stocks.length;
      suspects.findings.rowsCompared += postgres.length;
      this.#finality(kind, shown, snapshot);
    } else suspects.decide(look);
    suspects.tookMs += Math.round(performance.now() - begun);
  }

  #finality(kind: CandleKind, shown: readonly PublicRecord<CandleV1>[], { finalTo, nowMs }: Snapshot): void {
    const { findings } = this.suspects.get(`external.${kind}`)!;
    const now = nowMs();
    for (const { key, value } of shown) {
      if (value === null) continue;
      const { final, end } = value;
      if (final ? end > now : end <= finalTo) findings.differs(finalityOf(kind, key, final), key);
    }
  }
}

/** As PricesSource has it. */
function rowOf({ stockId, interval, key, value }: PublicRecord<CandleV1>): readonly Row[] {
  if (value === null) return [];
  const { symbol, end, open_e6, high_e6, low_e6, close_e6, volume, vwap_e6, bars } = value;
  const figures = [symbol, end, open_e6, high_e6, low_e6, close_e6, volume, vwap_e6 ?? '~', bars].join('|');
  const sameKey = value.stock_id === stockId && value.interval === interval && value.start === startOf(key);
  return [{ stockId, start: BigInt(startOf(key)), text: sameKey ? figures : `${figures} of another key` }];
}
