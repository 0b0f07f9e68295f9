/** Change: two events that are encoded already, spliced; read whole, or as far as the leaderboards need. */
import type { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileReader, compileWholeReader } from '../../../engine/avro/compile-reader.ts';
import { type BodyReader, FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { nullable, type Projected, record } from '../../../engine/avro/projection.ts';
import { resolveSchema, type SchemaNode } from '../../../engine/avro/resolve.ts';
import { type Change, type ChangeKind, changeSchema } from '../../../schemas/engagement/change.ts';

const schema = resolveSchema(changeSchema);

/** A symbol's index in the schema, as Avro writes it (zigzag). */
const KIND_BYTE = Object.fromEntries(
  changeSchema.fields[0].type.symbols.map((symbol, index) => [symbol, index * 2]),
) as Readonly<Record<ChangeKind, number>>;

export interface ChangeParts {
  readonly kind: ChangeKind;
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
  /** Bodies of EngagementEvent of the present schema. */
  readonly before: Buffer | null;
  readonly after: Buffer | null;
}

/** Encodes a change. The result is a view of the writer's arena. */
export function encodeChange(writer: ByteWriter, schemaId: number, change: ChangeParts): Buffer {
  beginFrame(writer, schemaId);
  writer.byte(KIND_BYTE[change.kind]);
  writer.bigLong(change.lsn);
  writer.bigLong(change.xid);
  writer.long(change.commitTsMs);
  optionalBody(writer, change.before);
  optionalBody(writer, change.after);
  return writer.take();
}

function optionalBody(writer: ByteWriter, body: Buffer | null): void {
  if (body === null) {
    writer.byte(0);
  } else {
    writer.byte(2);
    writer.copy(body, 0, body.length);
  }
}

/** Decoder of topic `engagement.changes`, every field. */
export function changeDecoder(source: SchemaSource): FramedDecoder<Change> {
  return new FramedDecoder({ source, compile: (writer) => compileWholeReader<Change>(writer, schema) });
}

const contribution = record({
  contentId: { from: 'content_id', read: 'interned' },
  eventType: { from: 'event_type', read: 'interned' },
  eventTsMicros: { from: 'event_ts', read: 'number' },
  durationMs: { from: 'duration_ms', read: nullable('number') },
  durationMsWide: { from: 'duration_ms_wide', read: nullable('number'), fallback: null },
  slug: { from: 'content_slug', read: 'interned' },
  title: { from: 'content_title', read: 'interned' },
  contentType: { from: 'content_type', read: 'interned' },
  pctBp: { from: 'engagement_pct_bp', read: nullable('number') },
});

/** What one side of a change adds to or takes from the leaderboards. */
export type LeaderboardContribution = Omit<Projected<typeof contribution>, 'durationMsWide'>;

const leaderboardChange = record({
  lsn: { from: 'lsn', read: 'bigint' },
  commitTs: { from: 'commit_ts', read: 'number' },
  before: { from: 'before', read: nullable(contribution) },
  after: { from: 'after', read: nullable(contribution) },
  kind: { from: 'kind', read: 'string' },
});

export type LeaderboardChange = Omit<Projected<typeof leaderboardChange>, 'kind' | 'before' | 'after'> & {
  readonly kind: ChangeKind;
  readonly before: LeaderboardContribution | null;
  readonly after: LeaderboardContribution | null;
};

/** One duration, whichever field holds it. */
function narrowed(side: Projected<typeof contribution> | null): LeaderboardContribution | null {
  return side === null || side.durationMsWide === null ? side : { ...side, durationMs: side.durationMsWide };
}

/** Decoder of topic `engagement.changes`, as far as the leaderboards need it. */
export function leaderboardChangeDecoder(source: SchemaSource): FramedDecoder<LeaderboardChange> {
  const compile = (writer: SchemaNode): BodyReader<LeaderboardChange> => {
    const read = compileReader(writer, leaderboardChange);
    return (bytes, start, end) => {
      const change = read(bytes, start, end);
      const { before, after } = change;
      // Hardly ever: what was read is what is passed on.
      const wide = (before?.durationMsWide ?? null) !== null || (after?.durationMsWide ?? null) !== null;
      const sides = wide ? { ...change, before: narrowed(before), after: narrowed(after) } : change;
      return sides as LeaderboardChange;
    };
  };
  return new FramedDecoder({ source, compile });
}
