/**
 * engagement.enrich: a captured row becomes a signed change and the row's present state.
 *
 * Invariants:
 *  - The row store is the sum of what was emitted (enrich/rows.ts). A re-delivered row that says what the store holds already emits
 *    nothing.
 *  - An event is enriched with its content as of its LSN and then, if the content has moved on, corrected at once, version by
 *    version (content-path.ts): so every row behind the walk's cursor, and every row written since, has the newest one.
 *  - A mark is emitted only when the corrections of all contents committed before it are.
 *  - What a command wrote (operations/operator-record.ts) never undoes a later change of its row.
 *  - Rows of another edition of the logic are made anew by a pass over the whole store (enrich/revision-walk.ts).
 */
import type { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { ClockReading } from '../../engine/source-clock.ts';
import type { Emit, StageProcessor, ViewStage } from '../../engine/stage.ts';
import type { VersionedRows } from '../../engine/versioned-table.ts';
import type { ViewStore } from '../../engine/view-store.ts';
import { isSuperseded, type OperatorGuard } from '../operations/operator-guard.ts';
import { operatorRecord } from '../operations/operator-record.ts';
import type { EngagementChange, RawEvent } from './codec/cdc.ts';
import { correctableEvent, encodeContentPart } from './codec/event.ts';
import { encodeKey, encodeRowKey } from './codec/key.ts';
import { type ContentVersion, versionOf } from './content-path.ts';
import { ROW_ORDER, topicKeyOf } from './enrich/order.ts';
import { formatProgress, type MarkAt, parseProgress, type WalkCursor } from './enrich/progress.ts';
import { RevisionWalk } from './enrich/revision-walk.ts';
import { EnrichedRows, type RowsOptions, type SourceAt } from './enrich/rows.ts';
import { type Edition, ENRICHMENT } from './enrichment-deployment.ts';
import { validateEvent } from './semantics.ts';
import { CDC_EVENTS, CHANGES, DLQ, EVENTS_V1 } from './topics.ts';

/** Makes a version; equal `part`s are the same content. */
export function contentVersion(
  fields: Parameters<typeof encodeContentPart>[0],
  source: { readonly xid: bigint; readonly commitTsMs: number },
): ContentVersion {
  return { part: encodeContentPart(fields), lengthSeconds: fields.lengthSeconds, ...source };
}

export interface EnrichOptions extends RowsOptions {
  readonly decoder: Pick<FramedDecoder<EngagementChange>, 'decode'>;
  /** Prepared with every batch. */
  readonly operators: Pick<OperatorGuard, 'verdict'>;
  /** What `rules` and this code are together. */
  readonly edition: Edition;
  /** Rows of the store looked at in one piece of a walk, between batches of live events. */
  readonly walkRows?: number;
}

const WALK_ROWS = 500;
const WALK_CONTENTS = 200;

export function enrichStage(options: EnrichOptions): ViewStage {
  return {
    kind: 'view',
    name: ENRICHMENT,
    input: CDC_EVENTS,
    outputs: [CHANGES, EVENTS_V1],
    view: EVENTS_V1,
    order: ROW_ORDER,
    dlq: DLQ,
    open: (task) => new Enrich(options, task),
  };
}

class Enrich implements StageProcessor {
  readonly #options: EnrichOptions;
  readonly #partition: number;
  readonly #store: ViewStore;
  readonly #rows: EnrichedRows;
  readonly #revision: RevisionWalk;
  #cursor: WalkCursor;
  #streamTimeMs = 0;
  /** Marks that wait for corrections: the oldest and the newest. */
  readonly #held: { readonly reading: ClockReading; readonly until: bigint }[] = [];
  /** The newest mark. */
  #marked: MarkAt;

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
    this.#rows = new EnrichedRows(options, task.store, task.emit);
    const progress = parseProgress(task.metadata);
    this.#cursor = progress?.cursor ?? firstCursor(options.contents, task.store);
    this.#marked = progress?.mark ?? { lsn: 0n, timeMs: 0 };
    this.#revision = new RevisionWalk(task.store, options.edition, progress?.revision ?? null);
  }

  streamTimeMs(): number {
    return this.#streamTimeMs;
  }

  metadata(): string {
    return formatProgress({ cursor: this.#cursor, mark: this.#marked, revision: this.#revision.progress });
  }

  process(record: LogRecord): void {
    if (record.value === null) return;
    const operator = operatorRecord(record);
    if (operator !== null && isSuperseded(this.#options.operators, this.#partition, record, operator)) return;
    const change = this.#options.decoder.decode(record.value);
    const force = operator?.force === true;
    this.#rows.begin(record.timestampMs);
    if (change.op === 'd') this.#remove(change, force);
    else this.#upsert(change, force);
    if (change.commitTsMs > this.#streamTimeMs) this.#streamTimeMs = change.commitTsMs;
  }

  clock(reading: ClockReading): void {
    // A clock that has just been started tells readings that a predecessor has told already.
    const newest = this.#held.at(-1)?.reading.position ?? this.#marked.lsn;
    if (reading.position <= newest) return;
    if (this.#held.length > 1) this.#held.pop();
    this.#held.push({ reading, until: this.#options.contents.changesEnd });
  }

  beforeCommit(): void {
    while (this.#held.length > 0) {
      const { reading, until } = this.#held[0]!;
      if (this.#options.policy === 'correct' && this.#cursor.offset < until) return;
      this.#held.shift();
      this.#rows.begin(reading.timeMs);
      const source = { lsn: reading.position, xid: 0n, commitTsMs: reading.timeMs };
      this.#rows.tell('mark', null, { ...source, before: null, after: null });
      this.#marked = { lsn: reading.position, timeMs: reading.timeMs };
      if (reading.timeMs > this.#streamTimeMs) this.#streamTimeMs = reading.timeMs;
    }
  }

  /** Corrects the next rows of the next contents that changed, and makes the next rows of older logic anew. */
  background(): boolean {
    const corrected = this.#options.policy === 'correct' && this.#correctNext();
    return this.#reviseNext() || corrected;
  }

  #correctNext(): boolean {
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

  /** These changes stand at the newest mark: readers of the log count on it that times in it are about the time of the log. */
  #reviseNext(): boolean {
    const { walkRows = WALK_ROWS } = this.#options;
    const mark = this.#marked;
    if (mark.timeMs === 0) return false;
    return this.#revision.piece(walkRows, (key) => {
      this.#rows.begin(mark.timeMs);
      this.#rows.revise(key, mark);
    });
  }

  /** Up to `limit` rows of one content; null when there is none left to correct. */
  #walk(limit: number): number | null {
    const { contents, ids } = this.#options;
    const changed = contents.changeFrom(this.#cursor.offset);
    if (changed === undefined) return null;
    const { key: contentId, version } = changed;
    const after = this.#cursor.offset === version.offset ? this.#cursor.after : null;
    this.#rows.begin(version.value.commitTsMs);
    const prefix = Buffer.from(contentPrefix(this.#rows.writer, ids.key, contentId));
    const versions = contents.versionsOf(contentId);
    const to = versions.indexOf(version);
    const entries = this.#store.scan(prefix, after, limit);
    for (const entry of entries) {
      const key = topicKeyOf(entry.key);
      this.#rows.begin(version.value.commitTsMs);
      // Not the scanned value: a content that changed twice is walked twice in one piece, and the scan sees only what is committed.
      const body = this.#rows.stored(key)!;
      const from = versionOf(versions, body, correctableEvent(body));
      if (from < to) this.#rows.move(key, body, versions, { from, to });
    }
    this.#cursor =
      entries.length < limit
        ? { offset: version.offset + 1n, after: null }
        : { offset: version.offset, after: entries.at(-1)!.key };
    return entries.length;
  }

  #remove(change: EngagementChange, force: boolean): void {
    const row = rowOf(change, change.before);
    const key = encodeRowKey(this.#rows.writer, this.#options.ids.key, row, change.bytes);
    if (force) this.#rows.put(key, null);
    else this.#takeOff(change, key, row);
  }

  /** The row counts no more. Nothing if it never did, or not since it was dead-lettered or deleted. */
  #takeOff(change: EngagementChange, key: Buffer, { contentId }: RawEvent): void {
    const stored = this.#rows.stored(key);
    if (stored === undefined) return;
    const source = sourceOf(change);
    const before = this.#rows.asOf(key, stored, contentId, source);
    this.#rows.tell('delete', key, { ...source, before, after: null });
    this.#rows.put(key, null);
  }

  #upsert(change: EngagementChange, force: boolean): void {
    const { contents, policy, ids } = this.#options;
    const rows = this.#rows;
    const row = rowOf(change, change.after);
    const key = encodeRowKey(rows.writer, ids.key, row, change.bytes);
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
    const stored = rows.stored(key);
    const first = rows.encode(row, change, versions[from]!.value, source);
    if (stored !== undefined && sameRow(stored, first)) {
      if (force) rows.put(key, stored);
      // Delivered again: the row has not changed, at most its content has.
      if (policy === 'keep') return;
      rows.move(key, stored, versions, { from: versionOf(versions, stored, correctableEvent(stored)), to });
      return;
    }
    if (force) {
      // The log says so already: what others read of it was lost, and this store with it, which is restored from there.
      rows.put(key, first);
      rows.move(key, first, versions, { from, to });
      return;
    }
    const before = stored === undefined ? null : rows.asOf(key, stored, row.contentId, source);
    rows.replace(before === null ? 'insert' : 'update', key, { ...source, before, after: first });
    rows.move(key, first, versions, { from, to });
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

function sourceOf({ lsn, xid, commitTsMs }: EngagementChange): SourceAt {
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
