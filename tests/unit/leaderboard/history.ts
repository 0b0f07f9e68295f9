/** Random histories of rows: what enrich could have written, by the same rules. */
import fc from 'fast-check';
import type { Contribution, LeaderboardChange } from '../../../pipelines/engagement/leaderboard/record.ts';
import type { WindowSpec } from '../../../pipelines/engagement/leaderboard/windows.ts';
import type { Crash } from './simulation.ts';

/** Small windows, so that a short history sees panes enter and leave. */
export const SMALL_WINDOWS: readonly WindowSpec[] = [
  { name: '10m', sizeMs: 40, paneMs: 10 },
  { name: '1h', sizeMs: 120, paneMs: 40 },
  { name: '1d', sizeMs: 400, paneMs: 100 },
];

const values = fc.record({
  content: fc.nat(6),
  eventType: fc.constantFrom('play', 'pause', 'finish', 'click'),
  /** Relative to stream time, ms: late by up to more than the longest window, or in the future. */
  offset: fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: -30, max: 5 }) },
    { weight: 2, arbitrary: fc.integer({ min: -600, max: 200 }) },
  ),
  durationMs: fc.option(fc.integer({ min: 0, max: 5 }), { nil: null }),
  pctBp: fc.option(fc.integer({ min: 0, max: 9 }), { nil: null }),
});
export type Values = typeof values extends fc.Arbitrary<infer V> ? V : never;

const tick = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 8 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 700 }) },
  { weight: 1, arbitrary: fc.constant(-20) },
);

const crash = fc.constantFrom<(Crash | undefined)[]>(
  undefined,
  undefined,
  undefined,
  'before-commit',
  'before-checkpoint',
  'after-checkpoint',
);

export const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('insert' as const), values, tick }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('update' as const), row: fc.nat(), values, tick }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), row: fc.nat(), tick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rename' as const), content: fc.nat(6), tick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('mark' as const), tick }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      checkpoint: fc.boolean(),
      crash,
      loseBase: fc.boolean(),
      limit: fc.option(fc.integer({ min: 1, max: 4 }), { nil: null, freq: 4 }),
    }),
  },
);
export type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** Turns steps into changes; a content move is a delete and an insert, as the source sends it, or a plain update. */
export class History {
  readonly #rows: Contribution[] = [];
  readonly #titles = new Map<string, number>();
  #time = 1_000_000;
  #lsn = 100n;

  next(at: Exclude<Step, { do: 'commit' }>): LeaderboardChange[] {
    this.#time = Math.max(1_000, this.#time + at.tick);
    this.#lsn += 1n;
    switch (at.do) {
      case 'mark':
        return [this.#change('mark', null, null)];
      case 'insert': {
        const after = this.#row(at.values);
        this.#rows.push(after);
        return [this.#change('insert', null, after)];
      }
      case 'update':
      case 'delete': {
        if (this.#rows.length === 0) return [];
        const [before] = this.#rows.splice(at.row % this.#rows.length, 1);
        if (at.do === 'delete') return [this.#change('delete', before!, null)];
        const after = this.#row(at.values);
        this.#rows.push(after);
        return [this.#change('update', before!, after)];
      }
      case 'rename':
        return this.#rename(`content-${at.content}`);
      default:
        throw at satisfies never;
    }
  }

  #rename(contentId: string): LeaderboardChange[] {
    this.#titles.set(contentId, (this.#titles.get(contentId) ?? 0) + 1);
    return this.#rows.flatMap((before, index) => {
      if (before.contentId !== contentId) return [];
      const after = { ...before, ...this.#names(contentId) };
      this.#rows[index] = after;
      return [this.#change('correct', before, after)];
    });
  }

  #row({ content, eventType, offset, durationMs, pctBp }: Values): Contribution {
    const contentId = `content-${content}`;
    const eventTsMicros = Math.max(0, this.#time + offset) * 1_000 + 7;
    return { contentId, eventType, eventTsMicros, durationMs, pctBp, ...this.#names(contentId) };
  }

  #names(contentId: string) {
    const version = this.#titles.get(contentId) ?? 0;
    return { slug: `slug-${contentId}`, title: `title ${version}`, contentType: 'podcast' };
  }

  #change(kind: LeaderboardChange['kind'], before: Contribution | null, after: Contribution | null): LeaderboardChange {
    return { kind, lsn: this.#lsn, commitTs: this.#time, before, after };
  }
}
