import { describe, expect, it } from 'vitest';
import {
  DEFAULT_RULES,
  FIRST_VARIANT,
  leaderboardDeployment,
  prepared,
  retired,
  rulesOf,
  shownAnew,
  variantNames,
  windowsOf,
} from '../../../pipelines/engagement/leaderboard-deployment.ts';
import { boardsOf, placeChanges } from '../../../pipelines/engagement/replay/leaderboard.ts';
import { entry } from '../../integration/redis/records.ts';

const FIRST = leaderboardDeployment({ text: null });
const RULES = { limit: 40, minSamples: 3 };

describe('the deployment of the leaderboards', () => {
  it('is the first variant with the default rules, under the names of the pipeline, until a record says otherwise', () => {
    expect(FIRST).toEqual({ live: FIRST_VARIANT, generation: 0, variants: { a: DEFAULT_RULES } });
    expect(variantNames('a').group).toBe('engagement.leaderboard');
    expect(variantNames('b')).toEqual({
      group: 'engagement.leaderboard.b',
      output: 'engagement.leaderboards.b',
      changelog: 'engagement.leaderboard-store-changelog.b',
    });
  });

  it('is prepared, shown and retired, and each step again changes nothing but the generation', () => {
    const two = prepared(FIRST, 'b', RULES);
    expect(prepared(two, 'b', RULES)).toEqual(two);
    const shown = shownAnew(two, 'b');
    expect(shown).toMatchObject({ live: 'b', generation: 1 });
    expect(rulesOf(shown, shown.live)).toEqual(RULES);
    const one = retired(shown, 'a');
    expect(Object.keys(one.variants)).toEqual(['b']);
    expect(retired(one, 'a')).toEqual(one);
    expect(leaderboardDeployment({ text: JSON.stringify(one) })).toEqual(one);
  });

  it('may have windows of its own, and has those of the first variant else', () => {
    const windows = [{ name: '6h', sizeMs: 21_600_000, paneMs: 300_000 }];
    const two = prepared(FIRST, 'b', { ...RULES, windows });
    expect(leaderboardDeployment({ text: JSON.stringify(two) })).toEqual(two);
    expect(windowsOf(rulesOf(two, 'b'))).toEqual(windows);
    expect(windowsOf(rulesOf(two, 'a')).map(({ name }) => name)).toEqual(['10m', '1h', '1d', '1w']);
    expect(() => prepared(two, 'b', RULES)).toThrow(/other rules already/);
  });

  it('refuses what would leave nothing to show, and other rules under the same name', () => {
    const two = prepared(FIRST, 'b', RULES);
    expect(() => retired(two, 'a')).toThrow(/a is live/);
    expect(() => shownAnew(FIRST, 'b')).toThrow(/no leaderboard variant b/);
    expect(() => prepared(two, 'b', DEFAULT_RULES)).toThrow(/other rules already/);
  });

  it.each(['', '{}', '{"live":"b","generation":0,"variants":{}}', '[1'])('refuses the record %s', (text) => {
    expect(() => leaderboardDeployment({ text })).toThrow(/makes no sense/);
  });
});

describe('the comparison of two variants', () => {
  const entries = (...counts: readonly (readonly [id: string, events: number])[]) => {
    return new Map(
      counts.map(([id, events]) => {
        const output = entry(id, events);
        if (output.kind !== 'upsert' || output.value.body.kind !== 'LeaderboardEntry') throw new Error('no entry');
        return [output.key, { window: '1h', entry: output.value.body }];
      }),
    );
  };

  it('ranks over all partitions, ties by id descending, as far as the limit goes', () => {
    const boards = boardsOf([entries(['a', 3], ['b', 5]), entries(['c', 5], ['d', 1])], { limit: 3 });
    expect([...boards.get('1h events')!.keys()]).toEqual(['c', 'b', 'a']);
    expect(boards.get('1d events')!.size).toBe(0);
  });

  it('tells every place that is another, and no other', () => {
    const live = boardsOf([entries(['a', 3], ['b', 2])], { limit: 3 });
    const other = boardsOf([entries(['a', 3], ['b', 2], ['c', 9])], { limit: 2 });
    expect(placeChanges(live, live)).toEqual({ places: 4, changes: [] });
    const changes = placeChanges(live, other).changes.filter(({ board }) => board === '1h events');
    expect(changes).toEqual([
      { board: '1h events', contentId: 'a', live: { place: 1, score: 3 }, other: { place: 2, score: 3 } },
      { board: '1h events', contentId: 'b', live: { place: 2, score: 2 }, other: null },
      { board: '1h events', contentId: 'c', live: null, other: { place: 1, score: 9 } },
    ]);
  });
});
