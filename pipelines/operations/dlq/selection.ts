/** Which of the letters that match can be redriven, and why the others cannot. */
import type { LogClient } from '../../../engine/log.ts';
import type { TopicPartition } from '../../../engine/sink.ts';
import { rowOfKey } from '../operator-record.ts';
import type { DlqCatalogue } from './catalogue.ts';
import type { LetterFilter } from './filter.ts';
import type { Letter } from './letter.ts';
import { NewestChanges } from './newest-changes.ts';
import type { DlqPipeline } from './pipeline.ts';

/** Why a letter stays as it is, and what to do instead. */
export const LEFT = {
  attempts: 'tried --max-attempts times already: mend the cause, then raise --max-attempts, or discard',
  expired:
    'the captured topic no longer reaches back to it, so nothing tells whether its row has changed: use backfill',
  truncated: 'only its first bytes are kept: use backfill, or rebuild the sink with replay',
  keyless: 'without a key, so nothing tells which row it is of: use backfill, or discard',
  stage: 'no captured record, and its stage takes no single one again: rebuild that sink with replay, or discard',
} as const;
export type LeftReason = keyof typeof LEFT;

/** A letter of a captured record. */
export interface CapturedCandidate {
  readonly kind: 'captured';
  readonly topic: string;
  readonly partition: number;
  readonly row: string;
  /** Where the record stands in the order of its row's changes. */
  readonly position: bigint;
}

/** A letter that goes to its sink alone. */
export interface SinkCandidate {
  readonly kind: 'sink';
  readonly stage: string;
}

export type Candidate = CapturedCandidate | SinkCandidate;

export interface SelectOptions {
  readonly client: LogClient;
  readonly pipeline: DlqPipeline;
  readonly filter: LetterFilter;
  readonly maxAttempts: number;
  /** At most so many letters, the oldest first. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

export interface Selection {
  readonly candidates: ReadonlyMap<bigint, Candidate>;
  readonly left: Readonly<Record<LeftReason, number>>;
  /** There were more than the limit. */
  readonly more: number;
  /** By `topic:partition`; nothing is read yet. */
  readonly changes: ReadonlyMap<string, NewestChanges>;
}

export const partitionName = ({ topic, partition }: TopicPartition) => `${topic}:${partition}`;

export async function select(catalogue: DlqCatalogue, options: SelectOptions): Promise<Selection> {
  const { client, filter, limit, signal } = options;
  const candidates = new Map<bigint, Candidate>();
  const left: Record<LeftReason, number> = { attempts: 0, expired: 0, truncated: 0, keyless: 0, stage: 0 };
  const changes = new Map<string, NewestChanges>();
  const earliest = await earliestOf(options);
  let more = 0;
  await catalogue.each({ ...filter, state: 'open' }, ({ letter }) => {
    const found = candidateOf(letter, options, earliest);
    if (typeof found === 'string') {
      left[found]++;
      return;
    }
    if (candidates.size >= limit) {
      more++;
      return;
    }
    candidates.set(letter.id, found);
    if (found.kind === 'sink') return;
    const name = partitionName(found);
    const watched = changes.get(name) ?? new NewestChanges(client, found, signal);
    changes.set(name, watched);
    watched.watch(found.row, found.position + 1n);
  });
  return { candidates, left, more, changes };
}

function candidateOf(
  letter: Letter,
  { pipeline, maxAttempts }: SelectOptions,
  earliest: ReadonlyMap<string, bigint>,
): Candidate | LeftReason {
  const { topic, partition, key, stage } = letter;
  if (letter.attempts >= maxAttempts) return 'attempts';
  if (letter.truncatedFrom !== null) return 'truncated';
  if (!pipeline.captured.includes(topic)) return stage in pipeline.sinks ? { kind: 'sink', stage } : 'stage';
  if (key === null) return 'keyless';
  const position = letter.scannedTo === null ? letter.offset : letter.scannedTo - 1n;
  const begin = earliest.get(partitionName({ topic, partition }));
  if (begin === undefined || position + 1n < begin) return 'expired';
  return { kind: 'captured', topic, partition, row: rowOfKey(key), position };
}

/** Where each captured partition begins. */
async function earliestOf({ client, pipeline }: SelectOptions): Promise<ReadonlyMap<string, bigint>> {
  const earliest = new Map<string, bigint>();
  for (const topic of pipeline.captured) {
    const partitions = Array.from({ length: await client.partitions(topic) }, (_, partition) => partition);
    for (const [partition, offset] of await client.offsets(topic, partitions, 'earliest')) {
      earliest.set(partitionName({ topic, partition }), offset);
    }
  }
  return earliest;
}
