/** Plain targets for tests of the sink task: each keeps what it was given and says what the engine did wrong. */
import { SluiceError } from '../../../engine/errors.ts';
import type { Sink, SinkBatch, SinkPosition, SinkRecord } from '../../../engine/sink.ts';

/** What becomes of one call of `write`: it fails before, half-way or behind, or the target has lost its data. */
export type Accident = 'before' | 'half' | 'after' | 'lose' | null;

/** Refused with the whole batch, as only the target can know. */
export const REFUSED = 'refused';
/** Refused by the sink itself, before it comes in a batch. */
export const IMPOSSIBLE = 'impossible';

export interface Row {
  readonly offset: bigint;
  readonly key: string;
  /** null is a tombstone. */
  readonly value: string | null;
}

export const rowOf = (record: SinkRecord<string>): Row => ({
  offset: record.offset,
  key: Buffer.from(record.key ?? []).toString(),
  value: record.kind === 'upsert' ? record.value : null,
});

const crash = () => new SluiceError('the target is away', { code: 'TARGET_AWAY', action: 'retry' });

export abstract class TestTarget implements Sink<string> {
  readonly name = 'sink';
  abstract readonly delivery: 'pending-range' | 'target';
  /** What the engine must never do. */
  readonly violations: string[] = [];
  accident: () => Accident = () => null;
  /** Calls of `write`, refused ones included. */
  writes = 0;
  /** Up to where the target has seen everything. */
  reached = 0n;

  abstract position(): Promise<SinkPosition>;
  abstract write(batch: SinkBatch<string>, options: { readonly retry: boolean }): Promise<'written' | 'stale' | 'lost'>;

  async connect(): Promise<void> {}
  async close(): Promise<void> {}

  protected refuse({ records }: SinkBatch<string>): void {
    this.writes++;
    if (!records.some((record) => record.kind === 'upsert' && record.value === REFUSED)) return;
    throw new SluiceError('a row is refused', { code: 'ROW_REFUSED', action: 'dead-letter' });
  }

  check(record: SinkRecord<string>): void {
    if (record.kind !== 'upsert' || record.value !== IMPOSSIBLE) return;
    throw new SluiceError('never', { code: 'ROW_IMPOSSIBLE', action: 'dead-letter' });
  }

  protected verify({ records, from, to }: SinkBatch<string>): void {
    const offsets = records.map(({ offset }) => offset);
    if (offsets.some((offset) => offset < from || offset >= to)) this.violations.push(`records outside ${from}-${to}`);
    if (offsets.some((offset, i) => i > 0 && offset <= offsets[i - 1]!)) this.violations.push('records out of order');
  }
}

/** Knows a batch by its range alone, and appends: only the very same range may come again. */
export class RangeTarget extends TestTarget {
  readonly delivery = 'pending-range';
  readonly rows: Row[] = [];
  readonly #ranges = new Map<
    string,
    { readonly from: bigint; readonly to: bigint; content: string; written: number }
  >();

  async position(): Promise<SinkPosition> {
    return { kind: 'committed' };
  }

  async write(batch: SinkBatch<string>): Promise<'written'> {
    this.verify(batch);
    this.refuse(batch);
    const accident = this.accident();
    if (accident === 'before') throw crash();
    const { from, to, generation } = batch;
    const rows = batch.records.map(rowOf);
    const content = rows.map(({ offset, value }) => `${offset}=${value}`).join();
    const token = `${generation}:${from}-${to}`;
    for (const [name, range] of this.#ranges) {
      if (name !== token && range.from < to && from < range.to) this.violations.push(`${token} overlaps ${name}`);
    }
    const range = this.#ranges.get(token) ?? { from, to, content, written: 0 };
    if (range.content !== content) this.violations.push(`${token} came with other records`);
    this.#ranges.set(token, range);
    const end = accident === 'half' ? Math.ceil(rows.length / 2) : rows.length;
    this.rows.push(...rows.slice(range.written, end));
    range.written = Math.max(range.written, end);
    if (accident === 'half' || accident === 'after') throw crash();
    this.reached = to;
    return 'written';
  }
}

/** Keeps the position in its own transaction, as the mirror does, and appends. */
export class OffsetTarget extends TestTarget {
  readonly delivery = 'target';
  readonly rows: Row[] = [];

  async position(): Promise<SinkPosition> {
    return { kind: 'offset', offset: this.reached };
  }

  async write(batch: SinkBatch<string>): Promise<'written'> {
    this.verify(batch);
    this.refuse(batch);
    const accident = this.accident();
    if (accident === 'before' || accident === 'half') throw crash();
    if (batch.from < this.reached) this.violations.push(`${batch.from} again, after ${this.reached}`);
    this.rows.push(...batch.records.map(rowOf));
    this.reached = batch.to;
    if (accident === 'after') throw crash();
    return 'written';
  }
}

/** Keeps the newest value per key behind a fence, may lose everything, and wants to stop at stamps. */
export class BoardTarget extends TestTarget {
  readonly delivery = 'target';
  readonly board = new Map<string, string>();
  rebuilds = 0;
  #fence: bigint | null = null;

  async position(): Promise<SinkPosition> {
    return this.#fence === null ? { kind: 'rebuild' } : { kind: 'offset', offset: this.#fence };
  }

  boundary(records: readonly SinkRecord<string>[]): number {
    return records.findLastIndex(isStamp) + 1;
  }

  async write(batch: SinkBatch<string>): Promise<'written' | 'stale' | 'lost'> {
    this.verify(batch);
    if (batch.records.some(isStamp) && !isStamp(batch.records.at(-1)!)) this.violations.push('not cut at a stamp');
    const accident = this.accident();
    if (accident === 'lose') {
      this.board.clear();
      this.#fence = null;
      this.reached = 0n;
    }
    if (this.#fence === null) return 'lost';
    if (batch.to <= this.#fence) return 'stale';
    if (accident === 'before') throw crash();
    const end = accident === 'half' ? Math.ceil(batch.records.length / 2) : batch.records.length;
    for (const record of batch.records.slice(0, end)) this.#put(rowOf(record));
    if (accident === 'half') throw crash();
    this.#fence = batch.to;
    this.reached = batch.to;
    if (accident === 'after') throw crash();
    return 'written';
  }

  async rebuild(batch: SinkBatch<string>): Promise<void> {
    this.verify({ ...batch, records: [...batch.records].sort((a, b) => Number(a.offset - b.offset)) });
    const accident = this.accident();
    if (accident === 'before' || accident === 'half') throw crash();
    this.rebuilds++;
    this.board.clear();
    for (const record of batch.records) this.#put(rowOf(record));
    this.#fence = batch.to;
    this.reached = batch.to;
    if (accident === 'after') throw crash();
  }

  #put({ key, value }: Row): void {
    if (value === null) this.board.delete(key);
    else this.board.set(key, value);
  }
}

export const STAMP = 'stamp';
const isStamp = (record: SinkRecord<string>): boolean => record.kind === 'upsert' && record.value.startsWith(STAMP);
