/** One letter for a person: what it says of itself, its bytes decoded as far as they go, and the fault in its context. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { Found } from './catalogue.ts';
import { type Letter, sourceOf } from './letter.ts';
import { fieldOf, type Outline, outlineOf } from './outline.ts';
import { type Reasons, runbookOf } from './reasons.ts';

export interface Described {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
  readonly meaning: string;
  readonly message: string;
  readonly runbook: string;
  readonly stage: string;
  readonly source: string;
  readonly written: string;
  readonly attempts: number;
  readonly firstAt: string;
  readonly lastAt: string;
  readonly truncatedFrom: number | null;
  /** The field at fault, what it holds and what was expected; null when the reason names none, or it cannot be decoded. */
  readonly fault: { readonly path: string; readonly value: string; readonly expected: string } | null;
  readonly key: DescribedBytes | null;
  readonly value: DescribedBytes | null;
}

interface DescribedBytes extends Outline {
  readonly bytes: number;
  /** The first bytes. */
  readonly hex: string;
}

const HEX_BYTES = 256;

export async function describe(
  { letter, state }: Found,
  { schemas, reasons }: { readonly schemas: SchemaSource; readonly reasons: Reasons },
): Promise<Described> {
  const value = await bytesOf(letter.value, schemas);
  return {
    ...summary({ letter, state }, reasons),
    fault: value === null ? null : faultOf(letter, value, reasons),
    key: await bytesOf(letter.key, schemas),
    value,
  };
}

export function summary({ letter, state }: Found, reasons: Reasons): Omit<Described, 'fault' | 'key' | 'value'> {
  const { id, reason, message, stage, attempts, firstAt, lastAt, truncatedFrom, writtenMs } = letter;
  return {
    ...{ id: String(id), state, reason, message, stage, attempts, firstAt, lastAt, truncatedFrom },
    meaning: reasons[reason]?.meaning ?? 'a reason of another version of the pipeline',
    runbook: runbookOf(reason),
    source: sourceOf(letter),
    written: new Date(writtenMs).toISOString(),
  };
}

async function bytesOf(bytes: Buffer | null, schemas: SchemaSource): Promise<DescribedBytes | null> {
  if (bytes === null) return null;
  const outline = await outlineOf(bytes, schemas);
  return { ...outline, bytes: bytes.length, hex: bytes.toString('hex', 0, HEX_BYTES) };
}

function faultOf({ reason }: Letter, outline: Outline, reasons: Reasons): Described['fault'] {
  const fault = reasons[reason]?.fault;
  const field = fault && fieldOf(outline, fault.column);
  return field === undefined ? null : { path: field.path, value: field.text, expected: fault!.expected };
}

export function describedLines(letter: Described): string[] {
  const { source, attempts, firstAt, lastAt, fault, key, value } = letter;
  return [
    `letter ${letter.id} (${letter.state}), written ${letter.written}`,
    `  ${letter.reason}: ${letter.meaning}`,
    `  ${letter.message}`,
    ...(fault === null ? [] : [`  at fault: ${fault.path} is ${fault.value}; expected ${fault.expected}`]),
    `  from ${source}, stage ${letter.stage}, attempts ${attempts}, first ${firstAt || 'not known'}, last ${lastAt || 'not known'}`,
    `  what to do: ${letter.runbook}`,
    ...(letter.truncatedFrom === null ? [] : [`  only the first bytes of ${letter.truncatedFrom} are kept`]),
    ...bytesLines('key', key),
    ...bytesLines('value', value),
  ];
}

function bytesLines(name: string, described: DescribedBytes | null): string[] {
  if (described === null) return [`${name}: NULL`];
  const { bytes, fields, stopped, hex } = described;
  const lines = [`${name}: ${bytes} bytes`, ...fields.map(({ path, text }) => `  ${path} = ${text}`)];
  if (stopped === null) return lines;
  const where = stopped.path === '' ? '' : ` in ${stopped.path}`;
  const rest = bytes > HEX_BYTES ? '…' : '';
  return [...lines, `  decoding stopped at byte ${stopped.atByte}${where}: ${stopped.why}`, `  0x${hex}${rest}`];
}
