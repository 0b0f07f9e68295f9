/** Counts the letters of one dead-letter topic by stage and reason. Survives the sessions of the probe that feeds it. */
import type { FetchedRun } from '../../../engine/log.ts';
import type { Sample } from './metrics.ts';
import type { MonitoredPipeline } from './monitored.ts';

/** A foreign writer could put anything into the headers: series are bounded. */
const MAX_SERIES = 500;
const OTHER = 'OTHER';

export class LetterCount {
  readonly #pipeline: MonitoredPipeline;
  readonly #positions = new Map<number, bigint>();
  readonly #counts = new Map<string, { readonly stage: string; readonly reason: string; letters: number }>();
  #complete = false;

  constructor(pipeline: MonitoredPipeline) {
    this.#pipeline = pipeline;
    // From 0 on, so that the first letter of a kind is seen as a change.
    for (const stage of pipeline.dlq.stages) for (const reason of pipeline.dlq.reasons) this.#entry(stage, reason);
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
      if (offset < from) continue;
      const header = (name: string) => {
        const value = headers.find(({ key }) => key === name)?.value;
        return value === undefined ? OTHER : Buffer.from(value).toString().slice(0, 100);
      };
      this.#entry(header('sluice.stage'), header('sluice.reason')).letters += 1;
    }
    if (next > from) this.#positions.set(partition, next);
  }

  /** From now on the counts are shown: while old letters are still read, their number would look like a flood. */
  caughtUp(): void {
    this.#complete = true;
  }

  samples(): readonly Sample[] {
    if (!this.#complete) return [];
    return [...this.#counts.values()].map(({ stage, reason, letters }) => ({
      metric: 'sluice_dlq_letters',
      labels: { pipeline: this.#pipeline.name, stage, reason },
      value: letters,
    }));
  }

  #entry(stage: string, reason: string): { letters: number } {
    const key = `${stage} ${reason}`;
    const found = this.#counts.get(key);
    if (found !== undefined) return found;
    if (this.#counts.size >= MAX_SERIES && stage !== OTHER) return this.#entry(OTHER, OTHER);
    const entry = { stage, reason, letters: 0 };
    this.#counts.set(key, entry);
    return entry;
  }
}
