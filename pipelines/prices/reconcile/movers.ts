/**
 * The boards of movers in Redis at their own as-of: the stream time and position of their stamps.
 *
 * Redis sorts by score, so a board is right when everything that it lists has its score, and everything that belongs to its first hundred is listed. Each
 * of these is decided by itself (suspects.ts): what is shown of a stock stands for its version.
 */
import { formatLsn, type Lsn } from '../../../connectors/postgres/lsn.ts';
import type { BoardPlace, BoardReader, BoardReading } from '../../../connectors/redis/reader.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';
import type { Difference } from '../../operations/reconcile/report.ts';
import type { Comparison, Snapshot } from './comparison.ts';
import { BOARDS, type Board, FIELDS, type Mover, moversAt, type Period } from './movers-source.ts';
import { Suspects } from './suspects.ts';

/** What has boards in Redis. The exchanges are written apart from the pipeline's own list: a test holds them together. */
export function universesOf(sectors: readonly string[]): readonly string[] {
  const exchanges = ['NYSE', 'NASDAQ', 'LSE', 'XETRA', 'TSE', 'NSE', 'HKEX'];
  return [
    'all',
    ...exchanges.map((exchange) => `exchange:${exchange}`),
    ...sectors.map((sector) => `sector:${sector}`),
  ];
}

export interface MoverOptions {
  readonly period: Period;
  readonly partitions: number;
  /** Those that have boards. */
  readonly sectors: readonly string[];
  readonly limit: number;
}

/** Places that each partition publishes, and so the most that is exact over all of them. */
const PLACES = 100;
/** As near as two ways of computing a ratio come to each other. */
const TOLERANCE = 1e-6;
/** From where on a volume is unusual. */
const UNUSUAL = 2;

interface Reading {
  readonly universe: string;
  readonly board: Board;
  readonly places: readonly BoardPlace[];
}

export class MoverBoards implements Comparison {
  readonly title: string;
  readonly suspects: ReadonlyMap<string, Suspects>;
  readonly #period: Period;
  readonly #reader: BoardReader;
  readonly #partitions: number;
  readonly #universes: readonly string[];

  constructor(reader: BoardReader, options: MoverOptions) {
    this.#reader = reader;
    this.#period = options.period;
    this.title = `boards of movers by ${options.period}`;
    this.#partitions = options.partitions;
    this.#universes = universesOf(options.sectors);
    this.suspects = new Map([[`redis.movers.${options.period}`, new Suspects(options.limit)]]);
  }

  async look(snapshot: Snapshot, first: boolean): Promise<void> {
    const [suspects] = this.suspects.values() as Iterable<Suspects>;
    const begun = performance.now();
    await this.#reader.connect();
    const { readings, movers, position } = await this.#settled(snapshot);
    const differing = new Map<string, Difference>();
    const shown = new Map<string, string>();
    for (const reading of readings) {
      const { universe, board, places } = reading;
      for (const place of places) shown.set(`${universe} ${board} ${place.member}`, JSON.stringify(place));
      compareBoard(reading, movers, (member, difference) => {
        const bucket = `${this.#period} ${universe} ${board}`;
        differing.set(`${universe} ${board} ${member}`, { bucket, row: member, ...difference });
      });
    }
    const look = { differing, versionOf: (key: string) => shown.get(key) };
    suspects!.position = position;
    if (first) {
      suspects!.suspect(look);
      suspects!.findings.bucketsCompared = readings.length;
      suspects!.findings.rowsCompared = readings.reduce((count, { places }) => count + places.length, 0);
    } else suspects!.decide(look);
    suspects!.tookMs += Math.round(performance.now() - begun);
  }

