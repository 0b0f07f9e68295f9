/**
 * What to do about an error of the schema registry: one table by its error code, one by HTTP status.
 * https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors
 */
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

interface Rule {
  readonly action: ErrorAction;
  readonly code: string;
}

/** By `error_code` of the body. The 404 family is an answer where it is asked for, and fatal where it is not. */
const BY_ERROR_CODE: Readonly<Record<number, Rule>> = {
  409: { action: 'fatal', code: 'SCHEMA_INCOMPATIBLE' },
  40401: { action: 'fatal', code: 'SCHEMA_NOT_REGISTERED' },
  40402: { action: 'fatal', code: 'SCHEMA_NOT_REGISTERED' },
  40403: { action: 'fatal', code: 'SCHEMA_NOT_REGISTERED' },
  40408: { action: 'fatal', code: 'SCHEMA_NOT_REGISTERED' },
  42201: { action: 'fatal', code: 'SCHEMA_INVALID' },
  42202: { action: 'fatal', code: 'SCHEMA_VERSION_INVALID' },
  42203: { action: 'fatal', code: 'SCHEMA_COMPATIBILITY_INVALID' },
  50001: { action: 'retry', code: 'REGISTRY_STORE_FAILED' },
  50002: { action: 'retry', code: 'REGISTRY_TIMED_OUT' },
  50003: { action: 'retry', code: 'REGISTRY_FORWARDING_FAILED' },
  50004: { action: 'retry', code: 'REGISTRY_NO_LEADER' },
};

/** By HTTP status, where the body does not say more. */
const BY_STATUS: Readonly<Record<number, Rule>> = {
  401: { action: 'fatal', code: 'REGISTRY_UNAUTHORIZED' },
  403: { action: 'fatal', code: 'REGISTRY_FORBIDDEN' },
  404: { action: 'fatal', code: 'REGISTRY_WRONG_URL' },
  408: { action: 'retry', code: 'REGISTRY_TIMED_OUT' },
  409: { action: 'fatal', code: 'SCHEMA_INCOMPATIBLE' },
  422: { action: 'fatal', code: 'SCHEMA_INVALID' },
  429: { action: 'retry', code: 'REGISTRY_BUSY' },
};

const SERVER_FAILED: Rule = { action: 'retry', code: 'REGISTRY_FAILED' };
const REFUSED: Rule = { action: 'fatal', code: 'REGISTRY_REFUSED' };

/** The error of an answer. `errorCode` and `message` are the body's, where it has them. */
export function answerError(
  what: string,
  { status, errorCode, message }: { readonly status: number; readonly errorCode: number; readonly message: string },
): SluiceError {
  const rule = BY_ERROR_CODE[errorCode] ?? BY_STATUS[status] ?? (status >= 500 ? SERVER_FAILED : REFUSED);
  return new SluiceError(`Schema registry, ${what}: ${message} (${errorCode || status})`, rule);
}

/** The error of a request that got no answer. */
export function transportError(what: string, cause: unknown): SluiceError {
  const late = cause instanceof Error && cause.name === 'TimeoutError';
  const code = late ? 'REGISTRY_TIMED_OUT' : 'REGISTRY_UNREACHABLE';
  const how = late ? 'no answer in time' : 'unreachable';
  return new SluiceError(`Schema registry, ${what}: ${how}`, { code, action: 'retry', cause });
}
