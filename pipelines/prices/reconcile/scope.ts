/** Which part of everything is compared. */
export interface Scope {
  /** Leaves out bars and candles that begin earlier. Boards and newest prices are compared whole. */
  readonly since: Date | null;
  /** Bars that begin earlier, and candles that end no later: then nothing else is compared, since all else hangs on other bars too. */
  readonly until: Date | null;
  /** Empty: all. Of some only, boards are not compared: they hold others' places. */
  readonly stocks: readonly bigint[];
}

/** What is compared of a scope beside bars and candles. */
export function comparedOf({ until, stocks }: Scope): { readonly series: boolean; readonly boards: boolean } {
  return { series: until === null, boards: until === null && stocks.length === 0 };
}

/** As SQL: whether a row is in front of the end. `start` and `end` are expressions in ms. */
export function untilSql(
  { until }: Scope,
  kind: string,
  { start, end }: { readonly start: string; readonly end: string },
): string {
  if (until === null) return 'true';
  return kind === 'bar' ? `${start} < ${until.getTime()}` : `${end} <= ${until.getTime()}`;
}

/** Whether rows of a stock are compared. */
export function scopedStocks({ stocks }: Scope): (stockId: bigint) => boolean {
  const wanted = new Set(stocks);
  return wanted.size === 0 ? () => true : (stockId) => wanted.has(stockId);
}
