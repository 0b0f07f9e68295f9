/** What to do about an error of Redis: one table, keyed by the first word of its reply, and one for the connection. */
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

interface Verdict {
  readonly action: ErrorAction;
  /** What it means, and what the operator can do. */
  readonly meaning: string;
}

/**
 * Error replies start with a word in upper case: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors.
 * Cluster redirections: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#redirection-and-resharding.
 */
export const REDIS_REPLIES: Readonly<Record<string, Verdict>> = {
  READONLY: { action: 'retry', meaning: 'this is a replica, or a primary that was just demoted' },
  LOADING: { action: 'retry', meaning: 'it is loading its data from disk' },
  BUSY: { action: 'retry', meaning: 'a script of another client is running for too long' },
  MASTERDOWN: { action: 'retry', meaning: 'the replica has lost its primary' },
  MOVED: { action: 'retry', meaning: 'the slot is elsewhere; of a cluster name several nodes (SLUICE_REDIS_URL)' },
  ASK: { action: 'retry', meaning: 'the slot is on its way to another node' },
  TRYAGAIN: { action: 'retry', meaning: 'the slot is being moved' },
  CLUSTERDOWN: { action: 'retry', meaning: 'the cluster does not cover all slots' },
  NOREPLICAS: { action: 'retry', meaning: 'too few replicas (min-replicas-to-write)' },
  OOM: { action: 'retry', meaning: 'maxmemory is reached: give Redis more memory' },
  MISCONF: { action: 'retry', meaning: 'it cannot write to disk: see its log and its free space' },
  NOSCRIPT: { action: 'retry', meaning: 'the script was flushed; it is loaded again' },
  UNKILLABLE: { action: 'retry', meaning: 'a script that has written is running for too long' },
  CROSSSLOT: { action: 'fatal', meaning: 'the keys of one leaderboard do not share a slot' },
  WRONGTYPE: { action: 'fatal', meaning: 'a key of the leaderboard holds something else: another application uses it' },
  NOAUTH: { action: 'fatal', meaning: 'a password is needed (SLUICE_REDIS_URL)' },
  WRONGPASS: { action: 'fatal', meaning: 'user or password is wrong (SLUICE_REDIS_URL)' },
  NOPERM: { action: 'fatal', meaning: 'the user may not run this command or touch this key (ACL)' },
  DENIED: { action: 'fatal', meaning: 'it takes no clients from outside (protected mode)' },
  ERR: { action: 'fatal', meaning: 'the command was refused' },
};

/**
 * Refusals that begin with ERR, as a wrong command does, and are none:
 * https://redis.io/docs/latest/develop/reference/clients/#maximum-concurrent-connected-clients.
 */
const REDIS_REFUSALS: Readonly<Record<string, Verdict & { readonly text: RegExp }>> = {
  MAXCLIENTS: { action: 'retry', meaning: 'maxclients is reached', text: /^ERR max number of clients/ },
};

/** Codes of Node's sockets (https://nodejs.org/api/errors.html#common-system-errors): the server is away, for now. */
export const CONNECTION_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
]);

/** Errors that the client makes itself, by the name of their class. */
const CLIENT_ERRORS: ReadonlySet<string> = new Set([
  'MaxRetriesPerRequestError',
  'ClusterAllFailedError',
  'AbortError',
]);

/** Its messages that have no class. */
const CLIENT_MESSAGES =
  /^(Connection is closed|Command timed out|Stream isn't writeable|connect ETIMEDOUT|None of startup)/;

/**
 * Redis before 7.0 wraps an error inside a script: "ERR Error running script (call to f_…): @user_script:1: -OOM command …".
 */
const WRAPPED = /@user_script: ?\d+: -?([A-Z]+) /;

/** The error of a Redis call as a SluiceError: REDIS_<REPLY>, REDIS_UNREACHABLE, or REDIS_UNKNOWN (reconnect). */
export function redisError(cause: unknown, doing: string): SluiceError {
  if (cause instanceof SluiceError) return cause;
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const reply = replyOf(error);
  if (reply !== undefined) {
    const { action, meaning } = REDIS_REFUSALS[reply] ?? REDIS_REPLIES[reply]!;
    return new SluiceError(`Redis, ${doing}: ${meaning} (${error.message})`, {
      code: `REDIS_${reply}`,
      action,
      cause,
    });
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (CONNECTION_CODES.has(code) || CLIENT_ERRORS.has(error.name) || CLIENT_MESSAGES.test(error.message)) {
    return new SluiceError(`Redis cannot be reached, ${doing}: ${error.message}`, {
      code: 'REDIS_UNREACHABLE',
      action: 'retry',
      cause,
    });
  }
  return new SluiceError(`Redis, ${doing}: ${error.message}`, { code: 'REDIS_UNKNOWN', action: 'reconnect', cause });
}

function replyOf(error: Error): string | undefined {
  const wrapped = WRAPPED.exec(error.message)?.[1];
  if (wrapped !== undefined && Object.hasOwn(REDIS_REPLIES, wrapped)) return wrapped;
  for (const [name, { text }] of Object.entries(REDIS_REFUSALS)) if (text.test(error.message)) return name;
  const [first = ''] = error.message.split(' ', 1);
  return Object.hasOwn(REDIS_REPLIES, first) ? first : undefined;
}
