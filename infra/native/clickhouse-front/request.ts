/** Reads one HTTP request as ClickHouse's HTTP interface does: https://clickhouse.com/docs/interfaces/http */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import zlib from 'node:zlib';
import type { Scope } from './engine.ts';
import { CODES, FrontError } from './errors.ts';

export interface FrontRequest extends Scope {
  /** The query of the URL, or '' when the body is the query. */
  readonly query: string;
  readonly queryId: string | undefined;
  readonly defaultFormat: string;
  readonly gzipResponse: boolean;
}

/** Parameters of the URL that mean something to the HTTP layer only, and would be unknown settings to the engine. */
const HTTP_ONLY = new Set([
  'query',
  'database',
  'default_format',
  'query_id',
  'user',
  'password',
  'role',
  'quota_key',
  'session_id',
  'session_timeout',
  'session_check',
  'close_session',
  'stacktrace',
  'wait_end_of_query',
  'buffer_size',
  'client_protocol_version',
]);

/** Meaningful to the HTTP layer although the engine knows them: harmless there, so left out for less work per request. */
const RESPONSE_SETTINGS = new Set([
  'enable_http_compression',
  'http_zlib_compression_level',
  'send_progress_in_http_headers',
  'http_headers_progress_interval_ms',
]);

/** Throws BAD_ARGUMENTS on a malformed name, NOT_IMPLEMENTED on ClickHouse's own block compression. */
export function readRequest(req: IncomingMessage): FrontRequest {
  const url = new URL(req.url ?? '/', 'http://front');
  const settings = new Map<string, string>();
  const params = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    if (HTTP_ONLY.has(name) || RESPONSE_SETTINGS.has(name)) continue;
    if (name === 'compress' || name === 'decompress') {
      if (value !== '0')
        throw new FrontError(CODES.NOT_IMPLEMENTED, `'${name}' (native blocks) is not served; use gzip`);
      continue;
    }
    if (!/^\w+$/.test(name)) throw new FrontError(CODES.BAD_ARGUMENTS, `Malformed setting name '${name}'`);
    if (name.startsWith('param_')) params.set(name.slice(6), value);
    else settings.set(name, value);
  }
  const header = (name: string) => req.headers[name]?.toString();
  const accepts = header('accept-encoding') ?? '';
  return {
    query: url.searchParams.get('query') ?? '',
    queryId: url.searchParams.get('query_id') ?? undefined,
    database: url.searchParams.get('database') ?? header('x-clickhouse-database') ?? 'default',
    defaultFormat: url.searchParams.get('default_format') ?? header('x-clickhouse-format') ?? 'TabSeparated',
    gzipResponse: url.searchParams.get('enable_http_compression') === '1' && /\bgzip\b/.test(accepts),
    readonly: req.method !== 'POST',
    settings,
    params,
  };
}

function credentials(req: IncomingMessage): { readonly user: string; readonly password: string } {
  const url = new URL(req.url ?? '/', 'http://front');
  const basic = /^Basic (.+)$/i.exec(req.headers.authorization ?? '')?.[1];
  if (basic !== undefined) {
    const text = Buffer.from(basic, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return { user: text.slice(0, colon < 0 ? undefined : colon), password: colon < 0 ? '' : text.slice(colon + 1) };
  }
  return {
    user: req.headers['x-clickhouse-user']?.toString() ?? url.searchParams.get('user') ?? 'default',
    password: req.headers['x-clickhouse-key']?.toString() ?? url.searchParams.get('password') ?? '',
  };
}

/** Throws AUTHENTICATION_FAILED unless the password matches; an empty expected password admits everyone. */
export function authenticate(req: IncomingMessage, expected: { readonly user: string; readonly password: string }) {
  if (expected.password === '') return;
  const given = credentials(req);
  const a = Buffer.from(`${given.user}:${given.password}`);
  const b = Buffer.from(`${expected.user}:${expected.password}`);
  if (a.length === b.length && timingSafeEqual(a, b)) return;
  throw new FrontError(
    CODES.AUTHENTICATION_FAILED,
    `${given.user}: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)`,
  );
}

function decoded(req: IncomingMessage): Readable {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  switch (encoding) {
    case 'identity':
    case '':
      return req;
    case 'gzip':
      return req.pipe(zlib.createGunzip());
    case 'deflate':
      return req.pipe(zlib.createInflate());
    case 'br':
      return req.pipe(zlib.createBrotliDecompress());
    case 'zstd':
      return req.pipe(zlib.createZstdDecompress());
    default:
      throw new FrontError(CODES.NOT_IMPLEMENTED, `Content-Encoding '${encoding}' is not served`);
  }
}

/** The whole body, decompressed. Throws QUERY_IS_TOO_LARGE beyond `maxBytes`, NETWORK_ERROR when the client goes away. */
export async function readBody(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  const source = decoded(req);
  if (source !== req) req.on('error', (error) => source.destroy(error));
  try {
    // Left open when it is too long, so that the answer still reaches the client.
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      total += chunk.length;
      if (total > maxBytes) throw new FrontError(CODES.QUERY_IS_TOO_LARGE, `Body is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof FrontError) throw error;
    throw new FrontError(CODES.NETWORK_ERROR, `Cannot read the request body: ${(error as Error).message}`);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, total);
}
