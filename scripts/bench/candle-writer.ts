/** Writes `prices.candles` as the stage would: candles, tombstones and as-of stamps, in transactions. What they say is made up. */
import type { KafkaClient } from '../../connectors/kafka/client.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { OutputBatch, TransactionalWriter } from '../../engine/log.ts';
import { encodeCandle, encodeCandleKey } from '../../pipelines/prices/codec/candle.ts';
import type { FeedInterval } from '../../pipelines/prices/gateway/protocol.ts';
import { SUBJECTS, schemaText } from '../../schemas/subjects.ts';

export interface CandleWrite {
  readonly stockId: number;
  readonly interval: FeedInterval;
  readonly start: number;
  /** Millionths, of all prices; null is a tombstone. */
  readonly closeE6: bigint | null;
}

export const symbolOf = (stockId: number): string => `S${stockId}`;

export class CandleWriter {
  readonly #writer: TransactionalWriter;
  readonly #topic: string;
  readonly #partitions: number;
  readonly #ids: { readonly key: number; readonly value: number };
  readonly #bytes = new ByteWriter();
  #commits = 0n;

  private constructor(
    writer: TransactionalWriter,
    options: { readonly topic: string; readonly partitions: number; readonly ids: { key: number; value: number } },
  ) {
    this.#writer = writer;
    this.#topic = options.topic;
    this.#partitions = options.partitions;
    this.#ids = options.ids;
  }

  static async open(
    client: KafkaClient,
    { topic, partitions, registryUrl }: { topic: string; partitions: number; registryUrl: string },
  ): Promise<CandleWriter> {
    const registry = new RegistryClient({ url: registryUrl });
    const idOf = async ({ name, schema, compatibility }: (typeof SUBJECTS)['candle' | 'candleKey']) =>
      (await registry.register({ name, text: schemaText(schema), compatibility })).id;
    const ids = { key: await idOf(SUBJECTS.candleKey), value: await idOf(SUBJECTS.candle) };
    const writer = client.writer(`${topic}-writer`);
    try {
      await writer.fence();
    } catch (error) {
      await writer.close();
      throw error;
    }
    return new CandleWriter(writer, { topic, partitions, ids });
  }

  /** Commits the candles, and behind them a stamp in every partition: everything up to `asOfMs` is there. */
  async write(candles: readonly CandleWrite[], asOfMs = Date.now()): Promise<void> {
    const batches = Array.from({ length: this.#partitions }, (_, p) => this.#writer.batch(this.#topic, p));
    for (const candle of candles) this.#put(batches[candle.stockId % this.#partitions]!, candle, asOfMs);
    for (const batch of batches) this.#stamp(batch, asOfMs);
    const at = {
      group: `${this.#topic}-writer`,
      topic: this.#topic,
      partition: 0,
      offset: ++this.#commits,
      metadata: '',
    };
    await this.#writer.commit(batches, at);
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }

  #put(batch: OutputBatch, { stockId, interval, start, closeE6 }: CandleWrite, nowMs: number): void {
    const at = { stock_id: BigInt(stockId), interval, start };
    const key = Buffer.from(encodeCandleKey(this.#bytes, this.#ids.key, at));
    if (closeE6 === null) {
      batch.append(key, null, nowMs);
      return;
    }
    const body = {
      ...{ kind: 'Candle' as const, ...at, symbol: symbolOf(stockId), end: start + 60_000 },
      ...{ open_e6: closeE6, high_e6: closeE6, low_e6: closeE6, close_e6: closeE6, volume: 10n },
      ...{ price_volume: Buffer.from([1]), vwap_e6: closeE6, bars: 1, final: false, source: null },
      ...{ source_lsn: 1n, source_xid: 1n, source_commit_ts: nowMs },
    };
    batch.append(key, encodeCandle(this.#bytes, this.#ids.value, { body }), nowMs);
  }

  #stamp(batch: OutputBatch, asOfMs: number): void {
    const at = { stock_id: -1n - BigInt(batch.partition), interval: 'asof', start: 0 };
    const key = Buffer.from(encodeCandleKey(this.#bytes, this.#ids.key, at));
    const body = {
      kind: 'CandlesAsOf' as const,
      partition: batch.partition,
      stream_time: asOfMs,
      final_to: 0,
      source_lsn: 1n,
    };
    batch.append(key, encodeCandle(this.#bytes, this.#ids.value, { body }), asOfMs);
  }
}
