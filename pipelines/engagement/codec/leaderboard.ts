/** LeaderboardRecord. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import { type LeaderboardRecord, leaderboardSchema } from '../../../schemas/engagement/leaderboard-record.ts';

const schema = resolveSchema(leaderboardSchema);
const write = compileWriter<LeaderboardRecord>(schema);

/** Encodes an entry or an as-of stamp. The result is a view of the writer's arena. */
export function encodeLeaderboard(writer: ByteWriter, schemaId: number, value: LeaderboardRecord): Buffer {
  beginFrame(writer, schemaId);
  write(writer, value);
  return writer.take();
}

/** Decoder of topic `engagement.leaderboards`. */
export function leaderboardDecoder(source: SchemaSource): FramedDecoder<LeaderboardRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<LeaderboardRecord>(writer, schema) });
}
