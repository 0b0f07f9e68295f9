/** How long ClickHouse keeps prices, by grain: which tables a grain stands for. */

/** In days. `versions`: the logs, that is the history of corrections, by the time of insertion. What is not named is kept. */
export interface PricesRetention {
  readonly minute?: number;
  readonly hour?: number;
  readonly day?: number;
  readonly versions?: number;
}

/** Bars of a day are in the bars' table too, and stay five years longer than those of a minute. */
const TABLES: Readonly<Record<keyof PricesRetention, readonly string[]>> = {
  minute: ['prices_bars_store', 'prices_candles_minute_store', 'prices_indicators_minute_store'],
  hour: ['prices_candles_hour_store', 'prices_indicators_hour_store'],
  day: ['prices_candles_day_store', 'prices_indicators_day_store'],
  versions: ['prices_candles_log', 'prices_indicators_log'],
};

export const GRAINS = Object.keys(TABLES) as readonly (keyof PricesRetention)[];

/** Days by table, as migrations take them. */
export function pricesTtlDays(retention: PricesRetention): Readonly<Record<string, number>> {
  return Object.fromEntries(
    GRAINS.flatMap((grain) => {
      const days = retention[grain];
      return days === undefined ? [] : TABLES[grain].map((table) => [table, days] as const);
    }),
  );
}
