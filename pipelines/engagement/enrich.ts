/**
 * engagement.enrich: a captured row becomes a signed change and the row's present state.
 *
 * Invariants:
 *  - The row store is the sum of what was emitted: for each row, Σ after − Σ before = what the store holds. A re-delivered row
 *    that says what the store holds already emits nothing.
 *  - An event is enriched with its content as of its LSN and then, if the content has moved on, corrected at once: so every row
 *    behind the walk's cursor, and every row written since, is enriched with the newest version.
 *  - A mark is emitted only when the corrections of all contents committed before it are.
 */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import { FRAME_BYTES, frame } from '../../engine/avro/framing.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { ClockReading } from '../../engine/source-clock.ts';
import type { Emit, StageProcessor, ViewStage } from '../../engine/stage.ts';
import type { VersionedRows } from '../../engine/versioned-table.ts';
import type { ViewStore } from '../../engine/view-store.ts';
import type { ChangeKind } from '../../schemas/engagement/change.ts';
import type { EngagementChange, RawEvent } from './codec/cdc.ts';
import { type ChangeParts, encodeChange } from './codec/change.ts';
import {
  type ContentPart,
  correctableEvent,
  encodeContentPart,
  encodeCorrectedEvent,
  encodeEvent,
  sameContribution,
} from './codec/event.ts';
import { encodeKey, encodeRowKey } from './codec/key.ts';
import { formatCursor, parseCursor, type WalkCursor } from './correction-cursor.ts';
import { engagementPctBp, validateEvent } from './semantics.ts';
import { CDC_EVENTS, CHANGES, DLQ, EVENTS_V1 } from './topics.ts';

/** A version of a content: its fields in Avro, and the change that made it. */
export interface ContentVersion {
  readonly part: ContentPart;
  readonly lengthSeconds: number | null;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

/** Makes a version; equal `part`s are the same content. */
export function contentVersion(
  fields: Parameters<typeof encodeContentPart>[0],
  source: { readonly xid: bigint; readonly commitTsMs: number },
): ContentVersion {
  return { part: encodeContentPart(fields), lengthSeconds: fields.lengthSeconds, ...source };
}

export interface SchemaIds {
  readonly key: number;
  readonly event: number;
  readonly change: number;
}

export interface EnrichOptions {
  readonly contents: VersionedRows<ContentVersion>;
  readonly decoder: Pick<FramedDecoder<EngagementChange>, 'decode'>;
  readonly ids: SchemaIds;
  /** `correct`: a content that changes corrects its events. `keep`: they stay as they were enriched. */
  readonly policy: 'correct' | 'keep';
}

/** Rows corrected in one piece, between batches of live events. */
const WALK_ROWS = 500;
const WALK_CONTENTS = 200;

export function enrichStage(options: EnrichOptions): ViewStage {
  return {
    kind: 'view',
    name: 'engagement.enrich',
    input: CDC_EVENTS,
    outputs: [CHANGES, EVENTS_V1],
    view: EVENTS_V1,
    dlq: DLQ,
    open: ({ store, emit, metadata }) => new Enrich(options, { store, emit, metadata }),
  };
}

interface Source {
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

class Enrich implements StageProcessor {
  readonly #options: EnrichOptions;
  readonly #store: ViewStore;
  readonly #emit: Emit;
  readonly #writer = new ByteWriter();
  #cursor: WalkCursor;
  #streamTimeMs = 0;
  #timestampMs = 0;
  /** Marks that wait for corrections: the oldest and the newest. */
  readonly #held: { readonly reading: ClockReading; readonly until: bigint }[] = [];

  constructor(
    options: EnrichOptions,
    task: { readonly store: ViewStore; readonly emit: Emit; readonly metadata: string },
  ) {
    this.#options = options;
    this.#store = task.store;
    this.#emit = task.emit;
    this.#cursor = parseCursor(task.metadata) ?? { offset: options.contents.changesEnd, after: null };
  }

  streamTimeMs(): number {
    return this.#streamTimeMs;
  }

