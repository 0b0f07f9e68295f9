/**
 * The records of a dead-letter topic: letters, and what became of them.
 *
 * The topic is append-only, so that a letter was redriven or discarded is another record of the same topic, behind it. It is deleted after
 * its letter, never before, so no letter comes back to life.
 */
import type { LogHeader, LogRecord } from '../../../engine/log.ts';
import { headerText } from '../operator-record.ts';

/** What became of a letter. `superseded`: its row has changed since, so there was nothing to redrive. */
export const RESOLUTIONS = ['redriven', 'superseded', 'discarded'] as const;
export type Resolution = (typeof RESOLUTIONS)[number];
export type LetterState = 'open' | Resolution;

export interface Letter {
  /** Its offset in the dead-letter topic. */
  readonly id: bigint;
  /** When it was written, ms. */
  readonly writtenMs: number;
  readonly reason: string;
  readonly message: string;
  readonly stage: string;
  /** Where the record came from. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** How often it was tried. */
  readonly attempts: number;
  /** The record's own time, ISO; '' when it was none. */
  readonly firstAt: string;
  readonly lastAt: string;
  /** Size of the record when only its first bytes are kept. */
  readonly truncatedFrom: number | null;
  /** Of an operator's record that failed: what it had seen of its partition. */
  readonly scannedTo: bigint | null;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

export interface ResolutionRecord {
  readonly letterId: bigint;
  readonly resolution: Resolution;
  readonly runId: string;
  readonly writtenMs: number;
}

export type DlqRecord =
  | { readonly kind: 'letter'; readonly letter: Letter }
  | ({ readonly kind: 'resolution' } & ResolutionRecord)
  /** Of nobody's: without the headers of either. */
  | { readonly kind: 'foreign' };

export function dlqRecord(record: LogRecord): DlqRecord {
  const { headers, offset, timestampMs: writtenMs, key, value } = record;
  const text = (name: string) => headerText(headers, `sluice.${name}`) ?? '';
  const resolution = RESOLUTIONS.find((one) => one === text('resolution'));
  if (resolution !== undefined) {
    const letterId = integer(text('letter'));
    if (letterId === null) return { kind: 'foreign' };
    return { kind: 'resolution', letterId, resolution, runId: text('run'), writtenMs };
  }
  const source = integer(text('offset'));
  if (source === null || text('reason') === '') return { kind: 'foreign' };
  const letter: Letter = {
    ...{ id: offset, writtenMs, key, value, offset: source },
    ...{ reason: text('reason'), message: text('message'), stage: text('stage'), topic: text('topic') },
    partition: Number(integer(text('partition')) ?? 0n),
    attempts: Number(integer(text('attempts')) ?? 1n),
    firstAt: text('first-at'),
    lastAt: text('last-at'),
    truncatedFrom: text('truncated') === '' ? null : Number(text('truncated')),
    scannedTo: integer(text('scanned-to')),
  };
  return { kind: 'letter', letter };
}

/** The headers of the record that says what became of a letter. */
export function resolutionHeaders(letterId: bigint, resolution: Resolution, runId: string): LogHeader[] {
  const fields = { 'sluice.resolution': resolution, 'sluice.letter': String(letterId), 'sluice.run': runId };
  return Object.entries(fields).map(([key, value]) => ({ key, value: Buffer.from(value) }));
}

/** The record's own time, ms; where it had none, when its letter was written. */
export function recordTimeMs({ lastAt, writtenMs }: Pick<Letter, 'lastAt' | 'writtenMs'>): number {
  const ms = Date.parse(lastAt);
  return Number.isNaN(ms) ? writtenMs : ms;
}

/** Where the record came from, as operators write it. */
export function sourceOf({ topic, partition, offset }: Pick<Letter, 'topic' | 'partition' | 'offset'>): string {
  return `${topic}:${partition}:${offset}`;
}

function integer(text: string): bigint | null {
  return /^\d{1,18}$/.test(text) ? BigInt(text) : null;
}
