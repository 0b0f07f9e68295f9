/**
 * What to do about a ClickHouse error, decided here once, by the server's error code.
 * Codes: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp, or `SELECT * FROM system.errors`.
 */
import { ClickHouseError } from '@clickhouse/client';
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

interface Rule {
  readonly name: string;
  readonly action: ErrorAction;
}

const BY_CODE: Readonly<Record<number, Rule>> = {
  // The rows are at fault: the engine finds the one by halving the batch.
  6: { name: 'CANNOT_PARSE_TEXT', action: 'dead-letter' },
  25: { name: 'CANNOT_PARSE_ESCAPE_SEQUENCE', action: 'dead-letter' },
  26: { name: 'CANNOT_PARSE_QUOTED_STRING', action: 'dead-letter' },
  27: { name: 'CANNOT_PARSE_INPUT_ASSERTION_FAILED', action: 'dead-letter' },
  32: { name: 'ATTEMPT_TO_READ_AFTER_EOF', action: 'dead-letter' },
  38: { name: 'CANNOT_PARSE_DATE', action: 'dead-letter' },
  41: { name: 'CANNOT_PARSE_DATETIME', action: 'dead-letter' },
  53: { name: 'TYPE_MISMATCH', action: 'dead-letter' },
  69: { name: 'ARGUMENT_OUT_OF_BOUND', action: 'dead-letter' },
  70: { name: 'CANNOT_CONVERT_TYPE', action: 'dead-letter' },
  72: { name: 'CANNOT_PARSE_NUMBER', action: 'dead-letter' },
  117: { name: 'INCORRECT_DATA', action: 'dead-letter' },
  131: { name: 'TOO_LARGE_STRING_SIZE', action: 'dead-letter' },
  130: { name: 'CANNOT_READ_ARRAY_FROM_TEXT', action: 'dead-letter' },
  321: { name: 'VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE', action: 'dead-letter' },
  349: { name: 'CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN', action: 'dead-letter' },
  376: { name: 'CANNOT_PARSE_UUID', action: 'dead-letter' },
  407: { name: 'DECIMAL_OVERFLOW', action: 'dead-letter' },
  441: { name: 'CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING', action: 'dead-letter' },
  467: { name: 'CANNOT_PARSE_BOOL', action: 'dead-letter' },
  469: { name: 'VIOLATED_CONSTRAINT', action: 'dead-letter' },
  632: { name: 'UNEXPECTED_DATA_AFTER_PARSED_VALUE', action: 'dead-letter' },
  675: { name: 'CANNOT_PARSE_IPV4', action: 'dead-letter' },
  676: { name: 'CANNOT_PARSE_IPV6', action: 'dead-letter' },
  691: { name: 'UNKNOWN_ELEMENT_OF_ENUM', action: 'dead-letter' },
  // Somebody must change something before it can work.
  16: { name: 'NO_SUCH_COLUMN_IN_TABLE', action: 'fatal' },
  36: { name: 'BAD_ARGUMENTS', action: 'fatal' },
  46: { name: 'UNKNOWN_FUNCTION', action: 'fatal' },
  47: { name: 'UNKNOWN_IDENTIFIER', action: 'fatal' },
  48: { name: 'NOT_IMPLEMENTED', action: 'fatal' },
  50: { name: 'UNKNOWN_TYPE', action: 'fatal' },
  57: { name: 'TABLE_ALREADY_EXISTS', action: 'fatal' },
  60: { name: 'UNKNOWN_TABLE', action: 'fatal' },
  62: { name: 'SYNTAX_ERROR', action: 'fatal' },
  73: { name: 'UNKNOWN_FORMAT', action: 'fatal' },
  81: { name: 'UNKNOWN_DATABASE', action: 'fatal' },
  82: { name: 'DATABASE_ALREADY_EXISTS', action: 'fatal' },
  115: { name: 'UNKNOWN_SETTING', action: 'fatal' },
  192: { name: 'UNKNOWN_USER', action: 'fatal' },
  193: { name: 'WRONG_PASSWORD', action: 'fatal' },
  194: { name: 'REQUIRED_PASSWORD', action: 'fatal' },
  195: { name: 'IP_ADDRESS_NOT_ALLOWED', action: 'fatal' },
  307: { name: 'TOO_MANY_BYTES', action: 'fatal' },
  497: { name: 'ACCESS_DENIED', action: 'fatal' },
  516: { name: 'AUTHENTICATION_FAILED', action: 'fatal' },
  720: { name: 'USER_EXPIRED', action: 'fatal' },
  774: { name: 'TABLE_IS_PERMANENTLY_READ_ONLY', action: 'fatal' },
  // It works again later, by itself or after an operator has looked: the records are sound.
  3: { name: 'UNEXPECTED_END_OF_FILE', action: 'retry' },
  33: { name: 'CANNOT_READ_ALL_DATA', action: 'retry' },
  75: { name: 'CANNOT_WRITE_TO_FILE_DESCRIPTOR', action: 'retry' },
  95: { name: 'CANNOT_READ_FROM_SOCKET', action: 'retry' },
  96: { name: 'CANNOT_WRITE_TO_SOCKET', action: 'retry' },
  159: { name: 'TIMEOUT_EXCEEDED', action: 'retry' },
  160: { name: 'TOO_SLOW', action: 'retry' },
  164: { name: 'READONLY', action: 'retry' },
  173: { name: 'CANNOT_ALLOCATE_MEMORY', action: 'retry' },
  198: { name: 'DNS_ERROR', action: 'retry' },
  201: { name: 'QUOTA_EXCEEDED', action: 'retry' },
  202: { name: 'TOO_MANY_SIMULTANEOUS_QUERIES', action: 'retry' },
  203: { name: 'NO_FREE_CONNECTION', action: 'retry' },
  204: { name: 'CANNOT_FSYNC', action: 'retry' },
  209: { name: 'SOCKET_TIMEOUT', action: 'retry' },
  210: { name: 'NETWORK_ERROR', action: 'retry' },
  225: { name: 'NO_ZOOKEEPER', action: 'retry' },
  236: { name: 'ABORTED', action: 'retry' },
  241: { name: 'MEMORY_LIMIT_EXCEEDED', action: 'retry' },
  242: { name: 'TABLE_IS_READ_ONLY', action: 'retry' },
  243: { name: 'NOT_ENOUGH_SPACE', action: 'retry' },
  244: { name: 'UNEXPECTED_ZOOKEEPER_ERROR', action: 'retry' },
  252: { name: 'TOO_MANY_PARTS', action: 'retry' },
  254: { name: 'NO_ACTIVE_REPLICAS', action: 'retry' },
  279: { name: 'ALL_CONNECTION_TRIES_FAILED', action: 'retry' },
  285: { name: 'TOO_FEW_LIVE_REPLICAS', action: 'retry' },
  286: { name: 'UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE', action: 'retry' },
  289: { name: 'REPLICA_IS_NOT_IN_QUORUM', action: 'retry' },
  319: { name: 'UNKNOWN_STATUS_OF_INSERT', action: 'retry' },
  364: { name: 'RECEIVED_ERROR_TOO_MANY_REQUESTS', action: 'retry' },
  369: { name: 'ALL_REPLICAS_ARE_STALE', action: 'retry' },
  394: { name: 'QUERY_WAS_CANCELLED', action: 'retry' },
  416: { name: 'REPLICA_STATUS_CHANGED', action: 'retry' },
  425: { name: 'SYSTEM_ERROR', action: 'retry' },
  439: { name: 'CANNOT_SCHEDULE_TASK', action: 'retry' },
  473: { name: 'DEADLOCK_AVOIDED', action: 'retry' },
  499: { name: 'S3_ERROR', action: 'retry' },
  574: { name: 'DISTRIBUTED_TOO_MANY_PENDING_BYTES', action: 'retry' },
  692: { name: 'TOO_MANY_MUTATIONS', action: 'retry' },
  700: { name: 'USER_SESSION_LIMIT_EXCEEDED', action: 'retry' },
  733: { name: 'TABLE_IS_BEING_RESTARTED', action: 'retry' },
  745: { name: 'SERVER_OVERLOADED', action: 'retry' },
  749: { name: 'TCP_CONNECTION_LIMIT_REACHED', action: 'retry' },
  762: { name: 'HTTP_CONNECTION_LIMIT_REACHED', action: 'retry' },
  776: { name: 'RESOURCE_LIMIT_EXCEEDED', action: 'retry' },
  999: { name: 'KEEPER_EXCEPTION', action: 'retry' },
};