  metadata(): string {
    return formatCursor(this.#cursor);
  }

  process(record: LogRecord): void {
    if (record.value === null) return;
    const change = this.#options.decoder.decode(record.value);
    this.#writer.reset();
    this.#timestampMs = record.timestampMs;
    if (change.op === 'd') this.#remove(change);
    else this.#upsert(change);
    if (change.commitTsMs > this.#streamTimeMs) this.#streamTimeMs = change.commitTsMs;
  }

  clock(reading: ClockReading): void {
    if (this.#held.length > 1) this.#held.pop();
    this.#held.push({ reading, until: this.#options.contents.changesEnd });
  }

  beforeCommit(): void {
    while (this.#held.length > 0) {
      const { reading, until } = this.#held[0]!;
      if (this.#options.policy === 'correct' && this.#cursor.offset < until) return;
      this.#held.shift();
      this.#writer.reset();
      this.#timestampMs = reading.timeMs;
      const source = { lsn: reading.position, xid: 0n, commitTsMs: reading.timeMs };
      this.#emitChange('mark', null, { ...source, before: null, after: null });
      if (reading.timeMs > this.#streamTimeMs) this.#streamTimeMs = reading.timeMs;
    }
  }

  /** Corrects the next rows of the next contents that changed. */
  background(): boolean {
    if (this.#options.policy === 'keep') return false;
    let rows = 0;
    let walked = 0;
    while (rows < WALK_ROWS && walked < WALK_CONTENTS) {
      const corrected = this.#walk(WALK_ROWS - rows);
      if (corrected === null) break;
      rows += corrected;
      walked++;
    }
    return walked > 0;
  }

  /** Up to `limit` rows of one content; null when there is none left to correct. */
  #walk(limit: number): number | null {
    const { contents, ids } = this.#options;
    const changed = contents.changeFrom(this.#cursor.offset);
    if (changed === undefined) return null;
    const { key: contentId, version } = changed;
    const after = this.#cursor.offset === version.offset ? this.#cursor.after : null;
    this.#writer.reset();
    const prefix = Buffer.from(contentPrefix(this.#writer, ids.key, contentId));
    const newest = contents.newest(contentId)!;
    const entries = this.#store.scan(prefix, after, limit);
    for (const { key, value } of entries) {
      this.#writer.reset();
      this.#timestampMs = newest.value.commitTsMs;
      this.#correct(key, value.subarray(FRAME_BYTES), { ...newest.value, lsn: newest.lsn });
    }
    this.#cursor =
      entries.length < limit
        ? { offset: version.offset + 1n, after: null }
        : { offset: version.offset, after: entries.at(-1)!.key };
    return entries.length;
  }

  #remove(change: EngagementChange): void {
    const row = rowOf(change, change.before);
    const key = encodeRowKey(this.#writer, this.#options.ids.key, row, change.bytes);
    const stored = this.#store.get(key);
    if (stored === undefined) return; // never counted: dead-lettered, or deleted already
    const { xid, commitTsMs } = change;
    const source = { lsn: change.lsn ?? 0n, xid, commitTsMs };
    this.#emitChange('delete', key, { ...source, before: stored.subarray(FRAME_BYTES), after: null });
    this.#store.put(key, null, this.#timestampMs);
  }

  #upsert(change: EngagementChange): void {
    const row = rowOf(change, change.after);
    validateEvent(row, change.commitTsMs);
    const { contents, policy, ids } = this.#options;
    const lsn = change.lsn ?? 0n;
    const version = contents.asOf(row.contentId, lsn);
    if (version === undefined) {
      throw new SluiceError(`Content ${row.contentId} of event ${row.id} was never seen`, {
        code: 'UNKNOWN_CONTENT',
        action: 'dead-letter',
      });
    }
    const key = encodeRowKey(this.#writer, ids.key, row, change.bytes);
    const stored = this.#store.get(key)?.subarray(FRAME_BYTES);
    const source = { lsn, xid: change.xid, commitTsMs: change.commitTsMs };
    const newest = policy === 'correct' ? contents.newest(row.contentId)! : version;
    const final = this.#encode(row, change.bytes, newest.value, source);
    if (stored !== undefined && sameContribution(stored, final)) return;
    const kind = stored === undefined ? 'insert' : 'update';
    if (newest === version) {
      this.#replace(kind, key, { ...source, before: stored ?? null, after: final });
      return;
    }
    const first = this.#encode(row, change.bytes, version.value, source);
    this.#replace(kind, key, { ...source, before: stored ?? null, after: first });
    this.#correct(key, first, { ...newest.value, lsn: newest.lsn });
  }

  #encode(
    row: RawEvent & { readonly eventTsMicros: number },
    bytes: Buffer,
    content: ContentVersion,
    { lsn, commitTsMs }: Source,
  ): Buffer {
    const pctBp = engagementPctBp(row.durationMs, content.lengthSeconds);
    this.#writer.begin();
    encodeEvent(this.#writer, { row, bytes, content: content.part, pctBp, lsn, commitTsMs });
    return this.#writer.take();
  }

  /** Gives a row another version of its content; nothing if that makes no difference. */
  #correct(key: Buffer, body: Buffer, version: ContentVersion & Source): void {
    const event = correctableEvent(body);
    const pctBp = engagementPctBp(event.durationMs, version.lengthSeconds);
    const { lsn, xid, commitTsMs, part: content } = version;
    this.#writer.begin();
    encodeCorrectedEvent(this.#writer, body, event, { content, pctBp, lsn, commitTsMs });
    const after = this.#writer.take();
    if (sameContribution(body, after)) return;
    this.#replace('correct', key, { lsn, xid, commitTsMs, before: body, after });
  }

  #replace(kind: ChangeKind, key: Buffer, change: Omit<ChangeParts, 'kind'> & { readonly after: Buffer }): void {
    this.#emitChange(kind, key, change);
    this.#store.put(key, frame(this.#writer, this.#options.ids.event, change.after), this.#timestampMs);
  }

  #emitChange(kind: ChangeKind, key: Buffer | null, change: Omit<ChangeParts, 'kind'>): void {
    const value = encodeChange(this.#writer, this.#options.ids.change, { kind, ...change });
    this.#emit(CHANGES, key, value, this.#timestampMs);
  }
}

function rowOf(change: EngagementChange, row: RawEvent | null): RawEvent {
  if (row !== null) return row;
  throw new SluiceError(`A change with operation ${change.op} and no row (is REPLICA IDENTITY FULL set?)`, {
    code: 'MISSING_FIELD',
    action: 'dead-letter',
  });
}

/** What the keys of all rows of a content begin with: a key without its last field, an id of one byte. */
function contentPrefix(writer: ByteWriter, schemaId: number, contentId: string): Buffer {
  const key = encodeKey(writer, schemaId, contentId, 0n);
  return key.subarray(0, key.length - 1);
}
