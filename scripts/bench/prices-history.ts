/** The history of the tables of prices: stocks, then their bars. */
import type { ByteWriter } from '../../engine/avro/byte-writer.ts';
import { beginFrame } from '../../engine/avro/framing.ts';
import { CDC_PRICES, CDC_STOCKS } from '../../pipelines/prices/topics.ts';
import type { Listing } from '../../pipelines/prices/traffic/listings.ts';
import { type PriceRow, priceText } from '../../pipelines/prices/traffic/walk.ts';
import { avroText, envelopeTail, optionalLong, type SchemaIds, timestampText } from './envelope.ts';
import type { CapturedTopic, History, HistoryRecord, HistoryTransaction } from './history.ts';
import { type PriceChange, PriceRecording, type PriceRecordingOptions } from './prices-recording.ts';

const TABLES = { bar: avroText('stock_prices'), stock: avroText('stocks') } as const;

/** Ids begin at 1, in the order of the listings. */
const idOf = (stock: number): number => stock + 1;

export class PricesHistory implements History {
  readonly topics = [CDC_PRICES, CDC_STOCKS];
  readonly counted = CDC_PRICES;
  readonly #recording: PriceRecording;
  readonly #partitions: number;

  constructor(options: PriceRecordingOptions & { readonly partitions: number }) {
    this.#recording = new PriceRecording(options);
    this.#partitions = options.partitions;
  }

  *transactions(writer: ByteWriter, ids: ReadonlyMap<CapturedTopic, SchemaIds>): Generator<HistoryTransaction> {
    const [stock, bar] = [ids.get(CDC_STOCKS)!, ids.get(CDC_PRICES)!];
    yield { source: this.#recording.listingSource, records: this.#stocks(writer, stock) };
    for (const { source, changes } of this.#recording.transactions()) {
      yield { source, records: this.#bars(writer, bar, changes) };
    }
  }

  *#stocks(writer: ByteWriter, ids: SchemaIds): Generator<HistoryRecord> {
    const source = this.#recording.listingSource;
    for (const [stock, listing] of this.#recording.listings.entries()) {
      beginFrame(writer, ids.key);
      writer.long(idOf(stock));
      const key = writer.take();
      beginFrame(writer, ids.value);
      writer.byte(0);
      writer.byte(2);
      writer.long(idOf(stock));
      putListing(writer, listing);
      envelopeTail(writer, 'c', TABLES.stock, source);
      yield { topic: CDC_STOCKS, partition: 0, key, value: writer.take(), atMs: source.commitMs };
    }
  }

  *#bars(writer: ByteWriter, ids: SchemaIds, changes: readonly PriceChange[]): Generator<HistoryRecord> {
    for (const { op, before, after, source } of changes) {
      const { stock, startMs } = after ?? before!;
      beginFrame(writer, ids.key);
      writer.long(idOf(stock));
      writer.string(timestampText(startMs * 1_000));
      const key = writer.take();
      beginFrame(writer, ids.value);
      putBar(writer, before);
      putBar(writer, after);
      envelopeTail(writer, op, TABLES.bar, source);
      // Which one is as good as another, if it is always the same.
      const partition = stock % this.#partitions;
      yield { topic: CDC_PRICES, partition, key, value: writer.take(), atMs: source.commitMs };
    }
  }
}

function putListing(writer: ByteWriter, listing: Listing): void {
  const { symbol, name, exchange, sector, industry, marketCap } = listing;
  for (const text of [symbol, name, exchange]) writer.string(text);
  for (const text of [sector, industry]) {
    writer.byte(text === null ? 0 : 2);
    if (text !== null) writer.string(text);
  }
  optionalLong(writer, marketCap ?? -1);
  writer.byte(1);
}

function putBar(writer: ByteWriter, row: PriceRow | null): void {
  writer.byte(row === null ? 0 : 2);
  if (row === null) return;
  writer.long(idOf(row.stock));
  writer.string(timestampText(row.startMs * 1_000));
  for (const price of [row.open, row.high, row.low, row.close]) writer.string(priceText(price));
  writer.long(row.volume);
  writer.string(row.source);
}
