/** Gathers what the screen shows. */
import type { ProcessStatus } from '../../infra/native/process.ts';
import type { BoardReader } from './board.ts';
import type { Children } from './children.ts';
import type { Servers } from './servers.ts';
import type { Connection, ProcessKind, ProcessRow, ScreenState } from './state.ts';
import { UsageMeter } from './usage.ts';

export interface GatherOptions {
  readonly servers: Servers;
  readonly children: Children;
  readonly board: BoardReader;
  readonly rate: number | null;
  readonly logs: string;
  readonly notices: () => readonly string[];
}

const TOP = 5;

export class Gatherer {
  readonly #options: GatherOptions;
  readonly #startedMs = Date.now();
  readonly #usage = new UsageMeter();

  constructor(options: GatherOptions) {
    this.#options = options;
  }

  async state(): Promise<ScreenState> {
    const { servers, children, board, rate, logs, notices } = this.#options;
    const server = servers.status();
    const traffic = children.traffic === null ? [] : [children.traffic.status];
    const worker = await Promise.all(
      children.workers.map(async ({ process, scraper }) => {
        const [figures, ready] = await Promise.all([scraper.figures(), scraper.ready()]);
        return { status: process.status, figures, ready };
      }),
    );
    const all = [...server, ...worker.map(({ status }) => status), ...traffic];
    const pids = all.flatMap(({ pid }) => (pid === null ? [] : [pid]));
    const usage = await this.#usage.measure(pids).catch(() => new Map<number, never>());
    const row = (status: ProcessStatus, kind: ProcessKind, more: Partial<ProcessRow> = {}): ProcessRow => {
      const used = status.pid === null ? undefined : usage.get(status.pid);
      const { cpuPercent = null, memoryMiB = null } = used ?? {};
      return { ...status, kind, ready: null, figures: null, cpuPercent, memoryMiB, ...more };
    };
    return {
      upSeconds: (Date.now() - this.#startedMs) / 1_000,
      rate: children.traffic === null ? null : rate,
      rows: [
        ...server.map((status) => row(status, 'server')),
        ...worker.map(({ status, figures, ready }) => row(status, 'worker', { figures, ready })),
        ...traffic.map((status) => row(status, 'traffic')),
      ],
      board: await board.top(TOP),
      connections: connectionsOf(servers.env),
      notices: notices(),
      logs,
    };
  }
}

/** Where to connect, each with something to try first; short enough for 100 columns on the default ports. */
export function connectionsOf(env: Readonly<Record<string, string>>): readonly Connection[] {
  const redis = new URL(env.SLUICE_REDIS_URL ?? '');
  const { host } = new URL(env.SLUICE_CLICKHOUSE_URL ?? '');
  const login = env.SLUICE_CLICKHOUSE_PASSWORD ? `-u default:${env.SLUICE_CLICKHOUSE_PASSWORD} ` : '';
  const query = `SELECT * FROM ${env.SLUICE_CLICKHOUSE_DATABASE}.device_breakdown LIMIT 5 FORMAT Pretty`;
  return [
    { name: 'ClickHouse', try: `curl ${login}${host} -d '${query}'` },
    { name: 'Redis', try: `redis-cli -p ${redis.port} ZREVRANGE lb:{engagement:10m}:events 0 4 WITHSCORES` },
    { name: 'Topic', try: `kcat -b ${env.SLUICE_KAFKA_BROKERS} -t engagement.events.v1 -C -o -5 -e -f '%k %p %o\\n'` },
    { name: 'Postgres', try: `psql ${env.SLUICE_POSTGRES_URL}` },
    { name: 'Schemas', try: `curl ${env.SLUICE_REGISTRY_URL}/subjects` },
  ];
}
