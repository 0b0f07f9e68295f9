/**
 * What differs, looked at again as of later snapshots until it is known to be wrong, or right by now.
 *
 * What a store shows mixes transactions, so it cannot be rolled back to a position. Invariant: something is called different only if what is shown of it
 * was there before the last snapshot, and the store has passed the position of that snapshot: then it has everything that the snapshot sees, and
 * nothing else. What moves with every snapshot is unknown, never equal.
 */
import { type Difference, Findings, type SinkReport } from '../../operations/reconcile/report.ts';

/** One look at a sink, or at a part of it. */
export interface Look {
  /** What does not say what the snapshot says, by key. */
  readonly differing: ReadonlyMap<string, Difference>;
  /** What is shown under a key, in a form that changes whenever it does; undefined: nothing. Asked after what differs was read. */
  readonly versionOf: (key: string) => string | undefined;
  /** Which keys were looked at; all when left out. */
  readonly covers?: (key: string) => boolean;
  /** Why a difference is none: the reason of the letter that explains it. */
  readonly explanation?: (key: string, difference: Difference) => string | null;
}

export class Suspects {
  readonly findings: Findings<string>;
  position: Readonly<Record<string, string>> = {};
  tookMs = 0;
  readonly #open = new Map<string, string | undefined>();

  constructor(limit: number) {
    this.findings = new Findings(limit);
  }

  /** What is to be looked at again. */
  get open(): ReadonlySet<string> {
    return new Set(this.#open.keys());
  }

  /** Takes note of the first look. */
  suspect({ differing, versionOf }: Look): void {
    for (const key of differing.keys()) this.#open.set(key, versionOf(key));
  }

  /** Decides what is open by a look as of a later snapshot: equal now, different, or still moving. */
  decide({ differing, versionOf, covers = () => true, explanation }: Look): void {
    for (const [key, before] of this.#open) {
      if (!covers(key)) continue;
      const difference = differing.get(key);
      const now = versionOf(key);
      if (difference !== undefined && now !== before) {
        this.#open.set(key, now);
        continue;
      }
      this.#open.delete(key);
      if (difference === undefined) continue;
      const reason = explanation?.(key, difference) ?? null;
      if (reason === null) this.findings.differs(difference, key);
      else this.findings.isDeadLettered(difference.row, reason);
    }
  }

  report(snapshots: number): SinkReport {
    const report = this.findings.report(this.position, this.tookMs);
    if (this.#open.size === 0 || report.result === 'different') return report;
    const problem = `${this.#open.size} changed with each of ${snapshots} snapshots, while prices are written: ask again, or with less traffic`;
    return { ...report, result: 'unknown', problem };
  }
}
