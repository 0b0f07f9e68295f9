/** Reads the changes of the captured tables: only what the pipeline needs of them. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { type BodyReader, FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { nullable, type Projected, record } from '../../../engine/avro/projection.ts';
import type { SchemaNode } from '../../../engine/avro/resolve.ts';
import { beforeOf, changeOp, envelope, positionOf, type RowChange, rowChangeDecoder } from '../../capture/envelope.ts';
import { carriedColumns } from './extra.ts';

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

/** `before` is there for a deletion, and for an update when asked for. */
export interface EngagementChange extends RowChange<RawEvent> {
  /** Columns of `after` that the pipeline does not know, as `carriedColumns` gives them. */
  readonly extra: string | null;
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
      const { op: text, after, source, before } = read(bytes, start, end);
      const op = changeOp(text);
      // Written out and not spread from `rowChange`: this is the hottest object of the pipeline.
      return {
        op,
        before: op === 'd' || all ? readBefore(bytes, before.start, before.end) : null,
        after,
        extra: carried === null || after === null ? null : carried.text(after, bytes),
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

/** Decoder of topic `cdc.public.content`. */
export function contentChangeDecoder(source: SchemaSource): FramedDecoder<RowChange<RawContent>> {
  return rowChangeDecoder(source, contentRow);
}
