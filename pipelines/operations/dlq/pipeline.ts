/** What the dead-letter commands are told of a pipeline. They know nothing else of it. */
import type { Reasons } from './reasons.ts';

export interface DlqPipeline {
  readonly name: string;
  readonly topic: string;
  readonly reasons: Reasons;
  /** Captured topics: their records may be written again by a command, in the partition they came from. */
  readonly captured: readonly string[];
}
