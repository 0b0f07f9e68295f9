/** The boards of movers in Redis: which there are, and what a record of `prices.movers` means for them. */
import { asOfKey } from '../../connectors/redis/keys.ts';
import type { BoardOperation, LeaderboardSpec, MapRecord } from '../../connectors/redis/operations.ts';
import type { SinkRecord } from '../../engine/sink.ts';
import type { Mover, MoversRecord } from '../../schemas/prices/movers.ts';
import { decimalText } from './codec/decimal-text.ts';
import { parseMoverKey } from './codec/movers.ts';
import { EXCHANGES } from './exchanges.ts';
import { PIVOT_FIELDS, pivotFields } from './redis-fields.ts';
import { BOARDS, PERIODS, type Period, scoreOf } from './scanner/figures.ts';

export const MOVERS_SINK = 'prices.sink.movers';

/** Kept without writes: long enough for an outage over a weekend, and never shorter than the period. */
const TTL_SECONDS: Readonly<Record<Period, number>> = { '1d': 4 * 86_400, '1w': 10 * 86_400 };

/** Fields of a stock's hash. Prices are decimals as text. */
const FIELDS = [
  'stock_id',
  'exchange',
  'sector',
  'start',
  'close',
  'high',
  'low',
  'volume',
  'change_bp',
  'volume_ratio',
  ...PIVOT_FIELDS,
] as const;

/** Name and hash tag of the leaderboard of a period and universe. */
export function moversLeaderboard(period: string, universe: string): string {
  return `prices:${period}:${universe}`;
}

export interface MoversBoards {
  readonly leaderboards: readonly LeaderboardSpec[];
  /** What a record of `prices.movers` means: nothing for the scanner's own state, a stamp for all leaderboards at once. */
  readonly map: MapRecord<MoversRecord>;
}

/** The boards in Redis: of all stocks, of each exchange, and of these sectors. Another sector has boards in the topic only. */
export function moversBoards(sectors: readonly string[]): MoversBoards {
  const universes = ['all', ...EXCHANGES.map((name) => `exchange:${name}`), ...sectors.map((name) => `sector:${name}`)];
  const known: ReadonlySet<string> = new Set(universes);
  const leaderboards = PERIODS.flatMap((period) =>
    universes.map((universe) => ({
      name: moversLeaderboard(period, universe),
      boards: BOARDS,
      fields: FIELDS,
      ttlSeconds: TTL_SECONDS[period],
    })),
  );
  return { leaderboards, map: (record) => operationsOf(record, known, leaderboards) };
}

/** Where the sink's stamps are; a stamp is of all leaderboards, so one tells. */
export const MOVERS_STAMPS: readonly string[] = PERIODS.map((period) => asOfKey(moversLeaderboard(period, 'all')));

function operationsOf(
  record: SinkRecord<MoversRecord>,
  known: ReadonlySet<string>,
  leaderboards: readonly LeaderboardSpec[],
): readonly BoardOperation[] {
  if (record.kind === 'tombstone') {
    const at = parseMoverKey(Buffer.from(record.key).toString());
    if (at === null || !known.has(at.universe)) return [];
    return [{ kind: 'remove', leaderboard: moversLeaderboard(at.period, at.universe), member: at.symbol }];
  }
  const { body } = record.value;
  switch (body.kind) {
    case 'StockWatch':
      return [];
    case 'Mover':
      return known.has(body.universe) ? [entryOf(body)] : [];
    case 'MoversAsOf': {
      const fields = { stream_time: body.stream_time, source_lsn: body.source_lsn };
      return leaderboards.map(({ name }) => ({ kind: 'stamp', leaderboard: name, fields }));
    }
    default:
      throw body satisfies never;
  }
}

function entryOf(mover: Mover): BoardOperation {
  const { candle, boards } = mover;
  const values: Readonly<Record<(typeof FIELDS)[number], string | number | bigint | null>> = {
    stock_id: mover.stock_id,
    exchange: mover.exchange,
    sector: mover.sector,
    start: candle.start,
    close: decimalText(candle.close_e6),
    high: decimalText(candle.high_e6),
    low: decimalText(candle.low_e6),
    volume: candle.volume,
    change_bp: mover.change_bp,
    volume_ratio: candle.volume_ratio,
    ...pivotFields(mover),
  };
  return {
    kind: 'entry',
    leaderboard: moversLeaderboard(mover.period, mover.universe),
    member: mover.symbol,
    scores: BOARDS.map((board) => (boards.includes(board) ? scoreOf[board](candle) : null)),
    values: FIELDS.map((field) => values[field]),
  };
}
