/** Counts the letters of one dead-letter topic by stage and reason. Survives the sessions of the probe that feeds it. */
import type { FetchedRun } from '../../../engine/log.ts';
import type { Sample } from './metrics.ts';

/** A foreign writer could put anything into the headers: series are bounded. */
const MAX_SERIES = 500;
const OTHER = 'OTHER';
/**
 * A kind that turns up while we watch is shown as 0 for so many polls: whoever takes the difference must have seen where it began.
 * Longer than the time between two scrapes.
 */
const ZERO_POLLS = 4;

interface Kind {
  readonly stage: string;
  readonly reason: string;
  letters: number;
  zeroPolls: number;
}

export class LetterCount {
  readonly #pipeline: string;
  readonly #positions = new Map<number, bigint>();
  readonly #kinds = new Map<string, Kind>();
  #complete = false;

  constructor(pipeline: string) {
    this.#pipeline = pipeline;
  }

  /** Where to read on. */
  next(partition: number, earliest: bigint): bigint {
    const position = this.#positions.get(partition) ?? earliest;
    return position > earliest ? position : earliest;
  }

  /** A run that was counted before, by a poll that was given up, counts once. */
  count(partition: number, { records, next }: FetchedRun): void {
    const from = this.#positions.get(partition) ?? 0n;
    for (const { offset, headers } of records) {
      // What became of a letter stands in the same topic.
      if (offset < from || headers.some(({ key }) => key === 'sluice.resolution')) continue;
      const header = (name: string) => {
        const value = headers.find(({ key }) => key === name)?.value;
        return value === undefined ? OTHER : Buffer.from(value).toString().slice(0, 100);
      };
      this.#kind(header('sluice.stage'), header('sluice.reason')).letters += 1;
    }
    if (next > from) this.#positions.set(partition, next);
  }

  /** From now on the counts are shown: while old letters are still read, their number would look like a flood. */
  caughtUp(): void {
    this.#complete = true;
  }

  /** Called once a poll. */
  samples(): readonly Sample[] {
    if (!this.#complete) return [];
    return [...this.#kinds.values()].map((kind) => {
      const { stage, reason, letters } = kind;
      const value = kind.zeroPolls > 0 ? 0 : letters;
      kind.zeroPolls -= 1;
      return { metric: 'sluice_dlq_letters', labels: { pipeline: this.#pipeline, stage, reason }, value };
    });
  }

  #kind(stage: string, reason: string): Kind {
    const key = `${stage} ${reason}`;
    const found = this.#kinds.get(key);
    if (found !== undefined) return found;
    if (this.#kinds.size >= MAX_SERIES && stage !== OTHER) return this.#kind(OTHER, OTHER);
    const kind = { stage, reason, letters: 0, zeroPolls: this.#complete ? ZERO_POLLS : 0 };
    this.#kinds.set(key, kind);
    return kind;
  }
}
