/** The compression codecs of record batches (attributes bits 0–2). */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import { SluiceError } from '../../engine/errors.ts';

/** https://kafka.apache.org/documentation/#recordbatch */
export const LZ4 = 3;

/** Compresses the records part of a batch with LZ4 (frame format, as Kafka's own clients do). */
export function compress(records: Buffer): Buffer {
  return compressFrameSync(records);
}

/** Decompresses the records part of a batch. Throws COMPRESSION_UNSUPPORTED for snappy, which no producer of ours uses. */
export function decompress(codec: number, records: Buffer): Buffer {
  switch (codec) {
    case 0:
      return records;
    case 1:
      return gunzipSync(records);
    case LZ4:
      return decompressFrameSync(records);
    case 4:
      return zstdDecompressSync(records);
    default:
      throw new SluiceError(`Record batch with compression codec ${codec}; supported are none, gzip, lz4 and zstd`, {
        code: 'COMPRESSION_UNSUPPORTED',
        action: 'fatal',
      });
  }
}
