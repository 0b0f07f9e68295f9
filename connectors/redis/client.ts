/** One client for a single Redis and for a cluster, with the scripts of the boards and a deadline on every call. */
import { Cluster, Redis } from 'ioredis';
import { SluiceError } from '../../engine/errors.ts';
import { redisError } from './errors.ts';
import { LATEST, MEND, TAKE_OFF } from './latest-script.ts';
import { ACQUIRE, DROP, FORGET, REBUILD, REFRESH, TOP, WRITE } from './scripts.ts';

export interface RedisClientOptions {
  /** `redis://[user:password@]host:port[/db]` (rediss for TLS); several with commas between them are nodes of a cluster. */
  readonly url: string;
  /** True for a cluster that is given by one URL. */
  readonly cluster?: boolean;
  /** How long one call may take. 10 s. */
  readonly commandTimeoutMs?: number;
}

export type ScriptArgument = string | number;

/** The scripts as methods; keys first. What they answer is said in scripts.ts. */
export interface BoardScripts {
  sluiceAcquire(...args: ScriptArgument[]): Promise<unknown>;
  sluiceWrite(...args: ScriptArgument[]): Promise<unknown>;
  sluiceRebuild(...args: ScriptArgument[]): Promise<unknown>;
  sluiceRefresh(...args: ScriptArgument[]): Promise<unknown>;
  sluiceTop(...args: ScriptArgument[]): Promise<unknown>;
  sluiceForget(...args: ScriptArgument[]): Promise<unknown>;
  sluiceDrop(...args: ScriptArgument[]): Promise<unknown>;
  sluiceLatest(...args: ScriptArgument[]): Promise<unknown>;
  sluiceMend(...args: ScriptArgument[]): Promise<unknown>;
  sluiceTakeOff(...args: ScriptArgument[]): Promise<unknown>;
}

export interface RedisClient {
  readonly scripts: BoardScripts;
  connect(): Promise<void>;
  /** The fields of hashes, in the order of the keys; none of one that is not there. */
  hashes(keys: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]>;
  /** All keys that begin with this text, in no order; what comes or goes meanwhile may be among them. */
  keys(prefix: string): Promise<readonly string[]>;
  /** The INFO of one node. */
  info(section: string): Promise<string>;
  close(): Promise<void>;
}

const scripts = {
  sluiceAcquire: { lua: ACQUIRE, numberOfKeys: 3 },
  sluiceWrite: { lua: WRITE, numberOfKeys: 3 },
  sluiceRebuild: { lua: REBUILD, numberOfKeys: 3 },
  sluiceRefresh: { lua: REFRESH, numberOfKeys: 3 },
  sluiceTop: { lua: TOP, numberOfKeys: 2, readOnly: true },
  sluiceForget: { lua: FORGET, numberOfKeys: 1 },
  sluiceDrop: { lua: DROP, numberOfKeys: 1 },
  sluiceLatest: { lua: LATEST, numberOfKeys: 4 },
  sluiceMend: { lua: MEND, numberOfKeys: 1 },
  sluiceTakeOff: { lua: TAKE_OFF, numberOfKeys: 1 },
};

const KEYS_PER_SCAN = 1_000;

/** How often a call waits for a new connection before it fails. */
const MAX_RETRIES = 2;

/** Makes a client; nothing is opened before `connect`. Throws CONFIG_INVALID (fatal) for a URL it does not understand. */
export function redisClient(options: RedisClientOptions): RedisClient {
  const urls = options.url.split(',').map((url) => parseUrl(url.trim()));
  const { commandTimeoutMs = 10_000 } = options;
  const [first] = urls;
  const common = {
    scripts,
    username: decodeURIComponent(first!.username) || undefined,
    password: decodeURIComponent(first!.password) || undefined,
    tls: first!.protocol === 'rediss:' ? {} : undefined,
    connectTimeout: commandTimeoutMs,
    commandTimeout: commandTimeoutMs,
    maxRetriesPerRequest: MAX_RETRIES,
    // A call whose answer was lost is not sent again behind the caller's back: the engine asks for the position first.
    autoResendUnfulfilledCommands: false,
  };
  const retryStrategy = (times: number) => Math.min(50 * 2 ** times, 1_000);
  if (urls.length > 1 || options.cluster === true) {
    const nodes = urls.map((url) => ({ host: hostOf(url), port: portOf(url) }));
    const clusterRetryStrategy = (times: number) => (times > MAX_RETRIES + 1 ? null : retryStrategy(times));
    return wrap(
      new Cluster(nodes, {
        redisOptions: common,
        scripts,
        lazyConnect: true,
        clusterRetryStrategy,
        maxRedirections: 8,
      }),
    );
  }
  const db = Number(first!.pathname.slice(1) || '0');
  return wrap(
    new Redis({ ...common, host: hostOf(first!), port: portOf(first!), db, lazyConnect: true, retryStrategy }),
  );
}

function wrap(client: Redis | Cluster): RedisClient {
  // Without a listener a lost connection would end the process; what it means is said by the call that fails.
  let lastError: unknown;
  client.on('error', (error: unknown) => {
    lastError = error;
  });
  let closed = false;
  return {
    scripts: client as unknown as BoardScripts,
    async connect() {
      lastError = undefined;
      try {
        if (client.status === 'wait' || client.status === 'end') await client.connect();
        await client.ping();
      } catch (error) {
        // A refused login or connection is told by an event; the call itself only says that the connection was closed.
        const told = redisError(lastError ?? error, 'connecting');
        throw told.code === 'REDIS_UNKNOWN' ? redisError(error, 'connecting') : told;
      }
    },
    async hashes(keys) {
      try {
        return await Promise.all(keys.map((key) => client.hgetall(key)));
      } catch (error) {
        throw redisError(error, `reading ${keys[0]}`);
      }
    },
    async keys(prefix) {
      const nodes = client instanceof Cluster ? client.nodes('master') : [client];
      const match = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
      const found = new Set<string>();
      try {
        for (const node of nodes) {
          for (let cursor = '0', first = true; first || cursor !== '0'; first = false) {
            const [next, keys] = await node.scan(cursor, 'MATCH', match, 'COUNT', KEYS_PER_SCAN);
            for (const key of keys) found.add(key);
            cursor = next;
          }
        }
      } catch (error) {
        throw redisError(error, `looking for keys ${prefix}*`);
      }
      return [...found];
    },
    async info(section) {
      try {
        return await client.info(section);
      } catch (error) {
        throw redisError(error, 'asking for its settings');
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      // QUIT lets replies arrive that are on their way; a server that is away gets none.
      if (client.status === 'ready') await client.quit().catch(() => {});
      client.disconnect();
    },
  };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === 'redis:' || url.protocol === 'rediss:')) return url;
  throw new SluiceError(`'${text}' is no Redis URL (redis://host:port or rediss://host:port)`, {
    code: 'CONFIG_INVALID',
    action: 'fatal',
  });
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function portOf(url: URL): number {
  return Number(url.port || '6379');
}
