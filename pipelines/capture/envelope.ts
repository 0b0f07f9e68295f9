/** Reads Debezium's envelopes, whatever table they are of: what each says about its change, and the source clock. */
import { compileReader } from '../../engine/avro/compile-reader.ts';
import { missingField, undecodable } from '../../engine/avro/errors.ts';
import { type BodyReader, FramedDecoder, type SchemaSource } from '../../engine/avro/framed-decoder.ts';
import {
  nullable,
  type Projected,
  type RecordShape,
  record,
  type Shape,
  type Span,
} from '../../engine/avro/projection.ts';
import type { SchemaNode } from '../../engine/avro/resolve.ts';

/** Created, updated, deleted, or read by a snapshot. */
export type ChangeOp = 'c' | 'u' | 'd' | 'r';

/** What an envelope says of a row. https://debezium.io/documentation/reference/stable/connectors/postgresql.html */
export interface RowChange<Row> {
  readonly op: ChangeOp;
  /** The row as it was, for a deletion. */
  readonly before: Row | null;
  readonly after: Row | null;
  /** Of the change; for a row read by a snapshot, of the snapshot. */
  readonly lsn: bigint | null;
  /** Top-level transaction id; 0 when not known: what a snapshot read was committed by somebody else. */
  readonly xid: bigint;
  /** Commit time in milliseconds; for a row read by a snapshot, the time of reading. */
  readonly commitTsMs: number;
  /** `false` for a live change, else which kind of snapshot read it: `true`, `first`, `last`, `incremental`, … */
  readonly snapshot: string;
  /** The framed value: what the spans of a row refer to. */
  readonly bytes: Buffer;
}

/** The row that Debezium itself updates every second: the source clock. */
export interface Heartbeat {
  readonly lsn: bigint | null;
  readonly commitTsMs: number;
}

const sourceShape = record({
  tsMs: { from: 'ts_ms', read: 'number' },
  lsn: { from: 'lsn', read: nullable('bigint'), fallback: null },
  sequence: { from: 'sequence', read: nullable('stringSpan'), fallback: null },
  xid: { from: 'txId', read: nullable('bigint'), fallback: null },
  snapshot: { from: 'snapshot', read: nullable('interned'), fallback: null },
});

/**
 * Where in the WAL a change stands. A row that an incremental snapshot read has no `lsn`, but the sequence `["<last commit>","<position>"]` says
 * where capture was when it was read: behind all that it has streamed, so a version that was read is not taken for an older one.
 */
export function positionOf({ lsn, sequence }: Projected<typeof sourceShape>, bytes: Buffer): bigint | null {
  if (lsn !== null || sequence === null) return lsn;
  const position = /"(\d+)"\]$/.exec(bytes.toString('latin1', sequence.start, sequence.end))?.[1];
  return position === undefined ? null : BigInt(position);
}

/** The shape of an envelope of these rows. */
export function envelope<const R extends Shape>(row: R) {
  return record({
    // In front of everything that says whether it is needed: passed over, and read afterwards if it is.
    before: { from: 'before', read: 'span' },
    after: { from: 'after', read: nullable(row) },
    source: { from: 'source', read: sourceShape },
    op: { from: 'op', read: 'interned' },
  });
}

/** The operation an envelope names. Throws UNDECODABLE for one that is none of a row. */
export function changeOp(op: string): ChangeOp {
  if (op === 'c' || op === 'u' || op === 'd' || op === 'r') return op;
  throw undecodable(`an operation ${JSON.stringify(op.slice(0, 20))}`);
}

/** The writer's schema of the before image, which is that of a row or null. */
export function beforeOf(writer: SchemaNode): SchemaNode {
  const field = writer.type === 'record' ? writer.fields.find(({ name }) => name === 'before') : undefined;
  if (field === undefined) throw missingField("before is not in the writer's schema: not a Debezium envelope");
  return field.node;
}

interface Envelope<Row> {
  readonly before: Span;
  readonly after: Row | null;
  readonly source: Projected<typeof sourceShape>;
  readonly op: string;
}

/** Decoder of the changes of a table, as far as `row` says. */
export function rowChangeDecoder<const R extends RecordShape>(
  source: SchemaSource,
  row: R,
): FramedDecoder<RowChange<Projected<R>>> {
  const compile = (writer: SchemaNode): BodyReader<RowChange<Projected<R>>> => {
    const read = compileReader(writer, envelope(row) as Shape) as unknown as BodyReader<Envelope<Projected<R>>>;
    const readBefore = compileReader(beforeOf(writer), nullable(row) as Shape) as BodyReader<Projected<R> | null>;
    return (bytes, start, end) => {
      const { op: text, after, source, before } = read(bytes, start, end);
      const op = changeOp(text);
      return {
        op,
        before: op === 'd' ? readBefore(bytes, before.start, before.end) : null,
        after,
        lsn: positionOf(source, bytes),
        xid: op === 'r' || source.xid === null ? 0n : source.xid,
        commitTsMs: source.tsMs,
        snapshot: source.snapshot ?? 'false',
        bytes,
      };
    };
  };
  return new FramedDecoder({ source, compile });
}

const heartbeatShape = record({ source: { from: 'source', read: sourceShape } });

/** Decoder of topic `cdc.public.sluice_heartbeat`. */
export function heartbeatDecoder(source: SchemaSource): FramedDecoder<Heartbeat> {
  const compile = (writer: SchemaNode): BodyReader<Heartbeat> => {
    const read = compileReader(writer, heartbeatShape);
    return (bytes, start, end) => {
      const { source } = read(bytes, start, end);
      return { lsn: source.lsn, commitTsMs: source.tsMs };
    };
  };
  return new FramedDecoder({ source, compile });
}
