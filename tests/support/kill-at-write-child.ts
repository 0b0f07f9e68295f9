/**
 * To be loaded in front of a command (`node --import`): kills the process with SIGKILL at its n-th writing statement to ClickHouse, before
 * anything of it is sent. n is KILL_AT_WRITE; what is left is the work of n − 1 statements.
 */
import { ClientRequest } from 'node:http';

const WRITES = /^\s*(INSERT|ALTER|CREATE|DROP|DELETE|EXCHANGE)\b/i;
const at = Number(process.env.KILL_AT_WRITE);
const begun = new WeakSet<ClientRequest>();
let writes = 0;

const { write } = ClientRequest.prototype;
ClientRequest.prototype.write = function (this: ClientRequest, ...args: unknown[]): boolean {
  if (!begun.has(this)) {
    begun.add(this);
    const query = new URL(this.path, 'http://clickhouse').searchParams.get('query') ?? String(args[0]);
    if (WRITES.test(query) && ++writes === at) process.kill(process.pid, 'SIGKILL');
  }
  return Reflect.apply(write, this, args) as boolean;
} as typeof write;