const VIOLATED_CONSTRAINT = 469;

/** The tables' own constraints, by name; a row that breaks any other is at fault (code 469 above). */
const BY_CONSTRAINT: Readonly<Record<string, Rule>> = {
  // The next look at the target tells what to do.
  write_lease: { name: 'LEASE_OVER', action: 'retry' },
  rebuild_hold: { name: 'HELD', action: 'retry' },
  asked_since: { name: 'LEASE_OVER', action: 'retry' },
  generation_fits: { name: 'GENERATION_TOO_LARGE', action: 'fatal' },
};

/** How the server's message begins; it gives the name nowhere else. A hold has the name of its run behind it. */
const CONSTRAINT = /^Constraint `(rebuild_hold(?=_)|[^`]+)/;

/** Errors of the socket, by Node's own codes: https://nodejs.org/api/errors.html#common-system-errors */
const BY_SOCKET: Readonly<Record<string, Rule>> = {
  ECONNREFUSED: { name: 'UNREACHABLE', action: 'retry' },
  ECONNRESET: { name: 'CONNECTION_LOST', action: 'retry' },
  EPIPE: { name: 'CONNECTION_LOST', action: 'retry' },
  ETIMEDOUT: { name: 'UNREACHABLE', action: 'retry' },
  ENOTFOUND: { name: 'UNREACHABLE', action: 'retry' },
  EAI_AGAIN: { name: 'UNREACHABLE', action: 'retry' },
  EHOSTUNREACH: { name: 'UNREACHABLE', action: 'retry' },
};

