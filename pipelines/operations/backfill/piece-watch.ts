/** Whether a piece has arrived: from what capture says, without a clock of our own. */
import type { Seen } from './capture-watch.ts';

export type PieceState =
  | { readonly kind: 'waiting'; readonly note: string }
  /** Its rows are in the topic. */
  | { readonly kind: 'arrived'; readonly rows: number }
  /** It will not arrive: ask again. */
  | { readonly kind: 'lost'; readonly why: string };

/**
 * Beats of the source clock behind the signal, without a word about it: Debezium does not know it (its offsets were reset). A beat and the
 * signal pass through the WAL in order, so a capture that is merely late shows no beats.
 */
export const BEATS_WITHOUT_NOTICE = 30;

const ARRIVED = ['SUCCEEDED', 'EMPTY'];

export class PieceWatch {
  readonly #prefix: string;
  readonly #askedAt: bigint;
  #beats = 0;
  #rows: number | null = null;
  #note = '';

  /**
   * @param prefix what the ids of the piece's signals begin with, whichever attempt
   * @param askedAt a position of the WAL behind the signal
   */
  constructor(prefix: string, askedAt: bigint) {
    this.#prefix = prefix;
    this.#askedAt = askedAt;
  }

  take({ notices, beats }: Seen): PieceState {
    this.#beats += beats.filter(({ position }) => position > this.#askedAt).length;
    for (const notice of notices) {
      if (!notice.signalId.startsWith(this.#prefix)) continue;
      this.#beats = 0;
      if (notice.kind === 'progress') this.#note = `chunk ${notice.chunk} of ${notice.chunks}`;
      if (notice.kind === 'scanned') {
        if (!ARRIVED.includes(notice.status)) return { kind: 'lost', why: `Debezium reports ${notice.status}` };
        this.#rows = notice.rows;
      }
      if (notice.kind === 'completed' && this.#rows !== null) return { kind: 'arrived', rows: this.#rows };
    }
    return this.#beats < BEATS_WITHOUT_NOTICE
      ? { kind: 'waiting', note: this.#note }
      : { kind: 'lost', why: 'Debezium says nothing of it, though capture runs' };
  }
}
