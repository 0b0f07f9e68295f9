/** The source clock as its topic tells it. */
import type { SchemaSource } from '../../engine/avro/framed-decoder.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { ClockReading } from '../../engine/source-clock.ts';
import { CDC_HEARTBEAT } from '../operations/topics.ts';
import { heartbeatDecoder } from './envelope.ts';

export interface ClockTopic {
  readonly topic: string;
  /** Loads the schemas that records name. */
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  readonly decode: (record: LogRecord) => ClockReading | null;
}

export function sourceClock(registry: SchemaSource): ClockTopic {
  const decoder = heartbeatDecoder(registry);
  return {
    topic: CDC_HEARTBEAT,
    prepare: async (records) => await decoder.prepare(records.map(({ value }) => value)),
    decode: ({ value }) => {
      if (value === null) return null;
      const { lsn, commitTsMs } = decoder.decode(value);
      return lsn === null ? null : { position: lsn, timeMs: commitTsMs };
    },
  };
}
