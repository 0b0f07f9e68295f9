/** Letters of a sink whose target takes a single record again: past the topic, which others read too. */
import type { LogRecord } from '../../../engine/log.ts';
import type { Sink } from '../../../engine/sink.ts';
import type { Letter } from './letter.ts';
import type { SinkRedrive } from './pipeline.ts';

/** The sink must have `redrive`. A letter remembers the time of its record. `prepare` and `decode` are those of its worker; `topic` is its input. */
export function sinkRedrive<T>(options: {
  readonly sink: Sink<T>;
  readonly topic: string;
  readonly generation: number;
  readonly prepare: (records: readonly Pick<LogRecord, 'key' | 'value'>[]) => Promise<void>;
  readonly decode: (value: Buffer, timestampMs: number) => T;
}): SinkRedrive {
  const { sink, topic, generation, prepare, decode } = options;
  return {
    write: async ({ partition, offset, key, value, firstAt, writtenMs }: Letter) => {
      await prepare([{ key, value }]);
      const timestampMs = firstAt === '' ? writtenMs : Date.parse(firstAt);
      const tombstone = value === null && key !== null;
      const record = tombstone
        ? ({ kind: 'tombstone', offset, key } as const)
        : ({ kind: 'upsert', offset, key, value: decode(value ?? Buffer.alloc(0), timestampMs) } as const);
      await sink.redrive!({ topic, partition, from: offset, to: offset + 1n, generation, records: [record] });
    },
    close: async () => await sink.close(),
  };
}
