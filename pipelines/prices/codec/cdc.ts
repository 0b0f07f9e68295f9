/** Reads the changes of the captured tables: only what the pipeline needs of them. */
import type { FramedDecoder, SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { nullable, type Projected, record } from '../../../engine/avro/projection.ts';
import { type RowChange, rowChangeDecoder } from '../../capture/envelope.ts';

const priceRow = record({
  stockId: { from: 'stock_id', read: 'bigint' },
  tsMicros: { from: 'ts', read: 'micros' },
  openAt: { from: 'open', read: 'stringSpan' },
  highAt: { from: 'high', read: 'stringSpan' },
  lowAt: { from: 'low', read: 'stringSpan' },
  closeAt: { from: 'close', read: 'stringSpan' },
  volume: { from: 'volume', read: 'bigint' },
  source: { from: 'source', read: 'interned' },
});

/**
 * A row of stock_prices. `…At` are the texts of the prices in the envelope's bytes. `tsMicros` is null when the text is no time within ±2^53
 * microseconds.
 */
export type RawPrice = Projected<typeof priceRow>;

const stockRow = record({
  id: { from: 'id', read: 'bigint' },
  symbol: { from: 'symbol', read: 'string' },
  exchange: { from: 'exchange', read: 'interned' },
  sector: { from: 'sector', read: nullable('interned'), fallback: null },
});

/** A row of stocks, as far as candles and boards need it. All but the sector never changes. */
export type RawStock = Projected<typeof stockRow>;

/** Decoder of topic `cdc.public.stock_prices`. */
export function priceChangeDecoder(source: SchemaSource): FramedDecoder<RowChange<RawPrice>> {
  return rowChangeDecoder(source, priceRow);
}

/** Decoder of topic `cdc.public.stocks`. */
export function stockChangeDecoder(source: SchemaSource): FramedDecoder<RowChange<RawStock>> {
  return rowChangeDecoder(source, stockRow);
}
