/** The compacted view of a public topic of candles: the newest record of each key, of some stocks at a time. */
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { CandleKey } from '../../../schemas/prices/candle-key.ts';
import { keyOf } from './key.ts';

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

  /** The newest record of each key up to the ends; of all stocks that `wanted` says. */
  async read(
    ends: ReadonlyMap<number, bigint>,
    wanted: (stockId: bigint) => boolean,
  ): Promise<readonly PublicRecord<T>[]> {
    const newest = new Map<string, Omit<PublicRecord<T>, 'value'> & { readonly bytes: Buffer | null }>();
    await this.#each(ends, ({ stock_id: stockId, interval, start }, offset, value) => {
      if (!wanted(stockId)) return;
      const key = keyOf(stockId, start);
      const bytes = value === null ? null : Buffer.from(value);
      newest.set(`${interval} ${key}`, { stockId, interval, key, version: String(offset), bytes });
    });
    const records = [...newest.values()];
    await this.#values.prepare(records.map(({ bytes }) => bytes));
    return records.map(({ bytes, ...about }) => ({
      ...about,
      value: bytes === null ? null : this.#values.decode(bytes),
    }));
  }

  async #each(
    ends: ReadonlyMap<number, bigint>,
    each: (key: CandleKey, offset: bigint, value: Buffer | null) => void,
  ): Promise<void> {
    const from = await this.#client.offsets(this.#topic, [...ends.keys()], 'earliest');
    const reader = this.#client.reader({ minBytes: 1, maxWaitMs: 200, maxBufferedBytes: 16 << 20 });
    try {
      for (const [partition, end] of ends) {
        const range = { topic: this.#topic, partition, from: from.get(partition) ?? 0n, end };
        await readToEnd(reader, range, async ({ records }) => {
          await this.#keys.prepare(records.map(({ key }) => key));
          for (const { key, offset, value } of records) if (key !== null) each(this.#keys.decode(key), offset, value);
        });
      }
    } finally {
      await reader.close();
    }
  }
}
