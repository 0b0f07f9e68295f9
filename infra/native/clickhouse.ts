/** ClickHouse's engine behind its HTTP interface, in a Node process. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { httpOk } from './probe.ts';
import { cleanEnvironment, type ServerDeclaration } from './service.ts';

export const clickhouse: ServerDeclaration = {
  service: 'clickhouse',
  ports: ['clickhouse'],
  needs: [],
  async prepare(place) {
    mkdirSync(join(place.home, 'clickhouse'), { recursive: true });
  },
  spec(place) {
    const { home, ports } = place;
    return {
      name: 'clickhouse',
      command: process.execPath,
      args: [join(import.meta.dirname, 'clickhouse-front.ts'), join(home, 'clickhouse'), String(ports.clickhouse)],
      env: cleanEnvironment(),
      logFile: join(home, 'logs', 'clickhouse.log'),
      ready: () => httpOk(`http://127.0.0.1:${ports.clickhouse}/ping`),
      readyTimeoutMs: 30_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 15_000,
    };
  },
};
