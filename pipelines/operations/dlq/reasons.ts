/** Why a record can be dead-lettered: a closed list. Each reason has its entry in docs/runbooks/dlq.md, under its name. */

export interface Reason {
  /** One line for the operator: what is wrong with the record. */
  readonly meaning: string;
  /** The column at fault and what it may hold, where the reason names one. */
  readonly fault?: { readonly column: string; readonly expected: string };
}

export type Reasons = Readonly<Record<string, Reason>>;

/** What the engine and the operator commands find wrong, whatever the pipeline. */
export const COMMON_REASONS = {
  UNDECODABLE: { meaning: 'the bytes do not follow the schema they name, or are not framed at all' },
  UNKNOWN_SCHEMA: { meaning: 'the schema the bytes name is not in the registry' },
  MISSING_FIELD: { meaning: 'a field that is needed is absent, null or of another type' },
  RECORD_TOO_LARGE: { meaning: 'what follows from the record is larger than the broker takes' },
  SINK_REFUSED: { meaning: 'the target refuses the record; its own code is in the message' },
  STALE_OPERATOR_RECORD: { meaning: 'written by a command so long after it looked that its row may have changed' },
  BAD_OPERATOR_RECORD: { meaning: 'written by a command without what is needed to order it' },
} as const satisfies Reasons;

/** Where the reason's entry is. */
export function runbookOf(reason: string): string {
  return `docs/runbooks/dlq.md#${reason.toLowerCase()}`;
}
