/** Why a WebSocket server cannot listen: one table by the system's code. https://nodejs.org/api/errors.html#common-system-errors */
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

interface Rule {
  readonly action: ErrorAction;
  readonly code: string;
  readonly hint: string;
}

/** https://nodejs.org/api/errors.html#common-system-errors: trying again mends none of them. */
const BY_SOCKET: Readonly<Record<string, Rule>> = {
  EADDRINUSE: { action: 'fatal', code: 'WEBSOCKET_PORT_TAKEN', hint: 'another process listens there' },
  EACCES: { action: 'fatal', code: 'WEBSOCKET_PORT_FORBIDDEN', hint: 'ports below 1024 need a privilege' },
  EADDRNOTAVAIL: { action: 'fatal', code: 'WEBSOCKET_NO_SUCH_ADDRESS', hint: 'this machine has no such address' },
  ENOTFOUND: { action: 'fatal', code: 'WEBSOCKET_NO_SUCH_ADDRESS', hint: 'the name has no address' },
};

const OTHER: Rule = { action: 'fatal', code: 'WEBSOCKET_CANNOT_LISTEN', hint: 'see the cause' };

/** What `listen` met, as an error of ours. `where` is host:port. */
export function listenError(error: unknown, where: string): SluiceError {
  const { action, code, hint } = BY_SOCKET[String((error as NodeJS.ErrnoException).code)] ?? OTHER;
  return new SluiceError(`Cannot listen on ${where}: ${hint}`, { code, action, cause: error });
}
