/**
 * Compare, repair, compare again: what follows from something else is repaired by repairing that, so each round mends what can be
 * mended now and the next one sees what is left.
 */
export interface Round<R> {
  readonly report: R;
  /** What was done, a line each. */
  readonly done: readonly string[];
  /** Whether something was mended, so that it is worth looking again. */
  readonly again: boolean;
}

export interface Rounds<R> {
  readonly before: R;
  readonly after: R;
  readonly done: readonly string[];
}

/** Rounds until one mends nothing. `round` compares, and repairs unless `compareOnly`. */
export async function repairRounds<R>(
  maxRounds: number,
  round: (options: { readonly compareOnly: boolean }) => Promise<Round<R>>,
): Promise<Rounds<R>> {
  let before: R | undefined;
  const done: string[] = [];
  for (let count = 0; ; count++) {
    const { report, done: now, again } = await round({ compareOnly: count === maxRounds });
    before ??= report;
    done.push(...now);
    if (!again) return { before, after: report, done };
  }
}
