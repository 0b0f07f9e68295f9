/** The periods of the rollups, as integer arithmetic on microseconds that reads the same in both databases. */

export type RollupName = 'hourly' | 'daily' | 'weekly';

export interface Rollup {
  readonly name: RollupName;
  readonly view: string;
  /** The view's period as seconds since the epoch, in ClickHouse. */
  readonly viewSeconds: string;
  readonly seconds: number;
}

const DAY = 86_400;

export const ROLLUPS: readonly Rollup[] = [
  { name: 'hourly', view: 'engagement_hourly', viewSeconds: 'toInt64(toUnixTimestamp(hour))', seconds: 3_600 },
  { name: 'daily', view: 'engagement_daily', viewSeconds: 'toInt64(toUInt16(day)) * 86400', seconds: DAY },
  { name: 'weekly', view: 'engagement_weekly', viewSeconds: 'toInt64(toUInt16(week)) * 86400', seconds: 7 * DAY },
];

/** The epoch is a Thursday: its week began three days before, and a Date cannot say so. */
const EPOCH_WEEKDAY = 3;

/** SQL for the start of the period (seconds) that holds `us` (microseconds, not negative). */
export function periodSql(rollup: Rollup, dialect: 'postgres' | 'clickhouse', us: string): string {
  const divided = (value: string, by: string) =>
    dialect === 'postgres' ? `${value} / ${by}` : `intDiv(${value}, ${by})`;
  switch (rollup.name) {
    case 'hourly':
      return `${divided(us, '3600000000')} * 3600`;
    case 'daily':
      return `${divided(us, '86400000000')} * 86400`;
    case 'weekly': {
      const week = divided(`(${divided(us, '86400000000')} + ${EPOCH_WEEKDAY})`, '7');
      return `greatest((${week}) * 7 - ${EPOCH_WEEKDAY}, 0) * 86400`;
    }
    default:
      return rollup.name satisfies never;
  }
}

/** The same for one time. */
export function periodOf(rollup: Rollup, us: bigint): bigint {
  switch (rollup.name) {
    case 'hourly':
      return (us / 3_600_000_000n) * 3_600n;
    case 'daily':
      return (us / 86_400_000_000n) * 86_400n;
    case 'weekly': {
      const monday = ((us / 86_400_000_000n + 3n) / 7n) * 7n - 3n;
      return (monday > 0n ? monday : 0n) * 86_400n;
    }
    default:
      return rollup.name satisfies never;
  }
}

/** For people: the day, and the hour where it matters. */
export function showPeriod(rollup: Rollup, seconds: bigint): string {
  const text = new Date(Number(seconds) * 1_000).toISOString();
  return rollup.name === 'hourly' ? `${text.slice(0, 13)}:00Z` : text.slice(0, 10);
}
