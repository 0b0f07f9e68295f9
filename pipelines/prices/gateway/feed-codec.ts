/** `prices.candles` as far as the feed needs it. Nothing that is read is a view: it outlives the fetched bytes. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { type BodyReader, FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { nullable, type Projected, record } from '../../../engine/avro/projection.ts';

const candle = record({
  symbol: { from: 'symbol', read: 'interned' },
  start: { from: 'start', read: 'number' },
  end: { from: 'end', read: 'number' },
  openE6: { from: 'open_e6', read: 'bigint' },
  highE6: { from: 'high_e6', read: 'bigint' },
  lowE6: { from: 'low_e6', read: 'bigint' },
  closeE6: { from: 'close_e6', read: 'bigint' },
  volume: { from: 'volume', read: 'bigint' },
  vwapE6: { from: 'vwap_e6', read: nullable('bigint') },
  bars: { from: 'bars', read: 'number' },
  final: { from: 'final', read: 'boolean' },
  commitTime: { from: 'source_commit_ts', read: 'number' },
});

const asOf = record({ streamTime: { from: 'stream_time', read: 'number' } });

const value = record({
  body: { from: 'body', read: { kind: 'tagged', branches: { Candle: candle, CandlesAsOf: asOf } } },
});

export type FeedRecord = Projected<typeof value>;

/** Decoder of the values of `prices.candles`. */
export function feedDecoder(source: SchemaSource): FramedDecoder<FeedRecord> {
  return new FramedDecoder({
    source,
    compile: (writer) => compileReader(writer, value) as BodyReader<FeedRecord>,
  });
}
