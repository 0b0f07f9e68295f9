/**
 * engagement.enrich: a captured row becomes a signed change and the row's present state.
 *
 * Invariants:
 *  - The row store is the sum of what was emitted: for each row, Σ after − Σ before = what the store holds. A re-delivered row
 *    that says what the store holds already emits nothing.
 *  - An event is enriched with its content as of its LSN and then, if the content has moved on, corrected at once, version by
 *    version (content-path.ts): so every row behind the walk's cursor, and every row written since, has the newest one.
 *  - A mark is emitted only when the corrections of all contents committed before it are.
 *  - What a command wrote (operations/operator-record.ts) never undoes a later change of its row.
 */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import { frame } from '../../engine/avro/framing.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { ClockReading } from '../../engine/source-clock.ts';
import type { Emit, StageProcessor, ViewStage } from '../../engine/stage.ts';
import type { VersionedRows } from '../../engine/versioned-table.ts';
import type { ViewStore } from '../../engine/view-store.ts';
import type { ChangeKind } from '../../schemas/engagement/change.ts';
import { isSuperseded, type OperatorGuard } from '../operations/operator-guard.ts';
import { operatorRecord } from '../operations/operator-record.ts';
import type { EngagementChange, RawEvent } from './codec/cdc.ts';
import { type ChangeParts, encodeChange } from './codec/change.ts';
import {
  correctableEvent,
  durationOf,
  encodeContentPart,
  encodeCorrectedEvent,
  encodeEvent,
  sameContribution,
} from './codec/event.ts';
import { encodeKey, encodeRowKey } from './codec/key.ts';
import { type ContentVersion, type ContentVersions, nextVersion, versionOf } from './content-path.ts';
import { formatProgress, parseProgress, type WalkCursor } from './correction-cursor.ts';
import { engagementPctBp, validateEvent } from './semantics.ts';
import { CDC_EVENTS, CHANGES, DLQ, EVENTS_V1 } from './topics.ts';

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
  /** Rows of the store as bodies of the present schema, whatever version wrote them. */
  readonly bodies: Pick<FramedDecoder<Buffer>, 'decode'>;
  readonly ids: SchemaIds;
  /** Prepared with every batch. */
  readonly operators: Pick<OperatorGuard, 'verdict'>;
  /** `correct`: a content that changes corrects its events. `keep`: they stay as they were enriched. */
  readonly policy: 'correct' | 'keep';
  /** Rows corrected in one piece, between batches of live events. */
  readonly walkRows?: number;
}

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
    open: (task) => new Enrich(options, task),
  };
}

interface Source {
  readonly lsn: bigint;
  readonly xid: bigint;
  readonly commitTsMs: number;
}

class Enrich implements StageProcessor {
  readonly #options: EnrichOptions;
  readonly #partition: number;
  readonly #store: ViewStore;
  readonly #emit: Emit;
  readonly #writer = new ByteWriter();
  #cursor: WalkCursor;
  #streamTimeMs = 0;
  #timestampMs = 0;
  /** Marks that wait for corrections: the oldest and the newest. */
  readonly #held: { readonly reading: ClockReading; readonly until: bigint }[] = [];
  /** Position of the newest mark. */
  #marked: bigint;

  constructor(
    options: EnrichOptions,
    task: {
      readonly partition: number;
      readonly store: ViewStore;
      readonly emit: Emit;
      readonly metadata: string;
    },
  ) {
    this.#options = options;
    this.#partition = task.partition;
    this.#store = task.store;
    this.#emit = task.emit;
    const progress = parseProgress(task.metadata);
    this.#cursor = progress?.cursor ?? firstCursor(options.contents, task.store);
    this.#marked = progress?.mark ?? 0n;
  }

  streamTimeMs(): number {
    return this.#streamTimeMs;
  }

