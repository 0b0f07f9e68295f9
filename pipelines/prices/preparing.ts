/** What whoever reads `prices.candles` needs for its keys, which tombstones alone are read by. */
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { CandleKey } from '../../schemas/prices/candle-key.ts';

/** Loads the schemas that records and the keys of tombstones name. */
export function preparingBoth(values: FramedDecoder<unknown>, keys: FramedDecoder<unknown>) {
  return async (records: readonly Pick<LogRecord, 'key' | 'value'>[]): Promise<void> => {
    const gone = records.filter(({ value }) => value === null);
    await Promise.all([values.prepare(records.map(({ value }) => value)), keys.prepare(gone.map(({ key }) => key))]);
  };
}

/** Reads the key of a tombstone that has been prepared. */
export function reading(keys: FramedDecoder<CandleKey>): (key: Uint8Array) => CandleKey {
  return ({ buffer, byteOffset, byteLength }) => keys.decode(Buffer.from(buffer, byteOffset, byteLength));
}
