/** An error of the stack that an operator can do something about: what happened, and the way out. */
export class StackError extends Error {
  /** Stable, upper snake case. */
  readonly code: string;
  /** What to do about it, ready to be shown. */
  readonly wayOut: string;

  constructor(code: string, message: string, wayOut: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StackError';
    this.code = code;
    this.wayOut = wayOut;
  }
}

/** One message with its way out, for a terminal. */
export function describe(error: unknown): string {
  if (error instanceof StackError) return `${error.message}\n  → ${error.wayOut.replaceAll('\n', '\n    ')}`;
  return error instanceof Error ? error.message : String(error);
}
