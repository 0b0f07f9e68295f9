import { describe, expect, it } from 'vitest';
import { foldOperations, type LeaderboardSpec, scriptPieces } from '../../../connectors/redis/operations.ts';
import { mapLeaderboardRecord } from '../../../pipelines/engagement/redis-boards.ts';

const spec: LeaderboardSpec = { name: 'x', boards: ['a', 'b'], fields: ['f', 'g'], ttlSeconds: 1 };

describe('foldOperations', () => {
  it('keeps the last operation of each member, and the last stamp', () => {
    const entry = { kind: 'entry', leaderboard: 'x', member: 'm', scores: [1, null], values: ['v', null] } as const;
    const folded = foldOperations([
      { kind: 'remove', leaderboard: 'x', member: 'm' },
      entry,
      { kind: 'stamp', leaderboard: 'x', fields: { t: 1 } },
      { kind: 'remove', leaderboard: 'y', member: 'm' },
      { kind: 'stamp', leaderboard: 'x', fields: { t: 2 } },
    ]);
    expect([...folded.keys()]).toEqual(['x', 'y']);
    expect([...folded.get('x')!.members.values()]).toEqual([entry]);
    expect(folded.get('x')!.stamp).toEqual({ t: 2 });
    expect(folded.get('y')!.stamp).toBeNull();
  });
});

describe('scriptPieces', () => {
  it('is one piece even when nothing changed: the fence moves all the same', () => {
    expect(scriptPieces(spec, undefined, 10)).toEqual([[0, 2, 'f', 'g', 0, 0]]);
  });

  it('cuts at the size, and writes null as byte 0', () => {
    const folded = foldOperations([
      { kind: 'entry', leaderboard: 'x', member: 'm', scores: [1.5, null], values: [12n, null] },
      { kind: 'remove', leaderboard: 'x', member: 'n' },
      { kind: 'remove', leaderboard: 'x', member: 'o' },
      { kind: 'stamp', leaderboard: 'x', fields: { lsn: 2n ** 60n } },
    ]).get('x');
    const stamp = [2, 'lsn', String(2n ** 60n)];
    expect(scriptPieces(spec, folded, 2)).toEqual([
      [...stamp, 2, 'f', 'g', 1, 'n', 1, 'm', 1.5, '\0', '12', '\0'],
      [...stamp, 2, 'f', 'g', 1, 'o', 0],
    ]);
  });
});

describe('mapLeaderboardRecord', () => {
  const tombstone = (key: string) => mapLeaderboardRecord({ kind: 'tombstone', offset: 1n, key: Buffer.from(key) });

  it('reads window and content out of the key of a tombstone', () => {
    expect(tombstone('1h|a|b')).toEqual({ kind: 'remove', leaderboard: 'engagement:1h', member: 'a|b' });
  });

  it.each(['', '1h', '1h|', '|a'])("refuses the key '%s'", (key) => {
    expect(() => tombstone(key)).toThrow(expect.objectContaining({ code: 'UNDECODABLE', action: 'dead-letter' }));
  });
});
