/** What the caller should do about an error. The decision is made once, where the vendor's code is known. */
export type ErrorAction =
  /** Try again, with backoff. */
  | 'retry'
  /** The record is at fault: dead-letter it and go on. */
  | 'dead-letter'
  /** The client's state is unknown: throw the client away and start again at the fence. */
  | 'reconnect'
  /** Nothing this process can do: stop it with the message. */
  | 'fatal';

export interface SluiceErrorOptions {
  /** Stable, upper snake case; documented where it is thrown. */
  readonly code: string;
  readonly action: ErrorAction;
  readonly cause?: unknown;
}

/** The one error class of Sluice: what happened, where, and what to do about it. */
export class SluiceError extends Error {
  readonly code: string;
  readonly action: ErrorAction;

  constructor(message: string, options: SluiceErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SluiceError';
    this.code = options.code;
    this.action = options.action;
  }
}

/** The action of any thrown thing; what nobody classified is worth one more try with a fresh client. */
export function actionOf(error: unknown): ErrorAction {
  return error instanceof SluiceError ? error.action : 'reconnect';
}