  /** Reads all boards until no candle begins or leaves between the times at which the partitions stand. */
  async #settled({ source, lsn, deadline }: Snapshot) {
    const within = deadline();
    return await until(within, {
      ask: async () => {
        await this.#passed(lsn, within);
        const { readings, times, position } = await this.#readAll(lsn);
        const [first, last] = [Math.min(...times), Math.max(...times)];
        const movers = await moversAt(source, this.#period, first);
        const later = first === last ? movers : await moversAt(source, this.#period, last);
        return { readings, movers, position, settled: sameCandles(movers, later) };
      },
      done: (read) => (read.settled ? read : null),
      missing: () => `Redis movers ${this.#period}: all partitions on the same side of the begin of a day or week`,
    });
  }

  async #passed(lsn: Lsn, deadline: Deadline): Promise<void> {
    await until(deadline, {
      ask: async () => await this.#read('all', 'gainers'),
      done: (reading) => (isPassed(reading, this.#partitions, lsn) ? true : null),
      missing: ({ stamps }) =>
        Array.from({ length: this.#partitions }, (_, partition) => {
          const at = stamps.get(partition)?.source_lsn;
          const where = at === undefined ? 'no stamp' : `at ${formatLsn(BigInt(at))}`;
          return `Redis movers ${this.#period}, partition ${partition}: ${where}, wanted ${formatLsn(lsn)}`;
        }).join('; '),
    });
  }

  async #readAll(lsn: Lsn) {
    const readings: Reading[] = [];
    const times = new Set<number>();
    let position: Readonly<Record<string, string>> = {};
    for (const universe of this.#universes) {
      for (const board of BOARDS) {
        const reading = await this.#read(universe, board);
        const { places, stamps } = reading;
        // Only a board that is being rebuilt has lost a stamp since.
        if (!isPassed(reading, this.#partitions, lsn))
          return { readings: [], times: [0, Number.MAX_SAFE_INTEGER], position };
        readings.push({ universe, board, places });
        for (const { stream_time } of stamps.values()) times.add(Number(stream_time));
        position = Object.fromEntries(
          [...stamps].map(([partition, { source_lsn }]) => [partition, formatLsn(BigInt(source_lsn!))]),
        );
      }
    }
    return { readings, times: [...times], position };
  }

  async #read(universe: string, board: Board): Promise<BoardReading> {
    return await this.#reader.top(`prices:${this.#period}:${universe}`, board, PLACES * this.#partitions);
  }
}

function isPassed({ stamps }: Pick<BoardReading, 'stamps'>, partitions: number, lsn: Lsn): boolean {
  return Array.from({ length: partitions }, (_, partition) => stamps.get(partition)?.source_lsn).every(
    (at) => at !== undefined && BigInt(at) >= lsn,
  );
}

function sameCandles(a: ReadonlyMap<string, Mover>, b: ReadonlyMap<string, Mover>): boolean {
  return a.size === b.size && [...a].every(([symbol, { fields }]) => b.get(symbol)?.fields.start === fields.start);
}

/** Tells everything that a board says wrongly, once for each stock. */
export function compareBoard(
  { universe, board, places }: Reading,
  movers: ReadonlyMap<string, Mover>,
  differs: (member: string, difference: Pick<Difference, 'postgres' | 'sink'>) => void,
): void {
  const members = [...movers.values()].filter((mover) => isIn(universe, mover) && mover.scores[board] !== null);
  members.sort((a, b) => b.scores[board]! - a.scores[board]! || (a.symbol < b.symbol ? 1 : -1));
  const expected = new Map(members.map((mover, rank) => [mover.symbol, { mover, rank }]));
  const listed = new Set(places.map(({ member }) => member));
  for (const { member, score, fields } of places) {
    const mover = movers.get(member);
    const is = expected.get(member);
    if (mover === undefined || is === undefined) {
      if (!isBorderline(board, mover, score)) differs(member, { postgres: null, sink: `score ${score}` });
      continue;
    }
    const wrong = [
      ...(isSame(board === 'unusual_volume', mover.scores[board]!, score)
        ? []
        : [['score', mover.scores[board], score]]),
      ...FIELDS.filter((name) => !sameField(name, mover.fields[name], fields[name])).map((name) => [
        name,
        mover.fields[name],
        fields[name],
      ]),
    ];
    if (wrong.length === 0) continue;
    const shown = (at: number) => wrong.map((one) => `${one[0]}=${one[at] ?? ''}`).join(' ');
    differs(member, { postgres: shown(1), sink: shown(2) });
  }
  for (const { mover, rank } of expected.values()) {
    if (rank >= PLACES || listed.has(mover.symbol)) continue;
    const score = mover.scores[board]!;
    if (!isBorderline(board, mover, score))
      differs(mover.symbol, { postgres: `place ${rank + 1}, score ${score}`, sink: null });
  }
}

function isIn(universe: string, { exchange, sector }: Mover): boolean {
  return universe === 'all' || universe === `exchange:${exchange}` || universe === `sector:${sector}`;
}

/** A volume so near to where it begins to be unusual that it may be called so, or not. */
function isBorderline(board: Board, mover: Mover | undefined, score: number): boolean {
  return board === 'unusual_volume' && mover !== undefined && isSame(true, UNUSUAL, score);
}

function sameField(name: string, expected: string | null, found: string | undefined): boolean {
  if (name !== 'volume_ratio' || expected === null || found === undefined) return (expected ?? undefined) === found;
  return isSame(true, Number(expected), Number(found));
}

function isSame(roughly: boolean, a: number, b: number): boolean {
  return roughly ? Math.abs(a - b) <= TOLERANCE * Math.max(1, Math.abs(a), Math.abs(b)) : a === b;
}
