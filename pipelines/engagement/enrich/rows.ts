/**
 * The rows of the stage's store, and the signed changes by which they become others.
 *
 * Invariant: the store is the sum of what was emitted: for each row, Σ after − Σ before = what the store holds.
 */
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import { frame } from '../../../engine/avro/framing.ts';
import type { Emit } from '../../../engine/stage.ts';
import type { VersionedRows } from '../../../engine/versioned-table.ts';
import type { ViewStore } from '../../../engine/view-store.ts';
import type { ChangeKind } from '../../../schemas/engagement/change.ts';
import type { EngagementChange, RawEvent } from '../codec/cdc.ts';
import { type ChangeParts, encodeChange } from '../codec/change.ts';
import {
  correctableEvent,
  durationOf,
  encodeCorrectedEvent,
  encodeEvent,
  encodeRevisedEvent,
  sameContribution,
  sourceLsn,
} from '../codec/event.ts';
import { type ContentVersion, type ContentVersions, nextVersion, versionOf } from '../content-path.ts';
import { type EnrichmentRules, engagementPctBp } from '../semantics.ts';
import { CHANGES } from '../topics.ts';
import type { MarkAt } from './progress.ts';

export interface SchemaIds {
  readonly key: number;
  readonly event: number;
  readonly change: number;
}

export interface RowsOptions {
  readonly contents: VersionedRows<ContentVersion>;
  /** Rows of the store as bodies of the present schema, whatever version wrote them. */
  readonly bodies: Pick<FramedDecoder<Buffer>, 'decode'>;
  readonly ids: SchemaIds;
  readonly rules: EnrichmentRules;
  /** `correct`: a content that changes corrects its events. `keep`: they stay as they were enriched. */
  readonly policy: 'correct' | 'keep';
}

/** Where a change of the source stands. */
export interface SourceAt {
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

export class EnrichedRows {
  /** Its bytes are valid until `begin`. */
  readonly writer = new ByteWriter();
  readonly #options: RowsOptions;
  readonly #store: ViewStore;
  readonly #emit: Emit;
  #timestampMs = 0;

  constructor(options: RowsOptions, store: ViewStore, emit: Emit) {
    this.#options = options;
    this.#store = store;
    this.#emit = emit;
  }

  /** Before each row; the time is that of the records that will be written. */
  begin(timestampMs: number): void {
    this.writer.reset();
    this.#timestampMs = timestampMs;
  }

  /** The body of a row in the store, in the present schema; a view that is valid until the store is asked again. */
  stored(key: Buffer): Buffer | undefined {
    const value = this.#store.get(key);
    return value === undefined ? undefined : this.#options.bodies.decode(value);
  }

  encode(
    row: RawEvent & { readonly eventTsMicros: number },
    { bytes, extra }: EngagementChange,
    content: ContentVersion,
    { lsn, commitTsMs }: SourceAt,
  ): Buffer {
    const pctBp = engagementPctBp(row.durationMs, content.lengthSeconds, this.#options.rules);
    this.writer.begin();
    encodeEvent(this.writer, { row, bytes, extra, content: content.part, pctBp, lsn, commitTsMs });
    return this.writer.take();
  }

  /** The row with its content as of a position: the change at that position is to cross no version. */
  asOf(key: Buffer, body: Buffer, contentId: string, { lsn }: SourceAt): Buffer {
    const { contents, policy } = this.#options;
    const versions = contents.versionsOf(contentId);
    if (policy === 'keep' || versions.length < 2) return body;
    const from = versionOf(versions, body, correctableEvent(body));
    return this.move(key, body, versions, { from, to: versions.indexOf(contents.asOf(contentId, lsn)!) });
  }

  /** Gives a row another version of its content, over all between them. Returns what it is then. */
  move(key: Buffer, body: Buffer, versions: ContentVersions, { from, to }: { from: number; to: number }): Buffer {
    let moved = body;
    for (let at = from; at !== to; ) {
      const { next, crossed } = nextVersion(versions, { from: at, to });
      const { lsn, value } = versions[crossed]!;
      moved = this.#correct(key, moved, versions[next]!.value, { lsn, xid: value.xid, commitTsMs: value.commitTsMs });
      at = next;
    }
    return moved;
  }

  /** Makes a row of the store what the present logic makes of it and of the version of its content that it has. */
  revise(key: Buffer, mark: MarkAt): void {
    const { contents, policy } = this.#options;
    const body = this.stored(key);
    if (body === undefined) return;
    const event = correctableEvent(body);
    const versions = contents.versionsOf(event.contentId);
    if (versions.length === 0) return;
    const at = versionOf(versions, body, event);
    if (at < 0) {
      // Of no version as they are read now: what is read of a content has changed.
      const asOf = () => versions.indexOf(contents.asOf(event.contentId, sourceLsn(body))!);
      this.move(key, body, versions, { from: at, to: policy === 'correct' ? versions.length - 1 : asOf() });
      return;
    }
    const { part, lengthSeconds } = versions[at]!.value;
    const pctBp = engagementPctBp(durationOf(event), lengthSeconds, this.#options.rules);
    this.writer.begin();
    encodeRevisedEvent(this.writer, body, event, { content: part, pctBp });
    const after = this.writer.take();
    if (sameContribution(body, after)) return;
    // No transaction of the source says so: it holds as of all of them.
    this.replace('correct', key, { lsn: mark.lsn, xid: 0n, commitTsMs: mark.timeMs, before: body, after });
  }

  replace(kind: ChangeKind, key: Buffer, change: Omit<ChangeParts, 'kind'> & { readonly after: Buffer }): void {
    this.tell(kind, key, change);
    this.put(key, change.after);
  }

  /** The row is what the body says, or is gone, without a change. */
  put(key: Buffer, body: Buffer | null): void {
    const value = body === null ? null : frame(this.writer, this.#options.ids.event, body);
    this.#store.put(key, value, this.#timestampMs);
  }

  /** Emits a change. */
  tell(kind: ChangeKind, key: Buffer | null, change: Omit<ChangeParts, 'kind'>): void {
    const value = encodeChange(this.writer, this.#options.ids.change, { kind, ...change });
    this.#emit(CHANGES, key, value, this.#timestampMs);
  }

  #correct(key: Buffer, before: Buffer, content: ContentVersion, source: SourceAt): Buffer {
    const event = correctableEvent(before);
    const pctBp = engagementPctBp(durationOf(event), content.lengthSeconds, this.#options.rules);
    const { lsn, commitTsMs } = source;
    this.writer.begin();
    encodeCorrectedEvent(this.writer, before, event, { content: content.part, pctBp, lsn, commitTsMs });
    const after = this.writer.take();
    if (sameContribution(before, after)) return before;
    this.replace('correct', key, { ...source, before, after });
    return after;
  }
}
