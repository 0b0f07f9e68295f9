/** What every comparison of prices is given, and what it gives back. */
import type { Lsn } from '../../../connectors/postgres/lsn.ts';
import type { SluiceError } from '../../../engine/errors.ts';
import type { Deadline } from '../../operations/reconcile/deadline.ts';
import type { Within } from '../../operations/reconcile/report.ts';
import type { PriceLetters } from './letters.ts';
import type { PricesSource } from './source.ts';
import type { Suspects } from './suspects.ts';

/** Postgres as of one position, with what all comparisons need. */
export interface Snapshot {
  readonly source: PricesSource;
  /** Sinks are waited for until they have passed it. At or behind the position of the snapshot. */
  readonly lsn: Lsn;
  /** A candle that ends at or before it is final wherever `lsn` is passed. */
  readonly finalTo: number;
  /** The server's time, ms. */
  readonly nowMs: () => number;
  readonly letters: PriceLetters;
  /** Bars that a letter explains, with its reason. */
  readonly explained: readonly { readonly key: string; readonly reason: string }[];
  /** Of one wait. */
  readonly deadline: () => Deadline;
}

/** A snapshot as one comparison looks at it. */
export interface WatchedSnapshot extends Snapshot {
  /** Told by a comparison that knows how much of its look is done. */
  readonly progress: (within: Within) => void;
}

/** Compares one sink. Called with each snapshot as long as one of its suspects is open; throws what kept it from looking (SluiceError). */
export interface Comparison {
  /** What it compares, for a person who waits. */
  readonly title: string;
  /** By the name of the report. */
  readonly suspects: ReadonlyMap<string, Suspects>;
  /** Reports that could not be made, where others of the comparison could. */
  readonly failed?: ReadonlyMap<string, SluiceError>;
  /** The first look is at everything, later ones at what is open. */
  look(snapshot: WatchedSnapshot, first: boolean): Promise<void>;
}

export const isOpen = ({ suspects, failed }: Comparison): boolean =>
  [...suspects].some(([name, { open }]) => open.size > 0 && failed?.has(name) !== true);
