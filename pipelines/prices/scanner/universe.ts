/** The boards of one period and universe: who is in it, their ranking, and what was published of them. */
import { Board, NOT_RANKED } from '../../board.ts';
import { BOARDS, type BoardName, type Period, scoreOf } from './figures.ts';
import type { Watched } from './watched.ts';

export interface BoardRules {
  /** Places of a board. */
  readonly limit: number;
  /** Candidates kept beyond them. */
  readonly reserve: number;
}

export interface Ranked {
  readonly watched: Watched;
  /** Sorted; empty: on none any more. */
  readonly boards: readonly BoardName[];
}

export class Universe {
  readonly period: Period;
  readonly name: string;
  readonly #members = new Set<Watched>();
  readonly #boards: readonly { readonly name: BoardName; readonly board: Board<Watched> }[];
  readonly #touched = new Set<Watched>();
  /** The boards that the published record names. */
  readonly #published = new Map<Watched, string>();

  constructor(period: Period, name: string, rules: BoardRules) {
    this.period = period;
    this.name = name;
    this.#boards = BOARDS.map((board) => ({
      name: board,
      board: new Board<Watched>({
        ...rules,
        scoreOf: (watched) => {
          const shown = this.#members.has(watched) ? watched.shown : null;
          return shown === null ? NOT_RANKED : scoreOf[board](shown);
        },
        items: () => this.#members,
      }),
    }));
  }

  /** Read from the topic at the opening: in it, and published as it is. */
  admit(watched: Watched): void {
    this.#members.add(watched);
    for (const { board } of this.#boards) board.update(watched);
  }

  /** The stock is in it, and what is shown of it may have changed. */
  touch(watched: Watched): void {
    this.#members.add(watched);
    this.#touched.add(watched);
  }

  leave(watched: Watched): void {
    this.#members.delete(watched);
    this.#touched.add(watched);
  }

  /** Read from the topic at the opening: published on these boards. */
  restore(watched: Watched, boards: readonly string[]): void {
    this.#published.set(watched, boards.join());
  }

  /** What is no longer as it was published. */
  publish(): Ranked[] {
    if (this.#touched.size === 0) return [];
    const ranked = new Map<Watched, BoardName[]>();
    for (const { name, board } of this.#boards) {
      for (const watched of this.#touched) board.update(watched);
      for (const watched of board.top()) ranked.set(watched, [...(ranked.get(watched) ?? []), name]);
    }
    const changed: Ranked[] = [];
    for (const [watched, boards] of ranked) {
      if (!this.#touched.has(watched) && this.#published.get(watched) === boards.join()) continue;
      changed.push({ watched, boards });
      this.#published.set(watched, boards.join());
    }
    for (const watched of this.#published.keys()) {
      if (ranked.has(watched)) continue;
      changed.push({ watched, boards: [] });
      this.#published.delete(watched);
    }
    this.#touched.clear();
    return changed;
  }
}
