/** Reads Debezium's envelopes of the captured tables: only what the pipeline needs of them. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { missingField, undecodable } from '../../../engine/avro/errors.ts';
import { type BodyReader, FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { nullable, type Projected, record, type Shape, type Span } from '../../../engine/avro/projection.ts';
import type { SchemaNode } from '../../../engine/avro/resolve.ts';
import { carriedColumns } from './extra.ts';

/** Created, updated, deleted, or read by a snapshot. */
export type ChangeOp = 'c' | 'u' | 'd' | 'r';

/** What every envelope says about its change. https://debezium.io/documentation/reference/stable/connectors/postgresql.html */
export interface SourceChange<Row> {
  readonly op: ChangeOp;
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

const eventRow = record({
  id: { from: 'id', read: 'bigint' },
  idAt: { from: 'id', read: 'longSpan' },
  contentId: { from: 'content_id', read: 'interned' },
  contentIdAt: { from: 'content_id', read: 'stringSpan' },
  userIdAt: { from: 'user_id', read: 'stringSpan' },
  eventTypeAt: { from: 'event_type', read: 'stringSpan' },
  eventTsMicros: { from: 'event_ts', read: 'micros' },
  // No fallback, unlike the device: figures are made of it. Were it dropped or renamed, they would turn into NULL unseen.
  durationMs: { from: 'duration_ms', read: nullable('number') },
  deviceAt: { from: 'device', read: nullable('stringSpan'), fallback: null },
});

/**
 * Columns that are left behind on purpose: raw_payload is the largest of a row, no figure is computed from it, and what a
 * client sends may be personal. It stays in Postgres and in the captured topic.
 */
const LEFT_BEHIND = ['raw_payload'];

const KNOWN_COLUMNS = new Set([...Object.values(eventRow.fields).map(({ from }) => from), ...LEFT_BEHIND]);

/**
 * A row of engagement_events. What is only copied into the enriched event stays where it is: `…At` are spans of the
 * envelope's bytes. `eventTsMicros` is null when the text is no time within ±2^53 microseconds.
 */
export type RawEvent = Projected<typeof eventRow>;

const contentRow = record({
  id: { from: 'id', read: 'interned' },
  slug: { from: 'slug', read: 'string' },
  title: { from: 'title', read: 'string' },
  contentType: { from: 'content_type', read: 'interned' },
  lengthSeconds: { from: 'length_seconds', read: nullable('number'), fallback: null },
});

/** A row of content, as far as events are enriched with it. */
export type RawContent = Projected<typeof contentRow>;

const contentKey = record({ id: { from: 'id', read: 'interned' } });

export interface EngagementChange extends SourceChange<RawEvent> {
  /** The row as it was: for a deletion, and for an update when asked for. */
  readonly before: RawEvent | null;
  /** Columns of `after` that the pipeline does not know, as `carriedColumns` gives them. */
  readonly extra: string | null;
}

export interface ContentChange extends SourceChange<RawContent> {
  /** Id of a deleted content, whose `after` is null. */
  readonly deletedId: string | null;
}

/** The row that Debezium itself updates every second: the source clock. */
export interface Heartbeat {
  readonly lsn: bigint | null;
  readonly commitTsMs: number;
}

const sourceShape = record({
  tsMs: { from: 'ts_ms', read: 'number' },
  lsn: { from: 'lsn', read: nullable('bigint'), fallback: null },
  xid: { from: 'txId', read: nullable('bigint'), fallback: null },
  snapshot: { from: 'snapshot', read: nullable('interned'), fallback: null },
});

function envelope<const R extends Shape>(row: R) {
  return record({
    // In front of everything that says whether it is needed: passed over, and read afterwards if it is.
    before: { from: 'before', read: 'span' },
    after: { from: 'after', read: nullable(row) },
    source: { from: 'source', read: sourceShape },
    op: { from: 'op', read: 'interned' },
  });
}

function isOp(op: string): op is ChangeOp {
  return op === 'c' || op === 'u' || op === 'd' || op === 'r';
}

/** The writer's schema of the before image, which is that of a row or null. */
function beforeOf(writer: SchemaNode): SchemaNode {
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

function sourceChange<Row>({ op, after, source }: Envelope<Row>, bytes: Buffer): SourceChange<Row> {
  if (!isOp(op)) throw undecodable(`an operation ${JSON.stringify(op.slice(0, 20))}`);
  return {
    op,
    after,
    lsn: source.lsn,
    xid: op === 'r' || source.xid === null ? 0n : source.xid,
    commitTsMs: source.tsMs,
    snapshot: source.snapshot ?? 'false',
    bytes,
  };
}

export interface EngagementChangeOptions {
  /** Which before images to read: those of deletions (the default), or all of them. */
  readonly before?: 'deletes' | 'all';
}

/** Decoder of topic `cdc.public.engagement_events`. */
export function engagementChangeDecoder(
  source: SchemaSource,
  { before = 'deletes' }: EngagementChangeOptions = {},
): FramedDecoder<EngagementChange> {
  const all = before === 'all';
  const compile = (writer: SchemaNode): BodyReader<EngagementChange> => {
    const carried = carriedColumns(beforeOf(writer), KNOWN_COLUMNS);
    // Read in the same pass. A row without such columns, as of the first migrations, costs nothing more.
    const row = carried === null ? eventRow : { ...eventRow, fields: { ...eventRow.fields, ...carried.fields } };
    const read = compileReader(writer, envelope(row));
    const readBefore = compileReader(beforeOf(writer), nullable(eventRow));
    return (bytes, start, end) => {
      const { op, after, source, before } = read(bytes, start, end);
      if (!isOp(op)) throw undecodable(`an operation ${JSON.stringify(op.slice(0, 20))}`);
      // Written out and not spread from `sourceChange`: this is the hottest object of the pipeline.
      return {
        op,
        before: op === 'd' || all ? readBefore(bytes, before.start, before.end) : null,
        after,
        extra: carried === null || after === null ? null : carried.text(after, bytes),
        lsn: source.lsn,
        xid: op === 'r' || source.xid === null ? 0n : source.xid,
        commitTsMs: source.tsMs,
        snapshot: source.snapshot ?? 'false',
        bytes,
      };
    };
  };
  return new FramedDecoder({ source, compile });
}

/** Decoder of topic `cdc.public.content`. */
export function contentChangeDecoder(source: SchemaSource): FramedDecoder<ContentChange> {
  const compile = (writer: SchemaNode): BodyReader<ContentChange> => {
    const read = compileReader(writer, envelope(contentRow));
    const readKey = compileReader(beforeOf(writer), nullable(contentKey));
    return (bytes, start, end) => {
      const whole = read(bytes, start, end);
      const deleted = whole.op === 'd' ? readKey(bytes, whole.before.start, whole.before.end) : null;
      return { ...sourceChange(whole, bytes), deletedId: deleted?.id ?? null };
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
