/** The boards of one window: the sums of each content in it, their ranking, and what was published of them. */
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { Board, NOT_RANKED } from '../../board.ts';
import { type LeaderboardOutput, leaderboardKey, METRICS, type Metric } from './record.ts';
import type { ContentInfo } from './stored.ts';
import { averagePctBp, type Sums } from './sums.ts';
import type { WindowSpec } from './windows.ts';

export interface BoardRules {
  /** Places of a board. */
  readonly limit: number;
  /** Percent samples a content needs to be ranked by its average. */
  readonly minSamples: number;
  /** Candidates kept beyond the limit. */
  readonly reserve: number;
}

/** One content as the stage knows it. */
export interface ContentState {
  readonly id: string;
  info: ContentInfo | undefined;
  /** How many panes, of all windows and the future too, hold it. */
  panes: number;
  /** Its sums by the index of the window. */
  readonly inWindow: (WindowEntry | undefined)[];
}

/** A content in a window. */
export interface WindowEntry extends Sums {
  readonly id: string;
  readonly content: ContentState;
  /** Boards it is on: a bit for each metric. */
  ranked: number;
  /** The boards that the published record says it is on; 0 when none is published. */
  published: number;
  /** Changed since the last publication. */
  touched: boolean;
}

const bitOf: Readonly<Record<Metric, number>> = { events: 1, seconds: 2, avg_pct: 4 };

/** Published by a predecessor, contents unknown: equal to no set of boards, so that it is published anew or taken off. */
const PUBLISHED_UNKNOWN = 8;

export class WindowBoards {
  readonly spec: WindowSpec;
  readonly #index: number;
  readonly #contents: ReadonlyMap<string, ContentState>;
  #rules: BoardRules;
  #boards: readonly { readonly bit: number; readonly board: Board<WindowEntry>; top: readonly WindowEntry[] }[];
  #touched: WindowEntry[] = [];

  constructor(spec: WindowSpec, index: number, contents: ReadonlyMap<string, ContentState>, rules: BoardRules) {
    this.spec = spec;
    this.#index = index;
    this.#contents = contents;
    this.#rules = rules;
    this.#boards = this.#makeBoards();
  }

  /** The content's entry, made when missing, marked as changed. */
  touch(content: ContentState): WindowEntry {
    const entry = content.inWindow[this.#index] ?? this.#newEntry(content);
    if (!entry.touched) {
      entry.touched = true;
      this.#touched.push(entry);
    }
    return entry;
  }

  /** Marks the content as changed if it is in the window. */
  touchKnown(content: ContentState): void {
    if (content.inWindow[this.#index] !== undefined) this.touch(content);
  }

  /** A record of this content is in the output, from a time this state knows nothing of. */
  assumePublished(content: ContentState): void {
    this.touch(content).published = PUBLISHED_UNKNOWN;
  }

  /**
   * Ranks by other rules from now on. Whether the present state was ever published by them is not known: a predecessor may
   * have, without a checkpoint since. So all that either rules rank is published anew or taken off next time.
   */
  changeRules(rules: BoardRules): void {
    this.#rules = rules;
    for (const { top } of this.#boards) {
      for (const entry of top) {
        this.touch(entry.content);
        entry.ranked = 0;
      }
    }
    this.#boards = this.#makeBoards();
    for (const entry of this.#rank()) {
      this.touch(entry.content);
      if (entry.ranked !== 0) entry.published = PUBLISHED_UNKNOWN;
    }
  }

  /** Ranks, and appends a record for every content whose published record is no longer right. */
  publish(outputs: LeaderboardOutput[]): void {
    for (const entry of this.#rank()) {
      if (entry.ranked !== 0 && (entry.touched || entry.ranked !== entry.published)) {
        outputs.push({
          kind: 'upsert',
          key: leaderboardKey(this.spec.name, entry.id),
          value: { window: this.spec.name, body: toRecord(entry) },
        });
      } else if (entry.ranked === 0 && entry.published !== 0) {
        outputs.push({ kind: 'tombstone', key: leaderboardKey(this.spec.name, entry.id) });
      }
      entry.published = entry.ranked;
      entry.touched = false;
      if (entry.events === 0) entry.content.inWindow[this.#index] = undefined;
    }
    this.#touched = [];
  }

  /** Brings the boards up to date; all entries whose sums or boards may have changed. */
  #rank(): Iterable<WindowEntry> {
    const changed = new Set(this.#touched);
    // A pane that leaves can touch everything: one scan is then cheaper than an update each.
    const scan = this.#touched.length * 2 > this.#contents.size && this.#touched.length > 4 * this.#rules.limit;
    for (const ranked of this.#boards) {
      if (scan) ranked.board.rebuild();
      else for (const entry of this.#touched) ranked.board.update(entry);
      const top = ranked.board.top();
      if (top === ranked.top) continue;
      for (const entry of ranked.top) {
        entry.ranked &= ~ranked.bit;
        changed.add(entry);
      }
      for (const entry of top) {
        entry.ranked |= ranked.bit;
        changed.add(entry);
      }
      ranked.top = top;
    }
    return changed;
  }

  #newEntry(content: ContentState): WindowEntry {
    const entry: WindowEntry = {
      id: content.id,
      content,
      ranked: 0,
      published: 0,
      touched: false,
      events: 0,
      plays: 0,
      finishes: 0,
      engagementMs: 0,
      engagementSamples: 0,
      pctBpSum: 0,
      pctSamples: 0,
    };
    content.inWindow[this.#index] = entry;
    return entry;
  }

  *#entries(): Generator<WindowEntry> {
    for (const content of this.#contents.values()) {
      const entry = content.inWindow[this.#index];
      if (entry !== undefined) yield entry;
    }
  }

  #makeBoards() {
    const { limit, reserve, minSamples } = this.#rules;
    const scoreOf: Readonly<Record<Metric, (entry: WindowEntry) => number>> = {
      events: (entry) => (entry.events > 0 ? entry.events : NOT_RANKED),
      seconds: (entry) => (entry.engagementSamples > 0 ? entry.engagementMs : NOT_RANKED),
      avg_pct: (entry) => (entry.pctSamples >= minSamples ? (averagePctBp(entry) ?? NOT_RANKED) : NOT_RANKED),
    };
    const items = () => this.#entries();
    return METRICS.map((metric) => ({
      bit: bitOf[metric],
      board: new Board({ limit, reserve, scoreOf: scoreOf[metric], items }),
      top: [] as readonly WindowEntry[],
    }));
  }
}

function toRecord(entry: WindowEntry): LeaderboardRecord['body'] {
  const info = entry.content.info;
  return {
    kind: 'LeaderboardEntry',
    content_id: entry.id,
    slug: info?.slug ?? '',
    title: info?.title ?? '',
    content_type: info?.contentType ?? '',
    events: entry.events,
    plays: entry.plays,
    finishes: entry.finishes,
    engagement_ms: entry.engagementMs,
    engagement_samples: entry.engagementSamples,
    pct_bp_sum: entry.pctBpSum,
    pct_samples: entry.pctSamples,
    avg_pct_bp: averagePctBp(entry),
    ranked_events: (entry.ranked & bitOf.events) !== 0,
    ranked_seconds: (entry.ranked & bitOf.seconds) !== 0,
    ranked_avg_pct: (entry.ranked & bitOf.avg_pct) !== 0,
  };
}
