/**
 * What Debezium tells of its snapshots, in topic `sluice.notifications`.
 * https://debezium.io/documentation/reference/stable/configuration/notification.html
 */
import { compileReader } from '../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../engine/avro/framed-decoder.ts';
import { cursor, readLength, readLong } from '../../engine/avro/primitives.ts';
import { record } from '../../engine/avro/projection.ts';

/** One notification about the incremental snapshot of a signal. */
export type SnapshotNotice = { readonly signalId: string } & (
  | { readonly kind: 'started' }
  /** `rows`: how many the whole snapshot will read. */
  | { readonly kind: 'progress'; readonly rows: number; readonly chunk: number; readonly chunks: number }
  /** The rows of a table are in the topic. `status` is SUCCEEDED or EMPTY, else why they are not. */
  | { readonly kind: 'scanned'; readonly rows: number; readonly status: string }
  | { readonly kind: 'completed' }
  | { readonly kind: 'other'; readonly type: string }
);

const shape = record({
  id: { from: 'id', read: 'string' },
  type: { from: 'type', read: 'string' },
  aggregate: { from: 'aggregate_type', read: 'interned' },
  data: { from: 'additional_data', read: 'span' },
});

/** Decoder of the topic; null for what is not about an incremental snapshot. */
export function snapshotNoticeDecoder(source: SchemaSource): FramedDecoder<SnapshotNotice | null> {
  return new FramedDecoder({
    source,
    compile: (writer) => {
      const read = compileReader(writer, shape);
      return (bytes, start, end) => {
        const { id, type, aggregate, data } = read(bytes, start, end);
        return aggregate === 'Incremental Snapshot'
          ? noticeOf(id, type, optionalMap(bytes, data.start, data.end))
          : null;
      };
    },
  });
}

function noticeOf(signalId: string, type: string, data: ReadonlyMap<string, string>): SnapshotNotice {
  const count = (name: string) => Number(data.get(name) ?? 0);
  switch (type) {
    case 'STARTED':
      return { signalId, kind: 'started' };
    case 'IN_PROGRESS':
      return {
        signalId,
        kind: 'progress',
        rows: count('total_rows'),
        chunk: count('chunk_index'),
        chunks: count('total_chunks'),
      };
    case 'TABLE_SCAN_COMPLETED':
      return { signalId, kind: 'scanned', rows: count('total_rows_scanned'), status: data.get('status') ?? 'UNKNOWN' };
    case 'COMPLETED':
      return { signalId, kind: 'completed' };
    default:
      return { signalId, kind: 'other', type };
  }
}

/** A union of null and a map of strings: blocks of a count (negative: with a size behind it) and so many pairs, up to a count of 0. */
function optionalMap(bytes: Buffer, start: number, end: number): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  if (readLong(bytes, start) === 0) return map;
  let at = cursor.at;
  const text = () => {
    const length = readLength(bytes, at, end);
    at = cursor.at + length;
    return bytes.toString('utf8', cursor.at, at);
  };
  for (;;) {
    const count = readLong(bytes, at);
    at = cursor.at;
    if (count === 0) return map;
    if (count < 0) {
      readLong(bytes, at);
      at = cursor.at;
    }
    for (let pair = 0; pair < Math.abs(count) && at < end; pair++) map.set(text(), text());
  }
}
