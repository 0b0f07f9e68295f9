/**
 * Latency over commits, seen from the reader's side. A reader that polls sees a stamp move from one source commit time to another: all
 * that was committed in between became visible at that moment. So one observation stands for a span of commits, each with
 * its own latency, and the figures are over commits and not over polls.
 */

/** Latencies above this are counted as this. */
const MAX_MS = 600_000;

export interface Percentiles {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

export interface LatencySummary extends Percentiles {
  readonly maxMs: number;
  readonly meanMs: number;
}

/** A histogram of whole milliseconds, kept as differences, so that a span of any length is added in constant time. */
export class Latencies {
  readonly #steps = new Float64Array(MAX_MS + 2);
  #end = 0;

  /** One unit of weight for each millisecond from `from` (inclusive) to `to` (exclusive). */
  addSpan(from: number, to: number): void {
    const low = clamp(from);
    const high = clamp(to);
    if (high <= low) return;
    this.#steps[low]! += 1;
    this.#steps[high]! -= 1;
    this.#end = Math.max(this.#end, high);
  }

  /** Null while nothing was added. */
  summary(): LatencySummary | null {
    const weights = this.#weights();
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    if (total === 0) return null;
    const weighted = weights.reduce((sum, weight, ms) => sum + weight * ms, 0);
    return {
      p50Ms: quantile(weights, total * 0.5),
      p95Ms: quantile(weights, total * 0.95),
      p99Ms: quantile(weights, total * 0.99),
      maxMs: weights.findLastIndex((weight) => weight > 0),
      meanMs: Math.round(weighted / total),
    };
  }

  #weights(): Float64Array {
    let weight = 0;
    return this.#steps.slice(0, this.#end).map((step) => {
      weight += step;
      return weight;
    });
  }
}

function clamp(ms: number): number {
  return Math.min(MAX_MS, Math.max(0, Math.round(ms)));
}

/** The smallest latency that at least this much of the weight does not exceed. */
function quantile(weights: Float64Array, wanted: number): number {
  let seen = 0;
  return weights.findIndex((weight) => {
    seen += weight;
    return seen >= wanted;
  });
}

/** Follows the stamps of all partitions and counts the commits of the measured time. */
export class StampTracker {
  readonly latencies = new Latencies();
  readonly #stamps = new Map<number, number>();
  #from = Number.POSITIVE_INFINITY;
  #to = Number.POSITIVE_INFINITY;

  /** Counts commits from this time on. */
  begin(fromMs: number): void {
    this.#from = fromMs;
  }

  /** Commits of this time and later are not counted, those before still are when they become visible. */
  end(toMs: number): void {
    this.#to = toMs;
  }

  /** The oldest stamp of all partitions seen; 0 before the first. */
  get oldest(): number {
    return this.#stamps.size === 0 ? 0 : Math.min(...this.#stamps.values());
  }

  /** A reader saw at `seenMs` that everything of the partition up to commit time `stampMs` is there. */
  observe(partition: number, stampMs: number, seenMs: number): void {
    const before = this.#stamps.get(partition);
    if (before !== undefined && stampMs <= before) return;
    this.#stamps.set(partition, stampMs);
    // Nothing is known of what was visible before the first look.
    if (before === undefined) return;
    const first = Math.max(before + 1, this.#from);
    const last = Math.min(stampMs, this.#to - 1);
    if (first <= last) this.latencies.addSpan(seenMs - last, seenMs - first + 1);
  }
}
