/**
 * What to do about an answer of Kafka Connect: one table keyed by HTTP status.
 * https://kafka.apache.org/42/documentation.html#connect_rest
 */
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

interface Rule {
  readonly action: ErrorAction;
  readonly code: string;
}

const BY_STATUS: Readonly<Record<number, Rule>> = {
  400: { action: 'fatal', code: 'CONNECT_CONFIG_REFUSED' },
  401: { action: 'fatal', code: 'CONNECT_NOT_ALLOWED' },
  403: { action: 'fatal', code: 'CONNECT_NOT_ALLOWED' },
  404: { action: 'fatal', code: 'CONNECT_NOT_FOUND' },
  405: { action: 'fatal', code: 'CONNECT_NOT_SUPPORTED' },
  // A rebalance is under way.
  409: { action: 'retry', code: 'CONNECT_REBALANCING' },
  // The leader did not answer the worker that was asked.
  500: { action: 'retry', code: 'CONNECT_FAILED' },
  502: { action: 'retry', code: 'CONNECT_UNREACHABLE' },
  503: { action: 'retry', code: 'CONNECT_STARTING' },
  504: { action: 'retry', code: 'CONNECT_UNREACHABLE' },
};

const OTHER: Rule = { action: 'fatal', code: 'CONNECT_UNEXPECTED_ANSWER' };

/** An answer with a status of 400 or more. */
export function connectStatusError(status: number, message: string, doing: string): SluiceError {
  const { action, code } = BY_STATUS[status] ?? OTHER;
  return new SluiceError(`Kafka Connect could not ${doing}: ${message} [${status}]`, { action, code });
}

/** No answer at all: refused, reset, or too late. */
export function connectUnreachable(url: string, cause: unknown): SluiceError {
  const reason = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause : cause).message : String(cause);
  return new SluiceError(`Kafka Connect does not answer at ${url}: ${reason}`, {
    action: 'retry',
    code: 'CONNECT_UNREACHABLE',
    cause,
  });
}
