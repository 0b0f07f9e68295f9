/**
 * The ClickHouse engine of one data folder, in this process (chdb). The engine locks the folder itself (a second process
 * gets CANNOT_OPEN_FILE), writes parts atomically, and so reopens after a kill -9.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drainPending, Session } from 'chdb';

export interface EngineOptions {
  readonly dataDir: string;
  /** What the engine may allocate in all; a query beyond it fails with MEMORY_LIMIT_EXCEEDED (241). */
  readonly maxMemoryBytes: number;
}

/** What a request asks of its own connection. */
export interface Scope {
  readonly database: string;
  readonly settings: ReadonlyMap<string, string>;
  /** Text form, as in the URL: `SET param_x` reads it as the server reads `?param_x`. */
  readonly params: ReadonlyMap<string, string>;
  readonly readonly: boolean;
}

export interface Engine {
  /** A folder for bodies that must pass through a file. Emptied when the engine opens and when it closes. */
  readonly incoming: string;
  /** Runs `work` on a connection of its own, so that no setting or parameter of one request reaches another. */
  withSession<T>(scope: Scope, work: (session: Session) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Caches sized for a laptop, not for the server's default of tens of gigabytes; time zone as in production. */
function configXml(maxMemoryBytes: number): string {
  return `<clickhouse>
  <timezone>UTC</timezone>
  <max_server_memory_usage>${maxMemoryBytes}</max_server_memory_usage>
  <mark_cache_size>33554432</mark_cache_size>
  <index_mark_cache_size>8388608</index_mark_cache_size>
  <primary_index_cache_size>33554432</primary_index_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <query_condition_cache_size>8388608</query_condition_cache_size>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
  <max_thread_pool_size>256</max_thread_pool_size>
  <background_pool_size>2</background_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
</clickhouse>
`;
}

const literal = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
const identifier = (name: string) => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;

/** One statement list that puts a fresh connection into the request's scope; `readonly` last, it forbids further SETs. */
function scopeSql(scope: Scope): string {
  const sets = [
    ...[...scope.settings].map(([name, value]) => `${name} = ${literal(value)}`),
    ...[...scope.params].map(([name, value]) => `param_${name} = ${literal(value)}`),
  ];
  const parts: string[] = [];
  if (scope.database !== 'default') parts.push(`USE ${identifier(scope.database)}`);
  if (sets.length > 0) parts.push(`SET ${sets.join(', ')}`);
  if (scope.readonly) parts.push('SET readonly = 2');
  return parts.join('; ');
}

/** Opens the folder. Throws what is wrong in one sentence when it is in use. */
export function openEngine(options: EngineOptions): Engine {
  mkdirSync(options.dataDir, { recursive: true });
  const incoming = join(options.dataDir, 'incoming');
  const config = join(options.dataDir, 'front-config.xml');
  writeFileSync(config, configXml(options.maxMemoryBytes));
  const connectionArgs = [`--config-file=${config}`];
  let root: Session;
  try {
    root = new Session(options.dataDir, { connectionArgs });
    root.query('SELECT 1');
  } catch (cause) {
    throw new Error(
      `Cannot open ${options.dataDir}: another process uses this folder, or it is not readable. ` +
        'One process per data folder: stop the other one or choose another folder.',
      { cause },
    );
  }
  rmSync(incoming, { recursive: true, force: true });
  mkdirSync(incoming);
  return {
    incoming,
    async withSession(scope, work) {
      const session = new Session(options.dataDir, { connectionArgs });
      try {
        const sql = scopeSql(scope);
        if (sql !== '') await session.queryAsync(sql);
        return await work(session);
      } finally {
        session.close();
      }
    },
    async close() {
      await drainPending();
      root.close();
      await drainPending();
      rmSync(incoming, { recursive: true, force: true });
    },
  };
}

export type { Session };
