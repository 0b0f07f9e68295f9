/** Figures out of the looks at a worker. */
import type { Sample } from './metered-worker.ts';

export interface Rate {
  readonly records: number;
  readonly seconds: number;
  readonly recordsPerSecond: number;
  readonly cpuMicrosPerRecord: number;
}

/** Between the first look and the last. */
export function rateOf(samples: readonly Sample[]): Rate {
  return between(samples[0]!, samples.at(-1)!);
}

/** While the worker went from one count of records to another, between looks interpolated. Null when it never saw so many. */
export function rateWhile(samples: readonly Sample[], from: number, to: number): Rate | null {
  const low = at(samples, from);
  const high = at(samples, to);
  return low === null || high === null ? null : between(low, high);
}

function between(a: Sample, b: Sample): Rate {
  const records = b.records - a.records;
  const seconds = (b.atMs - a.atMs) / 1_000;
  return {
    records: Math.round(records),
    seconds: round(seconds, 2),
    recordsPerSecond: seconds === 0 ? 0 : Math.round(records / seconds),
    cpuMicrosPerRecord: records === 0 ? 0 : round((b.cpuMicros - a.cpuMicros) / records, 2),
  };
}

function at(samples: readonly Sample[], records: number): Sample | null {
  const next = samples.findIndex((sample) => sample.records >= records);
  if (next < 0) return null;
  const high = samples[next]!;
  const low = samples[next - 1];
  if (low === undefined || high.records === low.records) return high;
  const share = (records - low.records) / (high.records - low.records);
  const mix = (a: number, b: number) => a + (b - a) * share;
  return {
    records,
    atMs: mix(low.atMs, high.atMs),
    cpuMicros: mix(low.cpuMicros, high.cpuMicros),
    lag: mix(low.lag, high.lag),
  };
}

export function round(value: number, digits: number): number {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}
