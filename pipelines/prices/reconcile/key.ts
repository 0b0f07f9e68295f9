/** Names of bars and candles, within one kind: `stock start`. */

export function keyOf(stockId: bigint, start: bigint | number): string {
  return `${stockId} ${start}`;
}

export function stockOf(key: string): bigint {
  return BigInt(key.slice(0, key.indexOf(' ')));
}

/** The stock of what is shown though no stock has it. Ids that small belong to stamps. */
export const STRAY = -1n;

/** Milliseconds since the epoch. */
export function startOf(key: string): number {
  return Number(key.slice(key.indexOf(' ') + 1));
}

/** For a person: where a candle of this kind belongs, and which one it is. */
export function named(kind: string, key: string): { readonly bucket: string; readonly row: string } {
  return { bucket: `stock ${stockOf(key)}`, row: `${kind} of ${new Date(startOf(key)).toISOString()}` };
}
