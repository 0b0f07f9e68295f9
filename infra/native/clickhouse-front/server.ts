/** The HTTP side: limits, errors, compression, shutdown. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Writable } from 'node:stream';
import zlib from 'node:zlib';
import type { Engine } from './engine.ts';
import { CODES, FrontError, failureOf } from './errors.ts';
import { execute, type Outcome } from './execute.ts';
import { authenticate, type FrontRequest, readBody, readRequest } from './request.ts';
import { readStatement } from './statement.ts';

export interface FrontOptions {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly maxBodyBytes: number;
  readonly maxConcurrentQueries: number;
}

export interface Front {
  readonly port: number;
  /** Takes no new request, waits for those that run (at most `graceMs`), then closes the sockets. */
  close(graceMs: number): Promise<void>;
}

function contentType(format: string): string {
  if (/^(JSON.*EachRow|JSONLines|NDJSON)/.test(format)) return 'application/x-ndjson; charset=UTF-8';
  if (format.startsWith('JSON')) return 'application/json; charset=UTF-8';
  if (format.startsWith('CSV')) return 'text/csv; charset=UTF-8';
  if (/^(TabSeparated|TSV)/.test(format)) return 'text/tab-separated-values; charset=UTF-8';
  if (/^(RowBinary|Native|Parquet|Arrow|ORC|Avro|MsgPack)/.test(format)) return 'application/octet-stream';
  return 'text/plain; charset=UTF-8';
}

async function send(res: ServerResponse, outcome: Outcome, meta: { format: string; gzip: boolean; ns: bigint }) {
  const summary = {
    read_rows: String(outcome.readRows),
    written_rows: String(outcome.writtenRows),
    elapsed_ns: String(meta.ns),
  };
  res.setHeader('X-ClickHouse-Summary', JSON.stringify(summary));
  res.setHeader('X-ClickHouse-Format', meta.format);
  res.setHeader('Content-Type', contentType(meta.format));
  let out: Writable = res;
  if (meta.gzip) {
    res.setHeader('Content-Encoding', 'gzip');
    const gzip = zlib.createGzip({ level: 1 });
    gzip.pipe(res);
    out = gzip;
  }
  for await (const chunk of outcome.chunks) {
    if (res.destroyed) throw new FrontError(CODES.NETWORK_ERROR, 'The client went away');
    if (chunk.length > 0 && !out.write(chunk)) await Promise.race([once(out, 'drain'), once(res, 'close')]);
  }
  out.end();
}

/** Before the first byte an error is an answer; after it, only cutting the connection tells the client. */
function sendFailure(res: ServerResponse, error: unknown) {
  const failure = failureOf(error);
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  res.removeHeader('Content-Encoding');
  res.statusCode = failure.status;
  res.setHeader('X-ClickHouse-Exception-Code', String(failure.code));
  res.setHeader('Content-Type', 'text/plain; charset=UTF-8');
  res.end(`${failure.body}\n`);
}

async function answer(engine: Engine, options: FrontOptions, req: IncomingMessage, res: ServerResponse) {
  const started = process.hrtime.bigint();
  authenticate(req, options);
  const request: FrontRequest = readRequest(req);
  res.setHeader('X-ClickHouse-Query-Id', request.queryId ?? randomUUID());
  res.setHeader('X-ClickHouse-Server-Display-Name', 'clickhouse-front');
  res.setHeader('X-ClickHouse-Timezone', 'UTC');
  const body = await readBody(req, options.maxBodyBytes);
  const statement = readStatement(request.query, body, request.defaultFormat);
  const format = statement.kind === 'insert' ? request.defaultFormat : statement.format;
  const deliver = (outcome: Outcome) =>
    send(res, outcome, { format, gzip: request.gzipResponse, ns: process.hrtime.bigint() - started });
  await execute(engine, request, statement, { defaultFormat: request.defaultFormat, deliver });
}

/** Listens on loopback only. Rejects when the port is taken. */
export async function serve(engine: Engine, options: FrontOptions): Promise<Front> {
  let running = 0;
  const idle = new Set<() => void>();
  const handle = async (req: IncomingMessage, res: ServerResponse) => {
    const path = (req.url ?? '/').split('?', 1)[0];
    if (path === '/ping' || path === '/replicas_status') return void res.end('Ok.\n');
    if (path !== '/' && path !== '/query') {
      res.statusCode = 404;
      return void res.end(`There is no handle ${path}. Use / or /ping\n`);
    }
    running += 1;
    try {
      if (running > options.maxConcurrentQueries) {
        throw new FrontError(CODES.TOO_MANY_SIMULTANEOUS_QUERIES, `Too many simultaneous queries: ${running}`);
      }
      await answer(engine, options, req, res);
    } catch (error) {
      // A body that was not read to its end would be taken for the next request.
      if (!req.complete && !res.headersSent) res.setHeader('Connection', 'close');
      req.unpipe();
      req.resume();
      sendFailure(res, error);
    } finally {
      running -= 1;
      if (running === 0) for (const wake of idle) wake();
    }
  };
  const server = http.createServer({ keepAliveTimeout: 30_000 }, (req, res) => void handle(req, res));
  server.listen(options.port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close(graceMs) {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      if (running > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, graceMs);
          idle.add(() => {
            clearTimeout(timer);
            resolve();
          });
        });
      }
      server.closeAllConnections();
      await closed;
    },
  };
}