/** What the client library says in words only (client 1.x, connection/socket_pool). */
const CLIENT_WORDS = /^(Timeout error\.|socket hang up|The user aborted a request|aborted)/i;

function ruleFor(error: unknown): Rule {
  if (error instanceof ClickHouseError) {
    const constraint = Number(error.code) === VIOLATED_CONSTRAINT ? CONSTRAINT.exec(error.message)?.[1] : undefined;
    const known = (constraint && BY_CONSTRAINT[constraint]) || BY_CODE[Number(error.code)];
    return known ?? { name: error.type ?? `CODE_${error.code}`, action: 'reconnect' };
  }
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  if (typeof code === 'string' && BY_SOCKET[code] !== undefined) return BY_SOCKET[code];
  if (typeof message === 'string' && CLIENT_WORDS.test(message)) return { name: 'CONNECTION_LOST', action: 'retry' };
  return { name: 'UNKNOWN', action: 'reconnect' };
}

/**
 * Turns what the client threw into a SluiceError, code `CLICKHOUSE_<server's name>`; a SluiceError passes unchanged.
 * @param doing what was attempted, to open the message with ("insert into engagement_changes")
 */
export function clickHouseError(error: unknown, doing: string): SluiceError {
  if (error instanceof SluiceError) return error;
  const { name, action } = ruleFor(error);
  const text = error instanceof Error && error.message !== '' ? error.message : String(error);
  const vendor = error instanceof ClickHouseError ? ` [${error.code}]` : '';
  return new SluiceError(`Could not ${doing}: ${text.slice(0, 2_000)}${vendor}`, {
    code: `CLICKHOUSE_${name}`,
    action,
    cause: error,
  });
}
