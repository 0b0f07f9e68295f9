/**
 * The state of the leaderboard stage: signed contributions go into panes (kept in the store), panes that are inside a window into
 * the window's sums and boards (kept in memory, derived from the store).
 *
 * Which panes count for a window depends on stream time alone, and stream time never goes back:
 *   - a pane older than the window is dropped, and what comes for it later, of either sign, is ignored;
 *   - a pane beyond the window waits in the store and enters when stream time comes to it.
 *
 * After every publication the compacted output equals a function of the state. So a restarted task need not store what it has
 * published: restore the state as of the committed offset, `publish` once with the result dropped, and go on.
 */
import { SluiceError } from '../../../engine/errors.ts';
import type { Segment, SegmentedStore } from '../../../engine/segmented-store.ts';
import { MAX_AHEAD_MS } from '../semantics.ts';
import { type Contribution, type LeaderboardChange, type LeaderboardOutput, leaderboardKey } from './record.ts';
import { CLOCK, type Clock, CONTENT, emptyPane, type PaneSums, type Stored } from './stored.ts';
import { accumulate, contribute, isEmptied } from './sums.ts';
import { type BoardRules, type ContentState, WindowBoards } from './window-boards.ts';
import { boundsAt, paneOfMicros, paneOfMillis, WINDOWS, type WindowSpec } from './windows.ts';

export interface LeaderboardOptions {
  /** `WINDOWS`. The same ones for the life of a store. */
  readonly windows?: readonly WindowSpec[];
  /** Places of a board. 100. */
  readonly limit?: number;
  /** Percent samples a content needs to be ranked by its average. 10. */
  readonly minSamples?: number;
  /** Candidates kept beyond the limit. 200. */
  readonly reserve?: number;
  /** The beginning of the changes is gone: a new state leaves out the events whose changes may be in it. */
  readonly trimmed?: boolean;
}

/** Where the publication stands in the input. */
export interface PublishPosition {
  readonly partition: number;
  /** The next offset of the changes not yet applied. */
  readonly nextOffset: bigint;
}

interface Pane {
  readonly start: number;
  readonly name: string;
  readonly entries: Segment<Stored>;
}

interface WindowState {
  readonly spec: WindowSpec;
  readonly boards: WindowBoards;
  /** All panes in the store, by start. */
  readonly panes: Map<number, Pane>;
  /** Panes from `first` to `current` (both starts) are inside the window. */
  first: number;
  current: number;
  /** The pane used last: nearly always the next one too. */
  last: Pane | undefined;
}

export class LeaderboardState {
  readonly #store: SegmentedStore<Stored>;
  readonly #contents = new Map<string, ContentState>();
  readonly #windows: readonly WindowState[];
  readonly #rules: BoardRules;
  readonly #contentInfo: Segment<Stored>;
  readonly #clockEntry: Segment<Stored>;
  readonly #clock: Clock;
  /** Contents whose last pane went since the last publication. */
  #emptied: ContentState[] = [];
  /** Whether there is anything to publish: input since the last time, or a restored state. */
  #changed: boolean;
  #publishedOnce = false;
  #floorDue: boolean;

  /** Rebuilds sums and boards from the store, which must not be wiped, discarded or restored under it. */
  constructor(store: SegmentedStore<Stored>, options: LeaderboardOptions = {}) {
    const { limit = 100, minSamples = 10, reserve = 200 } = options;
    this.#store = store;
    this.#rules = { limit, minSamples, reserve };
    this.#contentInfo = store.segment(CONTENT);
    this.#clockEntry = store.segment(CLOCK);
    const found = this.#clockEntry.get(CLOCK);
    this.#clock =
      found?.kind === 'clock' ? found : { kind: 'clock', streamTime: 0, markLsn: 0n, limit, minSamples, floor: 0 };
    this.#changed = found !== undefined;
    this.#floorDue = found === undefined && options.trimmed === true;
    if (found === undefined) this.#clockEntry.put(CLOCK, this.#clock);
    // What a predecessor has published it ranked by the stored rules: start from there.
    const rules = { ...this.#rules, limit: this.#clock.limit, minSamples: this.#clock.minSamples };
    this.#windows = (options.windows ?? WINDOWS).map((spec, index) => ({
      spec,
      boards: new WindowBoards(spec, index, this.#contents, rules),
      panes: new Map(),
      last: undefined,
      ...panesInside(spec, this.#clock.streamTime),
    }));
    this.#restore();
  }

