/**
 * What to do about an error of Postgres: one table keyed by SQLSTATE.
 * https://www.postgresql.org/docs/18/errcodes-appendix.html
 */
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

interface Rule {
  readonly action: ErrorAction;
  readonly code: string;
}

/** Whole five-character codes; they win over their class. */
const BY_STATE: Readonly<Record<string, Rule>> = {
  '40001': { action: 'retry', code: 'POSTGRES_SERIALIZATION_FAILURE' },
  '40P01': { action: 'retry', code: 'POSTGRES_DEADLOCK' },
  '53100': { action: 'retry', code: 'POSTGRES_DISK_FULL' },
  '53300': { action: 'retry', code: 'POSTGRES_TOO_MANY_CONNECTIONS' },
  '53400': { action: 'fatal', code: 'POSTGRES_CONFIGURATION_LIMIT' },
  '55000': { action: 'fatal', code: 'POSTGRES_NOT_IN_PREREQUISITE_STATE' },
  '55006': { action: 'retry', code: 'POSTGRES_OBJECT_IN_USE' },
  '55P03': { action: 'retry', code: 'POSTGRES_LOCK_TIMEOUT' },
  '57014': { action: 'retry', code: 'POSTGRES_STATEMENT_TIMEOUT' },
  '57P01': { action: 'reconnect', code: 'POSTGRES_SHUTDOWN' },
  '57P02': { action: 'reconnect', code: 'POSTGRES_CRASH_SHUTDOWN' },
  '57P03': { action: 'retry', code: 'POSTGRES_STARTING' },
  '57P05': { action: 'reconnect', code: 'POSTGRES_IDLE_SESSION_TIMEOUT' },
  '25006': { action: 'reconnect', code: 'POSTGRES_READ_ONLY' },
  '25P03': { action: 'reconnect', code: 'POSTGRES_IDLE_IN_TRANSACTION' },
  '25P04': { action: 'retry', code: 'POSTGRES_TRANSACTION_TIMEOUT' },
  '3D000': { action: 'fatal', code: 'POSTGRES_NO_DATABASE' },
  '42501': { action: 'fatal', code: 'POSTGRES_NOT_ALLOWED' },
  '58030': { action: 'retry', code: 'POSTGRES_IO_ERROR' },
};

/** The first two characters of a code. */
const BY_CLASS: Readonly<Record<string, Rule>> = {
  '08': { action: 'reconnect', code: 'POSTGRES_CONNECTION' },
  '0A': { action: 'fatal', code: 'POSTGRES_NOT_SUPPORTED' },
  '22': { action: 'dead-letter', code: 'POSTGRES_BAD_VALUE' },
  '23': { action: 'dead-letter', code: 'POSTGRES_CONSTRAINT' },
  '25': { action: 'reconnect', code: 'POSTGRES_TRANSACTION_STATE' },
  '28': { action: 'fatal', code: 'POSTGRES_AUTHENTICATION' },
  '40': { action: 'retry', code: 'POSTGRES_ROLLED_BACK' },
  '42': { action: 'fatal', code: 'POSTGRES_STATEMENT' },
  '53': { action: 'retry', code: 'POSTGRES_OUT_OF_RESOURCES' },
  '57': { action: 'reconnect', code: 'POSTGRES_INTERVENTION' },
  '58': { action: 'retry', code: 'POSTGRES_SYSTEM' },
  XX: { action: 'fatal', code: 'POSTGRES_INTERNAL' },
};

/** Errors of the socket, by Node's own codes: https://nodejs.org/api/errors.html#common-system-errors */
const BY_SOCKET: Readonly<Record<string, Rule>> = {
  ECONNREFUSED: { action: 'retry', code: 'POSTGRES_UNREACHABLE' },
  ENOTFOUND: { action: 'retry', code: 'POSTGRES_UNREACHABLE' },
  EAI_AGAIN: { action: 'retry', code: 'POSTGRES_UNREACHABLE' },
  EHOSTUNREACH: { action: 'retry', code: 'POSTGRES_UNREACHABLE' },
  ETIMEDOUT: { action: 'reconnect', code: 'POSTGRES_CONNECTION' },
  ECONNRESET: { action: 'reconnect', code: 'POSTGRES_CONNECTION' },
  EPIPE: { action: 'reconnect', code: 'POSTGRES_CONNECTION' },
};

/** pg reports a lost or late connection in words only; these are all of its own (pg 8, lib/client.js and pg-pool). */
const CLIENT_MESSAGE =
  /^(Connection terminated|Client has encountered a connection error|Query read timeout|timeout e)/i;

function codeOf(error: unknown): string | null {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : null;
}

function ruleFor(error: unknown): Rule {
  const code = codeOf(error);
  if (code !== null) {
    const rule = BY_STATE[code] ?? BY_SOCKET[code] ?? (code.length === 5 ? BY_CLASS[code.slice(0, 2)] : undefined);
    if (rule !== undefined) return rule;
  }
  if (error instanceof Error && CLIENT_MESSAGE.test(error.message)) {
    return { action: 'reconnect', code: 'POSTGRES_CONNECTION' };
  }
  return { action: 'reconnect', code: 'POSTGRES_UNKNOWN' };
}

/**
 * Turns what the driver threw into a SluiceError with its SQLSTATE in the message; a SluiceError passes unchanged.
 * @param doing what was attempted, to open the message with ("apply migration 0003")
 */
export function postgresError(error: unknown, doing: string): SluiceError {
  if (error instanceof SluiceError) return error;
  const { action, code } = ruleFor(error);
  const vendor = codeOf(error);
  const text = error instanceof Error && error.message !== '' ? error.message : String(error);
  const hint = typeof error === 'object' && error !== null && 'hint' in error && error.hint ? ` (${error.hint})` : '';
  const message = `Could not ${doing}: ${text}${hint}${vendor === null ? '' : ` [${vendor}]`}`;
  return new SluiceError(message, { code, action, cause: error });
}
