/** What the dead-letter commands are told of a pipeline. They know nothing else of it. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { Config } from '../../config.ts';
import type { Letter } from './letter.ts';
import type { Reasons } from './reasons.ts';

export interface DlqPipeline {
  readonly name: string;
  readonly topic: string;
  readonly reasons: Reasons;
  /** Captured topics: their records may be written again by a command, in the partition they came from. */
  readonly captured: readonly string[];
  /** The sinks that take a single record again, by the name of their worker. Their input has one writer and other readers. */
  readonly sinks: Readonly<Record<string, (config: Config, schemas: SchemaSource) => SinkRedrive>>;
}

/** Writes letters of one sink to its target alone. */
export interface SinkRedrive {
  /** Harmless when repeated. Throws a SluiceError with action `dead-letter` when the target refuses the record again. */
  write(letter: Letter): Promise<void>;
  close(): Promise<void>;
}
