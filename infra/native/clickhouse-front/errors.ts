/** ClickHouse's error wording, so that clients written for the server understand this front. */

export interface Failure {
  readonly code: number;
  readonly status: number;
  /** One line or more, beginning with `Code: N. DB::Exception: `. */
  readonly body: string;
}

/** Codes this front raises itself: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp */
export const CODES = {
  NOT_IMPLEMENTED: 48,
  UNKNOWN_FORMAT: 73,
  BAD_ARGUMENTS: 36,
  TIMEOUT_EXCEEDED: 159,
  TOO_MANY_SIMULTANEOUS_QUERIES: 202,
  NETWORK_ERROR: 210,
  QUERY_IS_TOO_LARGE: 307,
  AUTHENTICATION_FAILED: 516,
} as const;

/** The statuses a ClickHouse server gives to what a client got wrong; everything else is a 500. */
const STATUS: Readonly<Record<number, number>> = {
  6: 400,
  26: 400,
  27: 400,
  36: 400,
  38: 400,
  41: 400,
  46: 404,
  47: 404,
  48: 501,
  50: 404,
  60: 404,
  62: 400,
  72: 400,
  73: 400,
  81: 404,
  115: 404,
  159: 408,
  164: 500,
  202: 503,
  307: 413,
  456: 400,
  516: 403,
};

/** A failure of the front itself, with the code a server would use. */
export class FrontError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'FrontError';
    this.code = code;
  }
}

/** Any thrown thing as a ClickHouse exception. The engine's own text is kept; code 1002 is UNKNOWN_EXCEPTION. */
export function failureOf(error: unknown): Failure {
  if (error instanceof FrontError) {
    const body = `Code: ${error.code}. DB::Exception: ${error.message}`;
    return { code: error.code, status: STATUS[error.code] ?? 500, body };
  }
  const text = error instanceof Error ? error.message : String(error);
  const at = text.search(/Code: \d+\. DB::/);
  if (at < 0) return { code: 1002, status: 500, body: `Code: 1002. DB::Exception: ${text}` };
  const body = text.slice(at);
  const code = Number(/^Code: (\d+)/.exec(body)?.[1] ?? 1002);
  return { code, status: STATUS[code] ?? 500, body };
}
