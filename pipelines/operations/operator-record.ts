/**
 * A record that a command wrote into a captured topic, and how it is ordered among the changes of its row.
 *
 * Invariant: an operator record never undoes a later change of its row. It says what was true of the row in front of `scannedTo`, an
 * offset of its own partition: whatever stands between that offset and the record itself and is of the same row is newer, and
 * then the record changes nothing. No LSN is compared: a correction stamps a row with its content's, and a deleted row has none.
 * The order of a row's changes is their order in the partition, because all of a key's are in one.
 */
import { FRAME_BYTES } from '../../engine/avro/framing.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogHeader, LogRecord } from '../../engine/log.ts';

const ORIGINS = ['redrive', 'backfill', 'repair'] as const;
export type OperatorOrigin = (typeof ORIGINS)[number];

export interface OperatorRecord {
  readonly origin: OperatorOrigin;
  /** The run of the command, as in the audit. */
  readonly runId: string;
  /**
   * Nothing of this partition in front of this offset is newer than what the record says of its row. For a row read from Postgres: the
   * partition's end, asked before the snapshot was taken.
   */
  readonly scannedTo: bigint;
  /** Publish the row's present state again, even where it is what is known already. */
  readonly force: boolean;
}

/** The headers that make a record an operator's. */
export function operatorHeaders({ origin, runId, scannedTo, force }: OperatorRecord): LogHeader[] {
  const fields = {
    'sluice.origin': origin,
    'sluice.run': runId,
    'sluice.scanned-to': String(scannedTo),
    ...(force ? { 'sluice.force': '1' } : {}),
  };
  return Object.entries(fields).map(([key, value]) => ({ key, value: Buffer.from(value) }));
}

/** null for a captured record. Throws BAD_OPERATOR_RECORD (dead-letter). */
export function operatorRecord({ headers, key, offset }: LogRecord): OperatorRecord | null {
  if (headers.length === 0) return null;
  const origin = headerText(headers, 'sluice.origin');
  if (origin === null) return null;
  const known = ORIGINS.find((one) => one === origin);
  if (known === undefined) throw bad(`sluice.origin is ${JSON.stringify(origin.slice(0, 40))}`);
  const scannedTo = headerText(headers, 'sluice.scanned-to') ?? '';
  if (!/^\d{1,18}$/.test(scannedTo)) throw bad('sluice.scanned-to is no offset');
  if (BigInt(scannedTo) > offset) throw bad(`sluice.scanned-to ${scannedTo} is behind the record itself`);
  if (key === null) throw bad('it has no key, so nothing tells which row it is of');
  return {
    origin: known,
    runId: headerText(headers, 'sluice.run') ?? '',
    scannedTo: BigInt(scannedTo),
    force: headerText(headers, 'sluice.force') === '1',
  };
}

/** Where a record stands in the order of its row's changes: an operator's in front of what it has not seen. */
export function changePosition(record: LogRecord): bigint {
  const written = headerText(record.headers, 'sluice.scanned-to');
  if (written === null || !/^\d{1,18}$/.test(written)) return record.offset;
  return BigInt(written) - 1n;
}

/** Names the row of a record's key: without the id of the key's schema, which changes with its text. */
export function rowOfKey(key: Buffer): string {
  const framed = key.length > FRAME_BYTES && key[0] === 0;
  return key.toString('latin1', framed ? FRAME_BYTES : 0);
}

/** The text of a header; null when the record has none of the name. */
export function headerText(headers: readonly LogHeader[], name: string): string | null {
  for (const { key, value } of headers) if (key === name) return Buffer.from(value).toString();
  return null;
}

function bad(what: string): SluiceError {
  return new SluiceError(`A command wrote a record that cannot be ordered: ${what}`, {
    code: 'BAD_OPERATOR_RECORD',
    action: 'dead-letter',
  });
}
