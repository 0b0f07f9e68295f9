/** MoversRecord, and the keys of its topic. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import { type MoversRecord, moversRecordSchema } from '../../../schemas/prices/movers.ts';

const schema = resolveSchema(moversRecordSchema);
const write = compileWriter<MoversRecord>(schema);

/** Encodes a value of `prices.movers`. The result is a view of the writer's arena. */
export function encodeMovers(writer: ByteWriter, schemaId: number, value: MoversRecord): Buffer {
  beginFrame(writer, schemaId);
  write(writer, value);
  return writer.take();
}

/** Decoder of topic `prices.movers`. */
export function moversDecoder(source: SchemaSource): FramedDecoder<MoversRecord> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<MoversRecord>(writer, schema) });
}

/** Key of a stock's state. No universe begins with it. */
export function watchKey(period: string, stockId: bigint): string {
  return `watch|${period}|${stockId}`;
}

/** Key of a stock on boards. The universe comes last: a sector's name may hold anything. */
export function moverKey(at: { readonly period: string; readonly symbol: string; readonly universe: string }): string {
  return `mover|${at.period}|${encodeURIComponent(at.symbol)}|${at.universe}`;
}

/** Reads a `moverKey`; null for another key of the topic. */
export function parseMoverKey(key: string): { period: string; symbol: string; universe: string } | null {
  const parts = /^mover\|([^|]*)\|([^|]*)\|(.*)$/s.exec(key);
  if (parts === null) return null;
  return { period: parts[1]!, symbol: decodeURIComponent(parts[2]!), universe: parts[3]! };
}

export function moversAsOfKey(partition: number): string {
  return `asof|${partition}`;
}
