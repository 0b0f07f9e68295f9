/** `prices.signals.v1`: the compacted view of the public topic. */
import type { LogRecord } from '../../../engine/log.ts';
import type { SignalsV1 } from '../../../schemas/prices/signals-v1.ts';
import { stableEnds } from '../../operations/reconcile/stable-end.ts';
import { candleKeyDecoder } from '../codec/candle.ts';
import { indicatorsDecoder, signalsV1Decoder } from '../codec/indicators.ts';
import { INDICATORS, SIGNALS_V1 } from '../topics.ts';
import { CompactedTopic, type GroupRecords, type PublicRecord } from './compacted.ts';
import type { Snapshot } from './comparison.ts';
import type { Groups } from './groups.ts';
import type { IndicatorsPlace, Part, ShownPart } from './indicator-sinks.ts';
import { startOf } from './key.ts';
import type { PublicOptions } from './public-candles.ts';
import { ShownRows } from './shown-rows.ts';
import { Stamps } from './stamps.ts';
import type { ShownIndicators } from './wrong-indicators.ts';

export class PublicSignals implements IndicatorsPlace {
  readonly name = 'signals';
  readonly #options: PublicOptions;
  readonly #topic: CompactedTopic<SignalsV1>;
  readonly #stamps: Stamps;
  #snapshot!: Snapshot;
  #ends: ReadonlyMap<number, bigint> = new Map();
  #groups: AsyncGenerator<GroupRecords<SignalsV1>> | null = null;
  /** Of the present group. */
  #records: ReadonlyMap<string, readonly PublicRecord<SignalsV1>[]> = new Map();

  constructor(options: PublicOptions) {
    const { log, schemas, partitions } = options;
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
  }

  async passed(snapshot: Snapshot): Promise<Readonly<Record<string, string>>> {
    this.#snapshot = snapshot;
    await this.#stamps.passed(snapshot.lsn, snapshot.deadline());
    const { log, partitions } = this.#options;
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    this.#ends = await stableEnds(log, SIGNALS_V1, all, snapshot.deadline());
    return Object.fromEntries([...this.#ends].map(([partition, end]) => [String(partition), String(end)]));
  }

  begin(groups: Groups): void {
    this.#groups = this.#topic.groups(this.#ends, groups);
  }

  async group(): Promise<Iterable<bigint>> {
    const next = await this.#groups!.next();
    const records = next.done === true ? [] : next.value.records;
    const since = this.#options.scope.since?.getTime() ?? 0;
    const within = records.filter(({ key }) => startOf(key) >= since);
    this.#records = Map.groupBy(within, ({ interval, stockId }) => `${interval} ${stockId}`);
    return within.map(({ stockId }) => stockId);
  }

  async end(): Promise<void> {
    await this.#groups?.return(undefined);
  }

  async read({ kind, stocks }: Part): Promise<ShownPart> {
    const records = stocks.flatMap(({ id }) => this.#records.get(`${kind} ${id}`) ?? []);
    return new ShownRows({
      ...{ kind, since: this.#options.scope.since, snapshot: this.#snapshot },
      rows: new Map(records.map(({ key, value }) => [key, value === null ? null : shownOf(value)])),
      versions: new Map(records.map(({ key, version }) => [key, version])),
    });
  }
}

/** What a record says. */
export function shownOf(record: SignalsV1): ShownIndicators {
  const { symbol, start, end, close_e6, volume, obv, signals, final } = record;
  return { exact: { symbol, start, end, close_e6, volume, obv }, values: record, signals, end, final };
}
