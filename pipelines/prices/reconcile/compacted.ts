/** The compacted view of a public topic of candles: the newest record of each key, of some stocks at a time. */
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';
import type { CandleKey } from '../../../schemas/prices/candle-key.ts';
import type { Group, Groups } from './groups.ts';
import { keyOf } from './key.ts';
import { Spill, type SpiltRecord } from './spill.ts';

export interface PublicRecord<T> {
  readonly stockId: bigint;
  readonly interval: string;
  /** `stock start`. */
  readonly key: string;
  /** Its offset, within the partition of its stock. */
  readonly version: string;
  /** null: a tombstone. */
  readonly value: T | null;
}

export interface GroupRecords<T> extends Group {
  readonly records: readonly PublicRecord<T>[];
}

export class CompactedTopic<T> {
  readonly #client: LogClient;
  readonly #topic: string;
  readonly #keys: FramedDecoder<CandleKey>;
  readonly #values: FramedDecoder<T>;

  constructor(
    client: LogClient,
    topic: string,
    decoders: { readonly keys: FramedDecoder<CandleKey>; readonly values: FramedDecoder<T> },
  ) {
    this.#client = client;
    this.#topic = topic;
    this.#keys = decoders.keys;
    this.#values = decoders.values;
  }

  /**
   * The newest record of each key up to the ends, group by group. The topic is read once, however long it is and however many groups: what is read of each is
   * put down in a folder of its own until its turn comes.
   */
  async *groups(ends: ReadonlyMap<number, bigint>, { list, groupOf }: Groups): AsyncGenerator<GroupRecords<T>> {
    if (list.length === 0) return;
    const spill = new Spill(list.length);
    try {
      await this.#each(ends, (key, record) => {
        const group = groupOf(key.stock_id);
        if (group >= 0) spill.add(group, record);
      });
      for (const [index, group] of list.entries()) yield { ...group, records: await this.#newest(spill.take(index)) };
    } finally {
      spill.close();
    }
  }

  async #newest(records: Iterable<SpiltRecord>): Promise<readonly PublicRecord<T>[]> {
    const newest = new Map<string, Omit<PublicRecord<T>, 'value'> & { readonly bytes: Buffer | null }>();
    for (const { key: encoded, offset, value: bytes } of records) {
      const { stock_id: stockId, interval, start } = this.#keys.decode(encoded);
      const key = keyOf(stockId, start);
      newest.set(`${interval} ${key}`, { stockId, interval, key, version: String(offset), bytes });
    }
    await this.#values.prepare([...newest.values()].map(({ bytes }) => bytes));
    return [...newest.values()].map(({ bytes, ...about }) => ({
      ...about,
      value: bytes === null ? null : this.#values.decode(bytes),
    }));
  }

  async #each(ends: ReadonlyMap<number, bigint>, each: (key: CandleKey, record: SpiltRecord) => void): Promise<void> {
    await readTopic(this.#client, { topic: this.#topic, ends }, async ({ records }) => {
      await this.#keys.prepare(records.map(({ key }) => key));
      for (const { key, offset, value } of records) {
        if (key !== null) each(this.#keys.decode(key), { key, offset, value });
      }
    });
  }
}
