/** What a comparison found, and how it is summed up. */
import type { Lsn } from '../../../connectors/postgres/lsn.ts';

export type Verdict = 'equal' | 'different' | 'unknown';

/** One place in which a sink does not say what Postgres says. `null`: nothing there. */
export interface Difference {
  /** Which part of the sink: a range of ids, a period, a board. */
  readonly bucket: string;
  /** The row: event id, cell, or content. */
  readonly row: string;
  readonly postgres: string | null;
  readonly sink: string | null;
}

/** A row that differs because the pipeline has put its newest change aside, with the reason it gave. */
export interface DeadLettered {
  readonly row: string;
  readonly reason: string;
}

export interface SinkReport {
  readonly result: Verdict;
  readonly bucketsCompared: number;
  readonly rowsCompared: number;
  readonly differenceCount: number;
  /** The first ones. */
  readonly differences: readonly Difference[];
  readonly deadLetteredCount: number;
  /** The first ones. */
  readonly deadLettered: readonly DeadLettered[];
  /** How far the sink stood when it was compared, by partition: an offset of its topic, or a position in Postgres. */
  readonly position: Readonly<Record<string, string>>;
  readonly tookMs: number;
  /** Why it could not be compared; null when it could. */
  readonly problem: string | null;
}

export interface ReconcileReport {
  readonly result: Verdict;
  /** The position in Postgres as of which everything was compared; null when there is none. */
  readonly position: string | null;
  readonly sinks: Readonly<Record<string, SinkReport>>;
  readonly tookMs: number;
}

/** Counts everything, keeps the first `limit` of each list. `S`: what a difference is about, for who is to act on it. */
export class Findings<S = unknown> {
  readonly limit: number;
  /** Of `differences`, in the same order. */
  readonly subjects: S[] = [];
  readonly differences: Difference[] = [];
  readonly deadLettered: DeadLettered[] = [];
  bucketsCompared = 0;
  rowsCompared = 0;
  differenceCount = 0;
  deadLetteredCount = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** How many more differences are shown. */
  get room(): number {
    return this.limit - this.differences.length;
  }

  differs(difference: Difference, subject: S): void {
    this.differenceCount++;
    if (this.differences.length >= this.limit) return;
    this.differences.push(difference);
    this.subjects.push(subject);
  }

  isDeadLettered(row: string, reason: string): void {
    this.deadLetteredCount++;
    if (this.deadLettered.length < this.limit) this.deadLettered.push({ row, reason });
  }

  report(position: Readonly<Record<string, string>>, tookMs: number): SinkReport {
    return {
      result: this.differenceCount === 0 ? 'equal' : 'different',
      bucketsCompared: this.bucketsCompared,
      rowsCompared: this.rowsCompared,
      differenceCount: this.differenceCount,
      differences: this.differences,
      deadLetteredCount: this.deadLetteredCount,
      deadLettered: this.deadLettered,
      position,
      tookMs,
      problem: null,
    };
  }
}

/** The report of a sink that could not be compared. */
export function unknownSink(problem: string, tookMs: number): SinkReport {
  return { ...new Findings(0).report({}, tookMs), result: 'unknown', problem };
}

/** One difference anywhere is a difference; one sink that nobody could look at is no equality. */
export function verdictOf(sinks: Readonly<Record<string, { readonly result: Verdict }>>): Verdict {
  const results = Object.values(sinks).map(({ result }) => result);
  if (results.includes('different')) return 'different';
  return results.length > 0 && results.every((result) => result === 'equal') ? 'equal' : 'unknown';
}

const keysOf = (sink: SinkReport | undefined): readonly string[] =>
  (sink?.differences ?? []).map(({ bucket, row }) => `${bucket}\n${row}`);

/**
 * The last of several reports, each of another snapshot: a sink differs if one of its differences was there every time;
 * if they were others each time, nobody can tell.
 */
export function confirmed(report: ReconcileReport, earlier: readonly ReconcileReport[]): ReconcileReport {
  const sinks = Object.entries(report.sinks).map(([name, sink]): [string, SinkReport] => {
    const stays = keysOf(sink).some((key) => earlier.every(({ sinks }) => keysOf(sinks[name]).includes(key)));
    if (sink.result !== 'different' || stays || sink.differenceCount > sink.differences.length) return [name, sink];
    return [
      name,
      { ...sink, result: 'unknown', problem: 'other differences with each snapshot, while contents are edited' },
    ];
  });
  const all = Object.fromEntries(sinks);
  return { ...report, sinks: all, result: verdictOf(all) };
}

/** The exit status of each verdict. */
export const EXIT_STATUS: Readonly<Record<Verdict, number>> = { equal: 0, different: 1, unknown: 2 };

/** How the contributions beyond the snapshot are told. */
export interface SourcePosition {
  readonly lsn: Lsn;
  /** Transactions from here on are not visible. */
  readonly xmax: bigint;
  /** Transactions below `xmax` that are not visible either. */
  readonly inProgress: readonly bigint[];
  /** The server's time when the snapshot was taken, ms. */
  readonly timeMs: number;
}

/** How much of what is under way is done. */
export interface Within {
  readonly done: number;
  readonly of: number;
  readonly unit: string;
}

/** Told what a comparison is at, as it goes on to it, and how much of that is done where it can say: for a person who waits. */
export type Watch = (at: string, within?: Within) => void;
