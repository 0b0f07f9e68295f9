/** Where a leaderboard lives. All its keys share the hash tag `{name}`, so they are in one slot of a cluster. */

/** Prefix of all keys. */
const PREFIX = 'lb';

/** `lb:{name}`. */
export function baseKey(leaderboard: string): string {
  return `${PREFIX}:{${leaderboard}}`;
}

/** The sorted set of one board. */
export function boardKey(leaderboard: string, board: string): string {
  return `${baseKey(leaderboard)}:${board}`;
}

/** The hash of stamps and fences, fields `<partition>:<name>`. */
export function asOfKey(leaderboard: string): string {
  return `${baseKey(leaderboard)}:asof`;
}

/** The keys that each script names: stamps, owners, stamps of a rebuild. */
export function scriptKeys(leaderboard: string): readonly [string, string, string] {
  const base = baseKey(leaderboard);
  return [`${base}:asof`, `${base}:owners`, `${base}:rebuild:asof`];
}
