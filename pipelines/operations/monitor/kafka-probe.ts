/** What Kafka says of the pipelines: lag of each worker, transactions that stay open, the source clock, dead letters. */
import type { LogClient, LogReader, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { ClockReading } from '../../../engine/source-clock.ts';
import type { LetterCount } from './letters.ts';
import type { Sample } from './metrics.ts';
import type { MonitoredPipeline, MonitoredSource } from './monitored.ts';
import type { Probe } from './probe.ts';

/** Beats of the source clock are a second apart; the last offsets may be commit markers. */
const CLOCK_LOOK_BACK = 8n;
/** Letters that one poll reads at most: a long topic takes several. */
const LETTERS_PER_POLL = 20_000n;

export interface KafkaProbeOptions {
  readonly client: () => LogClient;
  readonly clock: {
    readonly topic: string;
    /** Loads the schemas that records name. */
    readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
    readonly decode: (record: LogRecord) => ClockReading | null;
  };
  /** Asked anew with each poll: the other probes see what this one has found. */
  readonly pipelines: readonly { readonly source: MonitoredSource; readonly letters: LetterCount }[];
}

export function kafkaProbe(options: KafkaProbeOptions): Probe {
  return {
    system: 'kafka',
    open: () => {
      const client = options.client();
      const reader = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 4 << 20 });
      return {
        async poll() {
          await Promise.all(options.pipelines.map(({ source }) => source.refresh(client)));
          const found = await Promise.all([
            clockSamples(client, reader, options.clock),
            ...options.pipelines.map(({ source }) => offsetSamples(client, source.pipeline)),
            ...options.pipelines.map(({ source, letters }) => letterSamples(client, reader, source.pipeline, letters)),
          ]);
          return found.flat();
        },
        async close() {
          await reader.close();
          await client.close();
        },
      };
    },
  };
}

async function clockSamples(
  client: LogClient,
  reader: LogReader,
  clock: KafkaProbeOptions['clock'],
): Promise<readonly Sample[]> {
  const { topic } = clock;
  const earliest = (await client.offsets(topic, [0], 'earliest')).get(0) ?? 0n;
  const end = (await client.offsets(topic, [0], 'lastStable')).get(0) ?? 0n;
  const from = end - CLOCK_LOOK_BACK > earliest ? end - CLOCK_LOOK_BACK : earliest;
  let timeMs: number | null = null;
  await readToEnd(reader, { topic, partition: 0, from, end }, async ({ records }) => {
    // The registry's absence is not Kafka's fault: without the schema there is no reading.
    const known = await clock.prepare(records).then(
      () => true,
      () => false,
    );
    if (!known) return;
    for (const record of records) timeMs = clock.decode(record)?.timeMs ?? timeMs;
  });
  return timeMs === null ? [] : [{ metric: 'sluice_source_clock_seconds', labels: {}, value: timeMs / 1_000 }];
}

async function offsetSamples(client: LogClient, pipeline: MonitoredPipeline): Promise<readonly Sample[]> {
  const inputs = new Set(pipeline.workers.map(({ input }) => input));
  const topics = [...new Set([...inputs, ...pipeline.transactional])];
  const samples: Sample[] = [];
  for (const topic of topics) {
    const partitions = Array.from({ length: await client.partitions(topic) }, (_, partition) => partition);
    // In this order: what arrives in between must not look like an open transaction.
    const ends = await client.offsets(topic, partitions, 'highWatermark');
    const stable = await client.offsets(topic, partitions, 'lastStable');
    for (const partition of partitions) {
      const labels = { pipeline: pipeline.name, topic, partition: String(partition) };
      const at = stable.get(partition) ?? 0n;
      samples.push({ metric: 'sluice_last_stable_offset', labels, value: Number(at) });
      samples.push({ metric: 'sluice_unstable_records', labels, value: distance(at, ends.get(partition) ?? 0n) });
    }
    if (!inputs.has(topic)) continue;
    const earliest = await client.offsets(topic, partitions, 'earliest');
    for (const { name: worker, input } of pipeline.workers) {
      if (input !== topic) continue;
      for (const partition of partitions) {
        const committed = await client.committed(worker, topic, partition);
        const from = committed?.offset ?? earliest.get(partition) ?? 0n;
        const labels = { pipeline: pipeline.name, worker, topic, partition: String(partition) };
        const value = distance(from, ends.get(partition) ?? 0n);
        samples.push({ metric: 'sluice_group_lag_records', labels, value });
      }
    }
  }
  return samples;
}

function distance(from: bigint, to: bigint): number {
  return to > from ? Number(to - from) : 0;
}

async function letterSamples(
  client: LogClient,
  reader: LogReader,
  { dlq }: MonitoredPipeline,
  letters: LetterCount,
): Promise<readonly Sample[]> {
  const count = await client.partitions(dlq);
  const partitions = Array.from({ length: count }, (_, partition) => partition);
  const earliest = await client.offsets(dlq, partitions, 'earliest');
  const ends = await client.offsets(dlq, partitions, 'lastStable');
  let complete = true;
  for (const partition of partitions) {
    const from = letters.next(partition, earliest.get(partition) ?? 0n);
    const stable = ends.get(partition) ?? 0n;
    const end = stable - from > LETTERS_PER_POLL ? from + LETTERS_PER_POLL : stable;
    await readToEnd(reader, { topic: dlq, partition, from, end }, (run) => letters.count(partition, run));
    complete &&= end === stable;
  }
  if (complete) letters.caughtUp();
  return letters.samples();
}
