import type { LogClient } from '../../../engine/log.ts';

/** A pipeline as it is deployed now. */
export interface MonitoredSource {
  readonly pipeline: MonitoredPipeline;
  /** Asks again what is deployed; what cannot be asked stays as it was. */
  refresh(client: LogClient): Promise<void>;
}

/** One that is always the same. */
export function alwaysMonitored(pipeline: MonitoredPipeline): MonitoredSource {
  return { pipeline, refresh: async () => {} };
}

/** What the monitor is told of each pipeline. It knows nothing else of them. */
export interface MonitoredPipeline {
  readonly name: string;
  /** Each worker and the topic it reads; the worker's name is its consumer group. */
  readonly workers: readonly { readonly name: string; readonly input: string }[];
  /** Topics that are written in transactions. */
  readonly transactional: readonly string[];
  /** The topic of its dead letters. */
  readonly dlq: string;
  /** Sinks that keep their position in ClickHouse's `sluice_progress`. */
  readonly clickHouseSinks: readonly string[];
  /** Sinks in Redis, and the hashes in which they keep stamps (fields `<partition>:stream_time`). */
  readonly redisSinks: readonly { readonly name: string; readonly stamps: readonly string[] }[];
}