  metadata(): string {
    return formatProgress({ cursor: this.#cursor, mark: this.#marked });
  }

  process(record: LogRecord): void {
    if (record.value === null) return;
    const operator = operatorRecord(record);
    if (operator !== null && isSuperseded(this.#options.operators, this.#partition, record, operator)) return;
    const change = this.#options.decoder.decode(record.value);
    const force = operator?.force === true;
    this.#writer.reset();
    this.#timestampMs = record.timestampMs;
    if (change.op === 'd') this.#remove(change, force);
    else this.#upsert(change, force);
    if (change.commitTsMs > this.#streamTimeMs) this.#streamTimeMs = change.commitTsMs;
  }

  clock(reading: ClockReading): void {
    // A clock that has just been started tells readings that a predecessor has told already.
    const newest = this.#held.at(-1)?.reading.position ?? this.#marked;
    if (reading.position <= newest) return;
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
      this.#marked = reading.position;
      if (reading.timeMs > this.#streamTimeMs) this.#streamTimeMs = reading.timeMs;
    }
  }

  /** Corrects the next rows of the next contents that changed. */
  background(): boolean {
    if (this.#options.policy === 'keep') return false;
    const { walkRows = WALK_ROWS } = this.#options;
    let rows = 0;
    let walked = 0;
    while (rows < walkRows && walked < WALK_CONTENTS) {
      const corrected = this.#walk(walkRows - rows);
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
    const versions = contents.versionsOf(contentId);
    const to = versions.indexOf(version);
    const entries = this.#store.scan(prefix, after, limit);
    for (const { key } of entries) {
      this.#writer.reset();
      this.#timestampMs = version.value.commitTsMs;
      // Not the scanned value: a content that changed twice is walked twice in one piece, and the scan sees only what is committed.
      const body = this.#stored(key)!;
      const from = versionOf(versions, body, correctableEvent(body));
      if (from < to) this.#move(key, body, versions, { from, to });
    }
    this.#cursor =
      entries.length < limit
        ? { offset: version.offset + 1n, after: null }
        : { offset: version.offset, after: entries.at(-1)!.key };
    return entries.length;
  }

  #remove(change: EngagementChange, force: boolean): void {
    const row = rowOf(change, change.before);
    const key = encodeRowKey(this.#writer, this.#options.ids.key, row, change.bytes);
    if (force) this.#store.put(key, null, this.#timestampMs);
    else this.#takeOff(change, key, row);
  }

  /** The row counts no more. Nothing if it never did, or not since it was dead-lettered or deleted. */
  #takeOff(change: EngagementChange, key: Buffer, { contentId }: RawEvent): void {
    const stored = this.#stored(key);
    if (stored === undefined) return;
    const source = sourceOf(change);
    const before = this.#asOf(key, stored, contentId, source);
    this.#emitChange('delete', key, { ...source, before, after: null });
    this.#store.put(key, null, this.#timestampMs);
  }

  #upsert(change: EngagementChange, force: boolean): void {
    const { contents, policy, ids } = this.#options;
    const row = rowOf(change, change.after);
    const key = encodeRowKey(this.#writer, ids.key, row, change.bytes);
    const source = sourceOf(change);
    const versions = contents.versionsOf(row.contentId);
    try {
      validateEvent(row, change.commitTsMs);
      if (versions.length === 0) throw unknownContent(row);
    } catch (error) {
      // A row that has gone bad: what it was when it was good is in Postgres no more, so it may not count on.
      this.#takeOff(change, key, row);
      throw error;
    }
    const from = versions.indexOf(contents.asOf(row.contentId, source.lsn)!);
    const to = policy === 'correct' ? versions.length - 1 : from;
    const stored = this.#stored(key);
    const first = this.#encode(row, change, versions[from]!.value, source);
    if (stored !== undefined && sameRow(stored, first)) {
      if (force) this.#store.put(key, frame(this.#writer, ids.event, stored), this.#timestampMs);
      // Delivered again: the row has not changed, at most its content has.
      if (policy === 'keep') return;
      this.#move(key, stored, versions, { from: versionOf(versions, stored, correctableEvent(stored)), to });
      return;
    }
    if (force) {
      // The log says so already: what others read of it was lost, and this store with it, which is restored from there.
      this.#store.put(key, frame(this.#writer, ids.event, first), this.#timestampMs);
      this.#move(key, first, versions, { from, to });
      return;
    }
    const before = stored === undefined ? null : this.#asOf(key, stored, row.contentId, source);
    this.#replace(before === null ? 'insert' : 'update', key, { ...source, before, after: first });
    this.#move(key, first, versions, { from, to });
  }

  /** The body of the row in the store, in the present schema; a view that is valid until the store is asked again. */
  #stored(key: Buffer): Buffer | undefined {
    const value = this.#store.get(key);
    return value === undefined ? undefined : this.#options.bodies.decode(value);
  }

  #encode(
    row: RawEvent & { readonly eventTsMicros: number },
    { bytes, extra }: EngagementChange,
    content: ContentVersion,
    { lsn, commitTsMs }: Source,
  ): Buffer {
    const pctBp = engagementPctBp(row.durationMs, content.lengthSeconds);
    this.#writer.begin();
    encodeEvent(this.#writer, { row, bytes, extra, content: content.part, pctBp, lsn, commitTsMs });
    return this.#writer.take();
  }

  /** The row with its content as of a position: the change at that position is to cross no version. */
  #asOf(key: Buffer, body: Buffer, contentId: string, { lsn }: Source): Buffer {
    const { contents, policy } = this.#options;
    const versions = contents.versionsOf(contentId);
    if (policy === 'keep' || versions.length < 2) return body;
    const from = versionOf(versions, body, correctableEvent(body));
    return this.#move(key, body, versions, { from, to: versions.indexOf(contents.asOf(contentId, lsn)!) });
  }

  /** Gives a row another version of its content, over all between them. Returns what it is then. */
  #move(key: Buffer, body: Buffer, versions: ContentVersions, { from, to }: { from: number; to: number }): Buffer {
    let moved = body;
    for (let at = from; at !== to; ) {
      const { next, crossed } = nextVersion(versions, { from: at, to });
      const { lsn, value } = versions[crossed]!;
      moved = this.#correct(key, moved, versions[next]!.value, { lsn, xid: value.xid, commitTsMs: value.commitTsMs });
      at = next;
    }
    return moved;
  }

  #correct(key: Buffer, before: Buffer, content: ContentVersion, source: Source): Buffer {
    const event = correctableEvent(before);
    const pctBp = engagementPctBp(durationOf(event), content.lengthSeconds);
    const { lsn, commitTsMs } = source;
    this.#writer.begin();
    encodeCorrectedEvent(this.#writer, before, event, { content: content.part, pctBp, lsn, commitTsMs });
    const after = this.#writer.take();
    if (sameContribution(before, after)) return before;
    this.#replace('correct', key, { ...source, before, after });
    return after;
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

function unknownContent({ id, contentId }: RawEvent): SluiceError {
  return new SluiceError(`Content ${contentId} of event ${id} was never seen`, {
    code: 'UNKNOWN_CONTENT',
    action: 'dead-letter',
  });
}

function rowOf(change: EngagementChange, row: RawEvent | null): RawEvent {
  if (row !== null) return row;
  throw new SluiceError(`A change with operation ${change.op} and no row (is REPLICA IDENTITY FULL set?)`, {
    code: 'MISSING_FIELD',
    action: 'dead-letter',
  });
}

/**
 * Where the walk begins without a cursor. New rows are enriched with the newest version anyhow; rows that are there already (the group's
 * offset has expired or was reset by hand) may have been enriched with any, so all changes are walked again.
 */
function firstCursor(contents: VersionedRows<ContentVersion>, store: ViewStore): WalkCursor {
  const [row] = store.scan(Buffer.alloc(0), null, 1);
  return { offset: row === undefined ? contents.changesEnd : 0n, after: null };
}

function sourceOf({ lsn, xid, commitTsMs }: EngagementChange): Source {
  return { lsn: lsn ?? 0n, xid, commitTsMs };
}

/** Whether two events' bodies are of the same row unchanged, whatever their contents: all in front of `content_slug`. */
function sameRow(a: Buffer, b: Buffer): boolean {
  const length = correctableEvent(a).slugAt.start;
  return b.length >= length && a.compare(b, 0, length, 0, length) === 0;
}

/** What the keys of all rows of a content begin with: a key without its last field, an id of one byte. */
function contentPrefix(writer: ByteWriter, schemaId: number, contentId: string): Buffer {
  const key = encodeKey(writer, schemaId, contentId, 0n);
  return key.subarray(0, key.length - 1);
}
