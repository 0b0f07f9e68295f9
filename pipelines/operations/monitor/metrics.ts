/** What the monitor measures: gauges that show what the newest poll of each system answered. Listed in docs/metrics.md. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';

const METRICS = {
  sluice_probe_up: { help: 'Whether the last poll of a system was answered in time', labels: ['system'] },
  sluice_probe_seconds: { help: 'Time of the last poll of a system', labels: ['system'] },
  sluice_slot_usable: { help: 'Whether the replication slot exists and still has its WAL', labels: ['slot'] },
  sluice_slot_active: { help: 'Whether somebody streams from the replication slot', labels: ['slot'] },
  sluice_slot_retained_wal_bytes: { help: 'WAL that Postgres keeps for the replication slot', labels: ['slot'] },
  sluice_connector_running: { help: 'Whether the connector and all of its tasks run', labels: ['connector'] },
  sluice_connector_task_running: { help: 'Whether one task of the connector runs', labels: ['connector', 'task'] },
  sluice_source_clock_seconds: { help: 'Commit time of the newest beat of the source clock in Kafka', labels: [] },
  sluice_group_lag_records: {
    help: 'Offsets between what a worker committed and the end of its input, running or not',
    labels: ['pipeline', 'worker', 'topic', 'partition'],
  },
  sluice_last_stable_offset: {
    help: 'Where readers of committed records must stop',
    labels: ['pipeline', 'topic', 'partition'],
  },
  sluice_unstable_records: {
    help: 'Offsets behind the first open transaction',
    labels: ['pipeline', 'topic', 'partition'],
  },
  sluice_dlq_letters: {
    help: 'Dead letters since the oldest one that was kept when the monitor started',
    labels: ['pipeline', 'stage', 'reason'],
  },
  sluice_sink_as_of_seconds: {
    help: 'Source time of the figures that readers of a sink see',
    labels: ['pipeline', 'sink', 'partition'],
  },
  sluice_sink_stale_after_seconds: {
    help: 'Age from which the figures of a sink are called stale',
    labels: ['pipeline', 'sink'],
  },
  sluice_lag_limit_records: {
    help: 'Lag of a worker from which it is called falling behind when it grows',
    labels: ['pipeline', 'worker'],
  },
  sluice_disk_free_bytes: { help: 'Free space for an unprivileged writer', labels: ['folder'] },
  sluice_disk_size_bytes: { help: 'Size of the file system that holds a folder', labels: ['folder'] },
} as const;

export type MonitorMetric = keyof typeof METRICS;

export interface Sample {
  readonly metric: MonitorMetric;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A registry that shows, of each system, what its newest poll said; a system that does not answer says nothing. */
export class MonitorMetrics {
  readonly registry = new Registry();
  readonly #samples = new Map<string, readonly Sample[]>();

  /** `known` is asked at each scrape. */
  constructor(known: () => readonly Sample[] = () => []) {
    collectDefaultMetrics({ register: this.registry, prefix: 'sluice_' });
    for (const [name, { help, labels }] of Object.entries(METRICS)) {
      const samples = () => [...known(), ...[...this.#samples.values()].flat()].filter(({ metric }) => metric === name);
      new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers: [this.registry],
        collect() {
          this.reset();
          for (const sample of samples()) this.set(sample.labels, sample.value);
        },
      });
    }
  }

  /** Takes the place of everything that this source said before. */
  show(source: string, samples: readonly Sample[]): void {
    this.#samples.set(source, samples);
  }
}
