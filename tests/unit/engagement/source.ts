/**
 * A small Postgres with its capture: what is done to the two tables appears in the topics of a log as Debezium would
 * write it, and is remembered in plain form for the model.
 */
import type { LogHeader } from '../../../engine/log.ts';
import { CDC_CONTENT, CDC_EVENTS } from '../../../pipelines/engagement/topics.ts';
import { operatorHeaders } from '../../../pipelines/operations/operator-record.ts';
import type { MemoryLog } from '../../support/memory-log.ts';
import { contentEnvelope, eventEnvelope, garbage } from './capture.ts';
import {
  type ContentFields,
  contentIdOf,
  type EventFields,
  type EventRow,
  type Garbage,
  type Op,
  PARTITIONS,
  partitionOf,
  type SourceBlock,
  type Step,
  UNKNOWN,
  type When,
} from './rows.ts';

const HOUR_MS = 3_600_000;

export interface ContentVersion extends SourceBlock {
  readonly fields: ContentFields;
}

/** A record of the event topic, in plain form. */
export type Captured = SourceBlock & {
  readonly offset: bigint;
  /** Written by a command: the offset of what it is a copy of. */
  readonly copyOf?: bigint;
  /** … and how far the command had looked. */
  readonly scannedTo?: bigint;
  readonly value: Buffer | null;
} & (
    | { readonly kind: 'upsert' | 'delete'; readonly row: EventRow }
    | { readonly kind: 'bad'; readonly reason: string }
    | { readonly kind: 'nothing' }
  );

/** A heartbeat, and what had been captured when it was written. */
export interface Beat {
  readonly lsn: bigint;
  readonly timeMs: number;
  /** Per partition, how many records of the event topic. */
  readonly captured: readonly number[];
  /** Per content, how many versions. */
  readonly versions: readonly number[];
}

interface Emitted {
  readonly content: number;
  readonly value: Buffer;
  readonly plain: Captured;
}

const microsOf = (iso: string): number => Date.parse(`${iso.slice(0, 23)}Z`) * 1000 + Number(iso.slice(23, 26));

export class Source {
  readonly captured: readonly Captured[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly versions: readonly ContentVersion[][];
  readonly beats: Beat[] = [];
  readonly #log: MemoryLog;
  readonly #rows = new Map<number, EventRow>();
  readonly #newest = new Map<number, Emitted>();
  #lsn = 26_738_368n;
  #xid = 700n;
  #timeMs = Date.UTC(2026, 0, 2, 3, 4, 5);
  #payload = 0;
  #contentOffset = 0;

  constructor(log: MemoryLog, contents: readonly ContentFields[]) {
    this.#log = log;
    this.versions = contents.map(() => []);
    for (const [content, fields] of contents.entries()) this.#content(content, fields, 'r');
  }

  /** Records of the content topic. */
  get contentEnd(): number {
    return this.#contentOffset;
  }

  apply({ do: step, together, waitMs }: Step): void {
    if (!together || step.op === 'heartbeat') {
      this.#xid++;
      this.#timeMs += waitMs;
      this.#lsn += 8n;
    }
    this.#do(step);
  }

  #do(step: Op): void {
    if (step.op === 'write') this.#write(step.id, step.content, step.fields);
    else if (step.op === 'touch') this.#touch(step.id);
    else if (step.op === 'delete') this.#delete(step.id);
    else if (step.op === 'edit') this.#edit(step.content, step.fields);
    else if (step.op === 'snapshot') this.#snapshot(step.id);
    else if (step.op === 'redeliver') this.#redeliver(step.id);
    else if (step.op === 'operate') this.#operate(step);
    else if (step.op === 'garbage') this.#garbage(step.content, step.kind);
    else if (step.op === 'heartbeat') this.#heartbeat();
    else step satisfies never;
  }

  #write(id: number, content: number, { when, ...fields }: EventFields): void {
    const before = this.#rows.get(id) ?? null;
    const row = { id: idOf(id), content, ...fields, ...this.#time(when), payload: ++this.#payload };
    this.#rows.set(id, row);
    if (before !== null && before.content !== content) {
      // Under the connector's message key a move is a deletion of one key and a creation of another, in one position.
      this.#emit(id, 'd', before, null);
      this.#emit(id, 'c', null, row);
    } else {
      this.#emit(id, before === null ? 'c' : 'u', before, row);
    }
  }

  #touch(id: number): void {
    const before = this.#rows.get(id);
    if (before === undefined) return;
    const row = { ...before, payload: ++this.#payload };
    this.#rows.set(id, row);
    this.#emit(id, 'u', before, row);
  }

