/** Redis: the one on the PATH, else the one that the embedded-redis artifact carries. */
import { accessSync, chmodSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { StackError } from './error.ts';
import { answers } from './probe.ts';
import { cleanEnvironment, type ServerDeclaration } from './service.ts';
import { onPath } from './tools.ts';

const EMBEDDED: Readonly<Record<string, string>> = {
  'linux-x64': 'redis-server-6.2.6-v5-linux-amd64',
  'linux-arm64': 'redis-server-6.2.7-linux-arm64',
  'darwin-x64': 'redis-server-6.2.6-v5-darwin-amd64',
  'darwin-arm64': 'redis-server-6.2.6-v5-darwin-arm64',
};

/** The redis-server to run. Throws TOOL_MISSING on a platform that nobody packaged it for. */
export function redisServer(jars: string): string {
  const installed = onPath('redis-server');
  if (installed !== undefined) return installed;
  const name = EMBEDDED[`${process.platform}-${process.arch}`];
  if (name === undefined) {
    throw new StackError('TOOL_MISSING', 'redis-server is not on the PATH.', 'Install Redis 6.2 or newer.');
  }
  const path = join(jars, 'redis', name);
  try {
    accessSync(path, constants.X_OK);
  } catch {
    chmodSync(path, 0o755);
  }
  return path;
}

export const redis: ServerDeclaration = {
  service: 'redis',
  ports: ['redis'],
  needs: [],
  async prepare(place) {
    mkdirSync(join(place.home, 'redis'), { recursive: true });
  },
  spec(place) {
    const settings: Readonly<Record<string, string>> = {
      bind: '127.0.0.1',
      port: String(place.ports.redis),
      dir: join(place.home, 'redis'),
      appendonly: 'yes',
      save: '',
      maxmemory: '512mb',
      // A full Redis must refuse the write, never forget a board.
      'maxmemory-policy': 'noeviction',
    };
    return {
      name: 'redis',
      command: redisServer(place.jars),
      args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      env: cleanEnvironment(),
      logFile: join(place.home, 'logs', 'redis.log'),
      ready: () =>
        answers(place.ports.redis, Buffer.from('PING\r\n'), (reply) => reply.toString('latin1').startsWith('+PONG')),
      readyTimeoutMs: 20_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 10_000,
    };
  },
};
