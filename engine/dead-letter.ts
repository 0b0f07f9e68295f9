/** The envelope of a dead letter: the bad record's bytes as they were, and why and where in headers. */
import type { LogHeader, LogRecord, OutputBatch } from './log.ts';

export interface DeadLetter {
  readonly reason: string;
  readonly message: string;
  readonly stage: string;
  readonly topic: string;
  readonly partition: number;
}

const MAX_MESSAGE = 1_000;
/** Below what the topic takes (8 MiB) by more than the headers and what compression may add: a letter is never too large. */
const MAX_BYTES = 7 << 20;
/** What is kept of a key or value of a record that is larger than that. */
const KEPT_BYTES = 64 << 10;

/** Adds one letter to the batch of the dead-letter topic. */
export function appendDeadLetter(output: OutputBatch, record: LogRecord, letter: DeadLetter): void {
  const { key, value, timestampMs } = record;
  const headers = deadLetterHeaders(record, letter);
  const bytes = (key?.length ?? 0) + (value?.length ?? 0);
  if (bytes <= MAX_BYTES) {
    output.append(key, value, timestampMs, headers);
    return;
  }
  headers.push({ key: 'sluice.truncated', value: Buffer.from(String(bytes)) });
  output.append(cut(key), cut(value), timestampMs, headers);
}

const cut = (bytes: Buffer | null) => bytes?.subarray(0, KEPT_BYTES) ?? null;

/** A producer may have written any number; a letter must not fail for it. */
function isoTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

const schemaIdOf = (value: Buffer | null): string =>
  value !== null && value.length >= 5 && value[0] === 0 ? String(value.readInt32BE(1)) : '';

/**
 * Headers of one dead letter. A redriven record that fails again keeps its first time and its place in the order of its row's changes,
 * and counts its attempts.
 * `atMs` is the time of the record, not of the wall clock, so that a repeated transaction writes the same letter.
 */
export function deadLetterHeaders(record: LogRecord, letter: DeadLetter): LogHeader[] {
  const old = new Map(record.headers.map(({ key, value }) => [key, Buffer.from(value).toString()]));
  const at = isoTime(record.timestampMs);
  const attempts = Number(old.get('sluice.attempts') ?? 0);
  const fields: Readonly<Record<string, string>> = {
    'sluice.reason': letter.reason,
    'sluice.stage': letter.stage,
    'sluice.message': letter.message.slice(0, MAX_MESSAGE),
    'sluice.topic': letter.topic,
    'sluice.partition': String(letter.partition),
    'sluice.offset': String(record.offset),
    'sluice.schema-id': schemaIdOf(record.value),
    'sluice.attempts': String((Number.isSafeInteger(attempts) ? attempts : 0) + 1),
    'sluice.first-at': old.get('sluice.first-at') ?? at,
    'sluice.last-at': at,
  };
  const scannedTo = old.get('sluice.scanned-to');
  const all = scannedTo === undefined ? fields : { ...fields, 'sluice.scanned-to': scannedTo };
  return Object.entries(all).map(([key, value]) => ({ key, value: Buffer.from(value) }));
}
