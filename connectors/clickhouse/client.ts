/** How Sluice connects to ClickHouse. */
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';

export interface ClickHouseConfig {
  readonly url: string;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** Per request, connection included. */
  readonly requestTimeoutMs?: number;
  readonly maxConnections?: number;
}

/** A client of the official library; close it. Nothing is sent before the first request. */
export function clickHouseClient(config: ClickHouseConfig): ClickHouseClient {
  return createClient({
    url: config.url,
    database: config.database,
    username: config.username,
    password: config.password,
    application: 'sluice',
    request_timeout: config.requestTimeoutMs ?? 60_000,
    max_open_connections: config.maxConnections ?? 8,
    compression: { request: false, response: false },
    // Shorter than the server's own, so that a request never meets a socket that the server is closing.
    keep_alive: { enabled: true, idle_socket_ttl: 2_000 },
    log: { level: ClickHouseLogLevel.OFF },
  });
}

/** Rows of a query with `{name:Type}` parameters. 64-bit integers arrive as text: convert them with BigInt. */
export async function selectRows<T>(
  client: ClickHouseClient,
  query: string,
  params: Readonly<Record<string, unknown>> = {},
): Promise<readonly T[]> {
  const result = await client.query({
    query,
    query_params: params,
    format: 'JSONEachRow',
    clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
  });
  return result.json<T>();
}
