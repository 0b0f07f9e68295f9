/** What records mean for leaderboards, and how a batch of them becomes the arguments of a script. */
import type { SinkRecord } from '../../engine/sink.ts';

/** One leaderboard: boards that rank the same members by different scores. */
export interface LeaderboardSpec {
  /** Hash tag of its keys. */
  readonly name: string;
  /** Names of its boards: each a sorted set. */
  readonly boards: readonly string[];
  /** Names of the fields of a member's hash. */
  readonly fields: readonly string[];
  /** How long it is kept when nothing is written to it any more, seconds. */
  readonly ttlSeconds: number;
}

export type BoardOperation =
  /** The member's absolute figures. A null score: not on that board. A null value: no such field. */
  | {
      readonly kind: 'entry';
      readonly leaderboard: string;
      readonly member: string;
      readonly scores: readonly (number | null)[];
      readonly values: readonly (string | number | bigint | null)[];
    }
  /** The member is on no board any more. */
  | { readonly kind: 'remove'; readonly leaderboard: string; readonly member: string }
  /** How far the partition's part of the leaderboard has come. Ends what belongs together. */
  | {
      readonly kind: 'stamp';
      readonly leaderboard: string;
      readonly fields: Readonly<Record<string, string | number | bigint>>;
    };

/** What a record means; none for one that is of no leaderboard. */
export type MapRecord<T> = (record: SinkRecord<T>) => BoardOperation | readonly BoardOperation[];

/** The newest operation per member, and the newest stamp. */
export interface Folded {
  readonly members: Map<string, Exclude<BoardOperation, { kind: 'stamp' }>>;
  stamp: Readonly<Record<string, string | number | bigint>> | null;
}

/** Folds operations: values are absolute, so only the last of each member counts. */
export function foldOperations(operations: Iterable<BoardOperation>): ReadonlyMap<string, Folded> {
  const folded = new Map<string, Folded>();
  for (const operation of operations) {
    let board = folded.get(operation.leaderboard);
    if (board === undefined) {
      board = { members: new Map(), stamp: null };
      folded.set(operation.leaderboard, board);
    }
    if (operation.kind === 'stamp') board.stamp = operation.fields;
    else board.members.set(operation.member, operation);
  }
  return folded;
}

/** Stands for no score and no value; no text of a record can be a lone byte 0. */
const NULL = '\0';

/** The lists that WRITE and REBUILD take, in pieces of at most `size` members; at least one piece. */
export function scriptPieces(spec: LeaderboardSpec, folded: Folded | undefined, size: number): (string | number)[][] {
  const members = [...(folded?.members.values() ?? [])];
  const stamp = Object.entries(folded?.stamp ?? {}).flatMap(([name, value]) => [name, String(value)]);
  const pieces: (string | number)[][] = [];
  for (let from = 0; from === 0 || from < members.length; from += size) {
    const piece = members.slice(from, from + size);
    const removes = piece.filter(({ kind }) => kind === 'remove').map(({ member }) => member);
    const args: (string | number)[] = [stamp.length, ...stamp, spec.fields.length, ...spec.fields];
    args.push(removes.length, ...removes, piece.length - removes.length);
    for (const operation of piece) {
      if (operation.kind === 'remove') continue;
      args.push(operation.member);
      for (const score of operation.scores) args.push(score ?? NULL);
      for (const value of operation.values) args.push(typeof value === 'bigint' ? String(value) : (value ?? NULL));
    }
    pieces.push(args);
  }
  return pieces;
}