  /** Newest source commit time seen, ms. */
  get streamTime(): number {
    return this.#clock.streamTime;
  }

  /**
   * Counts one record of the change log. Throws CHANGES_INCONSISTENT (fatal) when it takes off what was never added; the state
   * is then not to be used any more.
   */
  apply(change: LeaderboardChange): void {
    if (this.#floorDue) this.#setFloor(change.commitTs);
    this.advance(change.commitTs);
    this.#changed = true;
    if (change.kind === 'mark') {
      if (change.lsn > this.#clock.markLsn) this.#clock.markLsn = change.lsn;
      this.#clockEntry.put(CLOCK, this.#clock);
      return;
    }
    if (change.before !== null) this.#contribute(change.before, -1);
    if (change.after !== null) {
      this.#contribute(change.after, 1);
      this.#learn(change.after, change);
    }
  }

  /** Moves stream time; panes leave and enter. An older time changes nothing. */
  advance(streamTimeMs: number): void {
    if (streamTimeMs <= this.#clock.streamTime) return;
    this.#clock.streamTime = streamTimeMs;
    this.#clockEntry.put(CLOCK, this.#clock);
    this.#changed = true;
    for (const window of this.#windows) {
      if (streamTimeMs >= window.current + window.spec.paneMs) this.#slide(window);
    }
  }

  /**
   * The records that make the compacted output right again: for each window what changed since the last publication, then its
   * as-of stamp, so that a reader who stops after any stamp sees a consistent window. Empty when nothing was applied.
   */
  publish(at: PublishPosition): readonly LeaderboardOutput[] {
    if (!this.#changed) return [];
    this.#changed = false;
    const first = !this.#publishedOnce;
    this.#publishedOnce = true;
    const { limit, minSamples } = this.#rules;
    const newRules = this.#clock.limit !== limit || this.#clock.minSamples !== minSamples;
    if (newRules && !first) this.#clockEntry.put(CLOCK, Object.assign(this.#clock, { limit, minSamples }));
    const outputs: LeaderboardOutput[] = [];
    for (const { boards, spec } of this.#windows) {
      boards.publish(outputs);
      outputs.push(this.#asOf(spec, at));
    }
    this.#forgetEmptied();
    // A predecessor published by the stored rules; its successor ranks by its own from the second publication on.
    if (newRules && first) for (const { boards } of this.#windows) boards.changeRules(this.#rules);
    return outputs;
  }

  /**
   * Tells a state that starts from nothing that the output already holds a record of this content: the next publication
   * replaces it or takes it off.
   */
  assumePublished(window: string, contentId: string): void {
    const state = this.#windows.find(({ spec }) => spec.name === window);
    if (state === undefined || contentId === '') return;
    const content = this.#content(contentId);
    state.boards.assumePublished(content);
    if (content.panes === 0) this.#emptied.push(content);
    this.#changed = true;
  }

  /** An event is dated at most so far ahead: what is later than that after the first change was inserted behind it. */
  #setFloor(firstCommitMs: number): void {
    this.#floorDue = false;
    this.#clock.floor = firstCommitMs + MAX_AHEAD_MS;
    this.#clockEntry.put(CLOCK, this.#clock);
  }

  #contribute(event: Contribution, sign: 1 | -1): void {
    const content = this.#content(event.contentId);
    for (const window of this.#windows) {
      const start = paneOfMicros(window.spec, event.eventTsMicros);
      if (start < window.first || event.eventTsMicros < this.#clock.floor * 1_000) continue;
      const { entries } = this.#pane(window, start);
      let sums = entries.get(content.id) as PaneSums | undefined;
      if (sums === undefined) {
        sums = emptyPane();
        content.panes += 1;
      }
      contribute(sums, event, sign);
      if (isEmptied(sums, content.id)) {
        entries.remove(content.id);
        content.panes -= 1;
      } else {
        entries.put(content.id, sums);
      }
      if (start <= window.current) contribute(window.boards.touch(content), event, sign);
    }
    if (content.panes === 0) this.#emptied.push(content);
  }

  /**
   * Takes slug, title and type from the newest contribution. A correction has the position of the content's change that it crosses, in
   * either direction: one of a position that is known already goes back to what was before it, so that an older change of the row can be told.
   */
  #learn(event: Contribution, { kind, lsn }: LeaderboardChange): void {
    const content = this.#content(event.contentId);
    const { info } = content;
    if (info !== undefined) {
      const same = info.slug === event.slug && info.title === event.title && info.contentType === event.contentType;
      if (same || lsn < info.lsn || (kind === 'correct' && lsn === info.lsn)) return;
    }
    content.info = {
      kind: 'content',
      lsn,
      slug: event.slug,
      title: event.title,
      contentType: event.contentType,
    };
    this.#contentInfo.put(content.id, content.info);
    for (const { boards } of this.#windows) boards.touchKnown(content);
  }

  /** Panes that the window has left behind are dropped, those it has come to enter. */
  #slide(window: WindowState): void {
    const before = window.current;
    Object.assign(window, panesInside(window.spec, this.#clock.streamTime));
    for (const pane of window.panes.values()) {
      if (pane.start < window.first) this.#drop(window, pane, pane.start <= before);
      else if (pane.start > before && pane.start <= window.current) this.#enter(window, pane);
    }
  }

  #enter(window: WindowState, pane: Pane): void {
    for (const [id, sums] of this.#store.scan(pane.name)) {
      accumulate(window.boards.touch(this.#content(id)), sums as PaneSums, 1);
    }
  }

  #drop(window: WindowState, pane: Pane, wasInside: boolean): void {
    for (const [id, sums] of this.#store.scan(pane.name)) {
      const content = this.#content(id);
      if (wasInside) accumulate(window.boards.touch(content), sums as PaneSums, -1);
      content.panes -= 1;
      if (content.panes === 0) this.#emptied.push(content);
    }
    window.panes.delete(pane.start);
    if (window.last === pane) window.last = undefined;
    this.#store.dropSegment(pane.name);
  }

  #pane(window: WindowState, start: number): Pane {
    if (window.last?.start === start) return window.last;
    let pane = window.panes.get(start);
    if (pane === undefined) {
      const name = `${window.spec.name}|${start}`;
      pane = { start, name, entries: this.#store.segment(name) };
      window.panes.set(start, pane);
    }
    window.last = pane;
    return pane;
  }

  #content(id: string): ContentState {
    let content = this.#contents.get(id);
    if (content === undefined) {
      content = { id, info: undefined, panes: 0, inWindow: new Array(this.#windows.length).fill(undefined) };
      this.#contents.set(id, content);
    }
    return content;
  }

  #asOf(spec: WindowSpec, at: PublishPosition): LeaderboardOutput {
    const { start, end } = boundsAt(spec, this.#clock.streamTime);
    const body = {
      kind: 'LeaderboardAsOf',
      partition: at.partition,
      stream_time: this.#clock.streamTime,
      window_start: start,
      window_end: end,
      // Of the last mark, not of the last change: only a mark says that everything committed before it is in.
      source_lsn: this.#clock.markLsn,
      changes_offset: at.nextOffset,
    } as const;
    return { kind: 'upsert', key: leaderboardKey(spec.name, ''), value: { window: spec.name, body } };
  }

  /** Only after a publication: until then an entry may still be published. */
  #forgetEmptied(): void {
    for (const content of this.#emptied) {
      if (content.panes > 0 || this.#contents.get(content.id) !== content) continue;
      this.#contents.delete(content.id);
      this.#contentInfo.remove(content.id);
    }
    this.#emptied = [];
  }

  #restore(): void {
    const byName = new Map(this.#windows.map((window) => [window.spec.name as string, window]));
    for (const name of this.#store.segments()) {
      const cut = name.indexOf('|');
      if (cut < 0) continue;
      const window = byName.get(name.slice(0, cut));
      if (window === undefined) {
        throw new SluiceError(`The store holds panes of the unknown window ${name}; wipe it and replay the stage`, {
          code: 'STORE_CORRUPT',
          action: 'fatal',
        });
      }
      const pane = this.#pane(window, Number(name.slice(cut + 1)));
      for (const [id, sums] of this.#store.scan(name)) {
        const content = this.#content(id);
        content.panes += 1;
        if (pane.start <= window.current) accumulate(window.boards.touch(content), sums as PaneSums, 1);
      }
    }
    for (const [id, info] of this.#store.scan(CONTENT)) {
      const content = this.#content(id);
      content.info = info.kind === 'content' ? info : undefined;
      if (content.panes === 0) this.#emptied.push(content);
    }
  }
}

/** Starts of the first and the last pane inside the window. */
function panesInside(spec: WindowSpec, streamTimeMs: number): { first: number; current: number } {
  const current = paneOfMillis(spec, streamTimeMs);
  return { first: current + spec.paneMs - spec.sizeMs, current };
}
