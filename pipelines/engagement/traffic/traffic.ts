/**
 * Made-up engagement, the same for the same seed: a pure core that knows neither clock nor database. The sequence of
 * events and changes does not depend on how it is cut into batches.
 */

import { Random } from '../../random.ts';
import { type Content, editContent, makeCatalogue, randomUuid } from './catalogue.ts';
import { RowIds } from './row-ids.ts';
import { Sessions, type Step } from './sessions.ts';
import { Zipf } from './zipf.ts';

export interface TrafficOptions {
  readonly seed: number;
  readonly contents: number;
  /** Percent of the events inserted: as many updates again, deletes again, and how many of them are late. */
  readonly updates: number;
  readonly deletes: number;
  readonly late: number;
  readonly contentEditsPerMinute: number;
  /** Ids of rows of an earlier run, which are then updated and deleted too. */
  readonly existingIds?: Iterable<bigint>;
}

/** New events, as columns: half a million a minute would make objects costly. */
export interface EventColumns {
  readonly count: number;
  readonly ids: BigInt64Array;
  /** Index into `Traffic.contents`. */
  readonly content: Int32Array;
  /** Index into `Traffic.users`. */
  readonly user: Int32Array;
  /** Index into EVENT_TYPES. */
  readonly type: Uint8Array;
  /** Microseconds since 1970. */
  readonly eventMicros: Float64Array;
  /** −1 is NULL. */
  readonly durationMs: Int32Array;
  /** Index into DEVICES; −1 is NULL. */
  readonly device: Int8Array;
  /** Index into `PAYLOADS`; −1 is NULL. */
  readonly payload: Int16Array;
}

/** What changes of one row; a field that is absent stays. */
export interface EventUpdate {
  readonly durationMs?: number | null;
  readonly eventMicros?: number;
  /** The row moves to another content. */
  readonly content?: number;
}

/** To be applied in this order, in one transaction. */
export interface TrafficBatch {
  readonly contentEdits: ReadonlyMap<number, Content>;
  readonly inserts: EventColumns;
  readonly updates: ReadonlyMap<bigint, EventUpdate>;
  readonly deletes: readonly bigint[];
}

const USERS = 50_000;
const ZIPF_EXPONENT = 1.05;
const RECENT_ROWS = 100_000;
const OLD_ROWS = 50_000;
const MINUTE_MICROS = 60e6;
const FRESH_MICROS = 800_000;
const LATE_MICROS = { from: 2 * MINUTE_MICROS, to: 7 * 86_400e6 } as const;

/** What clients send along; a few hundred variants are as good as endless ones, and cost nothing to make. */
export const PAYLOADS: readonly string[] = Array.from({ length: 240 }, (_, n) =>
  JSON.stringify({ app: `4.${n % 12}.${n % 5}`, locale: ['en-GB', 'de-DE', 'pt-BR'][n % 3], ab: n % 16 }),
);

export class Traffic {
  /** By popularity; an edit replaces an entry. */
  readonly contents: Content[];
  readonly users: readonly Uint8Array[];
  readonly #options: TrafficOptions;
  readonly #events: Random;
  readonly #changes: Random;
  readonly #edits: Random;
  readonly #popularity: Zipf;
  readonly #sessions: Sessions;
  readonly #rows: RowIds;
  readonly #step: Step = { content: 0, user: 0, type: 0, device: 0, durationMs: 0 };
  /** Fractions of a change that are due. */
  #updatesDue = 0;
  #deletesDue = 0;
  #editsDue = 0;
  #edition = 0;
  #lastMicros: number;

