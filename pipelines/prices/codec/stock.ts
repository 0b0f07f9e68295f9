/** A row of stocks with everything that is told of it. */
import type { FramedDecoder, SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { nullable, type Projected, record } from '../../../engine/avro/projection.ts';
import { type RowChange, rowChangeDecoder } from '../../capture/envelope.ts';

const stockRow = record({
  id: { from: 'id', read: 'bigint' },
  symbol: { from: 'symbol', read: 'string' },
  name: { from: 'name', read: 'string' },
  exchange: { from: 'exchange', read: 'interned' },
  sector: { from: 'sector', read: nullable('interned') },
  industry: { from: 'industry', read: nullable('interned') },
  marketCap: { from: 'market_cap', read: nullable('bigint') },
  active: { from: 'active', read: 'boolean' },
});

export type StockRow = Projected<typeof stockRow>;

/** Decoder of topic `cdc.public.stocks`. */
export function stockRowDecoder(source: SchemaSource): FramedDecoder<RowChange<StockRow>> {
  return rowChangeDecoder(source, stockRow);
}