  #delete(id: number): void {
    const before = this.#rows.get(id);
    if (before === undefined) return;
    this.#rows.delete(id);
    this.#emit(id, 'd', before, null);
  }

  #edit(content: number, fields: ContentFields): void {
    this.#lsn += 8n;
    this.#content(content, fields, 'u');
  }

  #snapshot(id: number | null): void {
    for (const [one, row] of this.#rows) if (id === null || id === one) this.#emit(one, 'r', null, row);
    if (id !== null) return;
    for (const [content, versions] of this.versions.entries()) this.#content(content, versions.at(-1)!.fields, 'r');
  }

  #redeliver(id: number): void {
    const newest = this.#newest.get(id);
    if (newest !== undefined) this.#append(newest.content, newest.value, newest.plain);
  }

  #heartbeat(): void {
    const captured = this.captured.map(({ length }) => length);
    const versions = this.versions.map(({ length }) => length);
    this.beats.push({ lsn: this.#lsn, timeMs: this.#timeMs, captured, versions });
    this.#lsn += 8n;
  }

  #time(when: When): Pick<EventRow, 'eventTs' | 'eventMicros'> {
    if (when.at === 'year') {
      const eventTs = when.text === 'infinity' ? when.text : `${when.text}-01-01T00:00:00.000000Z`;
      return { eventTs: when.text === '10000' ? `+${eventTs}` : eventTs, eventMicros: null };
    }
    const ms = this.#timeMs + (when.at === 'before' ? -when.ms : when.ms);
    const eventTs = `${new Date(ms).toISOString().slice(0, 23)}${String(this.#payload % 1000).padStart(3, '0')}Z`;
    return { eventTs, eventMicros: microsOf(eventTs) };
  }

  #emit(id: number, op: 'c' | 'u' | 'd' | 'r', before: EventRow | null, after: EventRow | null): void {
    const row = (after ?? before)!;
    const block = this.#block(op);
    const value = eventEnvelope(before, after, op, block);
    const plain: Captured = { ...block, offset: 0n, value, kind: after === null ? 'delete' : 'upsert', row };
    this.#append(row.content, value, plain);
    this.#newest.set(id, { content: row.content, value, plain });
  }

  #operate({ id, back, seen }: Extract<Op, { readonly op: 'operate' }>): void {
    const all = this.captured.flatMap((records, partition) =>
      records.flatMap((record) =>
        'row' in record && record.row.id === idOf(id) && record.copyOf === undefined ? [{ partition, record }] : [],
      ),
    );
    const found = all[all.length - 1 - (back % all.length)];
    if (found === undefined) return;
    const { partition, record } = found;
    const end = BigInt(this.captured[partition]!.length);
    const later = laterChange(this.captured[partition]!, record)?.offset ?? end;
    // A command does not write what it has seen to be superseded.
    const scannedTo = record.offset + 1n + (BigInt(seen) % (later - record.offset));
    const operator = { origin: 'redrive', runId: 'run', scannedTo, force: false } as const;
    const copy = { ...record, copyOf: record.offset, scannedTo };
    this.#append(rowOf(record).content, record.value, copy, operatorHeaders(operator));
  }

  #append(content: number, value: Buffer | null, plain: Captured, headers?: readonly LogHeader[]): void {
    const partition = partitionOf(content);
    const offset = this.#log.append(CDC_EVENTS, partition, {
      key: keyOf(plain),
      value,
      timestampMs: plain.commitTsMs,
      headers,
    });
    this.captured[partition]!.push({ ...plain, offset });
  }

  #garbage(content: number, kind: Garbage): void {
    const block = this.#block('c');
    const { reason, value } = garbage(kind, content, block);
    const offset = 0n;
    this.#append(content, value, {
      ...block,
      offset,
      value,
      ...(reason === null ? { kind: 'nothing' } : { kind: 'bad', reason }),
    });
  }

  #content(content: number, fields: ContentFields, op: 'u' | 'r'): void {
    const block = this.#block(op);
    const value = contentEnvelope({ id: contentIdOf(content), ...fields }, op, block);
    this.#log.append(CDC_CONTENT, 0, { value, timestampMs: this.#timeMs });
    this.#contentOffset++;
    this.versions[content]!.push({ ...block, fields });
  }

  #block(op: string): SourceBlock {
    return { lsn: this.#lsn, xid: op === 'r' ? 0n : this.#xid, commitTsMs: this.#timeMs };
  }
}

/** The next change of a record's row, by the capture itself. */
export function laterChange(records: readonly Captured[], of: Captured): Captured | undefined {
  const { id, content } = rowOf(of);
  const position = of.copyOf ?? of.offset;
  return records.find((one) => {
    if (one.offset <= position || one.copyOf !== undefined || !('row' in one)) return false;
    return one.row.id === id && one.row.content === content;
  });
}

function rowOf(record: Captured): EventRow {
  if ('row' in record) return record.row;
  throw new Error('no row');
}

function keyOf(record: Captured): Buffer | null {
  return 'row' in record ? Buffer.from(`${record.row.content}/${record.row.id}`) : null;
}

/** Ids beyond 2^53 among them. */
function idOf(id: number): bigint {
  return id % 2 === 0 ? BigInt(id) : 2n ** 60n + BigInt(id);
}

/** Why a row cannot be counted, or null. */
export function reasonOf(row: EventRow, commitTsMs: number): string | null {
  if (row.durationMs !== null && row.durationMs < 0) return 'NEGATIVE_DURATION';
  if (row.durationMs !== null && row.durationMs > 365 * 86_400_000) return 'DURATION_OUT_OF_RANGE';
  if (row.eventMicros === null) return 'TIMESTAMP_OUT_OF_RANGE';
  if (row.eventMicros > (commitTsMs + 24 * HOUR_MS) * 1000) return 'FUTURE_EVENT';
  return row.content === UNKNOWN ? 'UNKNOWN_CONTENT' : null;
}