  /** @param startMicros the time of the first batch; contents were published before */
  constructor(options: TrafficOptions, startMicros: number) {
    const { seed } = options;
    this.#options = options;
    this.contents = makeCatalogue(options.contents, seed, startMicros);
    const people = new Random(seed, 'users');
    this.users = Array.from({ length: USERS }, () => randomUuid(people));
    this.#events = new Random(seed, 'events');
    this.#changes = new Random(seed, 'changes');
    this.#edits = new Random(seed, 'edits');
    this.#popularity = new Zipf(options.contents, ZIPF_EXPONENT);
    this.#sessions = new Sessions(USERS, this.#popularity, new Random(seed, 'sessions'));
    this.#rows = new RowIds({ recent: RECENT_ROWS, old: OLD_ROWS, existing: options.existingIds ?? [] });
    this.#lastMicros = startMicros;
  }

  /** The next events, one for each id, and the changes that go with them. Time must not run backwards. */
  next(ids: BigInt64Array, nowMicros: number): TrafficBatch {
    const inserts = emptyColumns(ids);
    const updates = new Map<bigint, EventUpdate>();
    const deletes: bigint[] = [];
    const contentEdits = this.#editContents(nowMicros);
    for (let at = 0; at < ids.length; at += 1) {
      this.#event(inserts, at, nowMicros);
      this.#rows.add(ids[at]!);
      this.#updatesDue += this.#options.updates / 100;
      for (; this.#updatesDue >= 1; this.#updatesDue -= 1) this.#update(updates, nowMicros);
      this.#deletesDue += this.#options.deletes / 100;
      for (; this.#deletesDue >= 1; this.#deletesDue -= 1) {
        const id = this.#rows.take(this.#changes);
        if (id !== null) deletes.push(id);
      }
    }
    return { contentEdits, inserts, updates, deletes };
  }

  #event(columns: EventColumns, at: number, nowMicros: number): void {
    const random = this.#events;
    const step = this.#step;
    this.#sessions.step(this.contents, random, step);
    columns.content[at] = step.content;
    columns.user[at] = step.user;
    columns.type[at] = step.type;
    columns.durationMs[at] = step.durationMs;
    columns.device[at] = step.device;
    columns.payload[at] = random.chance(0.1) ? -1 : random.below(PAYLOADS.length);
    const late = random.chance(this.#options.late / 100);
    columns.eventMicros[at] = Math.floor(
      nowMicros - (late ? random.logUniform(LATE_MICROS.from, LATE_MICROS.to) : random.below(FRESH_MICROS)),
    );
  }

  #update(updates: Map<bigint, EventUpdate>, nowMicros: number): void {
    const id = this.#rows.pick(this.#changes);
    const change = this.#change(nowMicros);
    // A row is changed once in a statement: a second change of the same row is laid over the first.
    if (id !== null) updates.set(id, { ...updates.get(id), ...change });
  }

  #change(nowMicros: number): EventUpdate {
    const random = this.#changes;
    const kind = random.unit();
    if (kind < 0.65) return { durationMs: Math.floor(random.logUniform(500, 7_200_000)) };
    if (kind < 0.7) return { durationMs: null };
    if (kind < 0.85) return { eventMicros: Math.floor(nowMicros - random.logUniform(1e6, LATE_MICROS.to)) };
    return { content: this.#popularity.pick(random) };
  }

  #editContents(nowMicros: number): ReadonlyMap<number, Content> {
    const elapsed = Math.max(0, nowMicros - this.#lastMicros);
    this.#lastMicros = nowMicros;
    this.#editsDue += (elapsed / MINUTE_MICROS) * this.#options.contentEditsPerMinute;
    const edited = new Map<number, Content>();
    for (; this.#editsDue >= 1; this.#editsDue -= 1) {
      const index = this.#edits.below(this.contents.length);
      this.#edition += 1;
      const content = editContent(this.contents[index]!, this.#edition, this.#edits);
      this.contents[index] = content;
      edited.set(index, content);
    }
    return edited;
  }
}

function emptyColumns(ids: BigInt64Array): EventColumns {
  const count = ids.length;
  return {
    count,
    ids,
    content: new Int32Array(count),
    user: new Int32Array(count),
    type: new Uint8Array(count),
    eventMicros: new Float64Array(count),
    durationMs: new Int32Array(count),
    device: new Int8Array(count),
    payload: new Int16Array(count),
  };
}
