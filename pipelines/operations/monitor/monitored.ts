import type { LogClient } from '../../../engine/log.ts';
import type { Sample } from './metrics.ts';

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
  /** Workers and sinks with another promise than `DEFAULT_LIMITS`, by name. */
  readonly limits?: Readonly<Record<string, Partial<Limits>>>;
}

/** From where on an alert is told of a worker. */
export interface Limits {
  /** Of what readers of the sink see. */
  readonly staleSeconds: number;
  /** Of the worker, while it grows. */
  readonly lagRecords: number;
}

export const DEFAULT_LIMITS: Limits = { staleSeconds: 60, lagRecords: 100_000 };

/** The limits of each worker and sink as the alert rules read them: this is the one place where they are said. */
export function limitSamples({
  name: pipeline,
  workers,
  clickHouseSinks,
  redisSinks,
  limits,
}: MonitoredPipeline): readonly Sample[] {
  const of = (name: string): Limits => ({ ...DEFAULT_LIMITS, ...limits?.[name] });
  const sinks = [...clickHouseSinks, ...redisSinks.map(({ name }) => name)];
  return [
    ...sinks.map((sink): Sample => {
      return { metric: 'sluice_sink_stale_after_seconds', labels: { pipeline, sink }, value: of(sink).staleSeconds };
    }),
    ...workers.map(({ name: worker }): Sample => {
      return { metric: 'sluice_lag_limit_records', labels: { pipeline, worker }, value: of(worker).lagRecords };
    }),
  ];
}
