/**
 * A WebSocket server that no client can hurt: it says who may connect, bounds connections, frames and what is buffered for each, and drops whoever
 * is dead. What is said over a connection is its handler's.
 *
 *   connecting ──refused──► (HTTP status and reason)
 *       └─accepted─► open ──close(), token ended, server stops──► closing ──► closed
 *                     └──no pong, buffer full──► closed
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { listenError } from './errors.ts';

/** One client, as its handler sees it. */
export interface Peer {
  /** What was sent and has not left this process. */
  readonly bufferedBytes: number;
  send(frame: string | Buffer): void;
  /** Says why and lets what is buffered leave first. Codes: https://www.rfc-editor.org/rfc/rfc6455#section-7.4 */
  close(code: number, reason: string): void;
}

/** What a peer did. Nothing comes after `closed`. */
export interface PeerHandler {
  message(text: string): void;
  binary(): void;
  pinged(): void;
  /** Some of what was buffered has left. */
  writable(): void;
  closed(): void;
}

/** Why a connection was not accepted. */
export const REFUSED = ['path', 'starting', 'origin', 'token', 'token_full', 'full'] as const;
export type Refusal = (typeof REFUSED)[number];
/** Why a connection was cut off. */
export const DROPS = ['dead', 'slow', 'token'] as const;
export type Drop = (typeof DROPS)[number];

export interface WebSocketOptions<I> {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly path: string;
  /** Offered by a client beside its token, and selected. */
  readonly subprotocol: string;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** What a browser may say in Origin; a client without one is no browser. */
  readonly origins: readonly string[];
  readonly maxConnections: number;
  readonly maxFrameBytes: number;
  /** A client for which more is buffered is cut off. */
  readonly maxBufferedBytes: number;
  /** A client that does not answer a ping until the next is cut off. */
  readonly heartbeatMs: number;
  /** False refuses: what clients would be told is not there yet. */
  readonly ready: () => boolean;
  /** Whom the token belongs to, null for nobody; the token is undefined when there is none. */
  readonly identify: (token: string | undefined) => I | null;
  /** Connections of one key share a limit. */
  readonly shareOf: (identity: I) => { readonly key: string; readonly maxConnections: number };
  /** Asked at each heartbeat. */
  readonly mayStay: (identity: I) => boolean;
  readonly opened: (peer: Peer, identity: I) => PeerHandler;
  readonly refused: (reason: Refusal) => void;
  readonly dropped: (reason: Drop) => void;
}

const REFUSALS: Readonly<Record<Refusal, { readonly status: number; readonly message: string }>> = {
  path: { status: 404, message: 'There is nothing at this path' },
  starting: { status: 503, message: 'Current values are being read; try again in a moment' },
  origin: { status: 403, message: 'Pages of this origin may not connect' },
  token: { status: 401, message: 'A valid token is needed: Authorization: Bearer, or subprotocol bearer.<token>' },
  token_full: { status: 429, message: 'As many connections as this token may have; close one first' },
  full: { status: 503, message: 'No more connections here; try again, or another gateway' },
};

/** Sockets that have not become connections yet. */
const SPARE_SOCKETS = 100;
const HANDSHAKE_MS = 5_000;
const CLOSE_DEADLINE_MS = 2_000;
const BEARER_PROTOCOL = 'bearer.';
const NORMAL_DROP = 1008;
const GOING_AWAY = 1001;

interface Connection<I> {
  readonly socket: WebSocket;
  readonly identity: I;
  /** What it counts to. */
  readonly share: string;
  alive: boolean;
}

export class WebSocketFront<I> {
  readonly #options: WebSocketOptions<I>;
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #connections = new Set<Connection<I>>();
  /** Connections of each share that has one. */
  readonly #shares = new Map<string, number>();
  #heartbeat: NodeJS.Timeout | undefined;
  #stopping = false;
  /** Called when the last connection has closed. */
  #emptied: () => void = () => {};

  constructor(options: WebSocketOptions<I>) {
    this.#options = options;
    const { tls, subprotocol, maxFrameBytes, maxConnections } = options;
    this.#http =
      tls === undefined
        ? createServer()
        : createTlsServer({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) });
    this.#http.maxConnections = maxConnections + SPARE_SOCKETS;
    this.#http.headersTimeout = this.#http.requestTimeout = HANDSHAKE_MS;
    this.#http.on('request', (request, response) => {
      const wanted = pathOf(request) === options.path;
      response.writeHead(wanted ? 426 : 404, wanted ? { upgrade: 'websocket' } : {}).end();
    });
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Compression costs each connection a window of memory, and all of them CPU.
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      // A client that sends pings and reads nothing would make pongs pile up: they count as its frames.
      autoPong: false,
      handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
    });
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Returns the port. Throws WEBSOCKET_… as of errors.ts. */
  async listen(): Promise<number> {
    const { port, host, heartbeatMs } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', (error) => reject(listenError(error, `${host}:${port}`)));
      this.#http.listen(port, host, resolve);
    });
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs);
    return (this.#http.address() as AddressInfo).port;
  }

  /** Tells every client that it goes away (1001), waits a moment for their goodbyes, and ends. */
  async close(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#heartbeat);
    const ended = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    const emptied = new Promise<void>((resolve) => {
      this.#emptied = resolve;
    });
    if (this.#connections.size === 0) this.#emptied();
    for (const { socket } of this.#connections) socket.close(GOING_AWAY, 'the gateway stops');
    this.#http.closeIdleConnections();
    const late = setTimeout(() => {
      for (const { socket } of this.#connections) socket.terminate();
      this.#http.closeAllConnections();
    }, CLOSE_DEADLINE_MS);
    await Promise.all([ended, emptied]);
    clearTimeout(late);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const { identity, refusal } = this.#admit(request);
    if (refusal !== null) {
      this.#options.refused(refusal);
      refuse(socket, refusal);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (opened) => this.#open(opened, identity));
  }

  #admit(
    request: IncomingMessage,
  ): { readonly identity: I; readonly refusal: null } | { readonly identity: null; readonly refusal: Refusal } {
    const { path, origins, ready, identify, shareOf, maxConnections } = this.#options;
    const { origin } = request.headers;
    const refusal = (reason: Refusal) => ({ identity: null, refusal: reason });
    if (pathOf(request) !== path) return refusal('path');
    if (origin !== undefined && !origins.includes(origin)) return refusal('origin');
    const identity = identify(tokenOf(request));
    if (identity === null) return refusal('token');
    if (this.#stopping || !ready()) return refusal('starting');
    if (this.#connections.size >= maxConnections) return refusal('full');
    const share = shareOf(identity);
    if ((this.#shares.get(share.key) ?? 0) >= share.maxConnections) return refusal('token_full');
    return { identity, refusal: null };
  }

  #open(socket: WebSocket, identity: I): void {
    const share = this.#options.shareOf(identity).key;
    const connection: Connection<I> = { socket, identity, share, alive: true };
    this.#connections.add(connection);
    this.#shares.set(share, (this.#shares.get(share) ?? 0) + 1);
    const handler = this.#options.opened(
      this.#peer(connection, () => handler.writable()),
      identity,
    );
    socket.on('message', (data, isBinary) => {
      if (socket.readyState !== socket.OPEN) return;
      if (isBinary) handler.binary();
      else handler.message(data.toString());
    });
    socket.on('pong', () => {
      connection.alive = true;
    });
    socket.on('ping', (data) => {
      handler.pinged();
      if (socket.readyState === socket.OPEN) socket.pong(data);
    });
    // A protocol error (a frame too large, bad UTF-8): ws answers with its close code, and `close` follows.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#forget(connection);
      handler.closed();
      if (this.#connections.size === 0) this.#emptied();
    });
  }

  #forget(connection: Connection<I>): void {
    this.#connections.delete(connection);
    const left = this.#shares.get(connection.share)! - 1;
    if (left > 0) this.#shares.set(connection.share, left);
    else this.#shares.delete(connection.share);
  }

  #peer(connection: Connection<I>, writable: () => void): Peer {
    const { socket } = connection;
    return {
      get bufferedBytes() {
        return socket.bufferedAmount;
      },
      send: (frame) => {
        if (socket.readyState !== socket.OPEN) return;
        socket.send(frame, { binary: false }, (error) => {
          if (error === undefined || error === null) writable();
        });
        if (socket.bufferedAmount > this.#options.maxBufferedBytes) this.#drop(connection, 'slow');
      },
      close: (code, reason) => socket.close(code, reason),
    };
  }

  #drop({ socket }: Connection<I>, reason: Drop): void {
    this.#options.dropped(reason);
    if (reason === 'token') socket.close(NORMAL_DROP, 'the token is no longer valid');
    else socket.terminate();
  }

  #beat(): void {
    for (const connection of this.#connections) {
      const { socket, identity } = connection;
      if (!connection.alive) this.#drop(connection, 'dead');
      else if (!this.#options.mayStay(identity)) this.#drop(connection, 'token');
      else {
        connection.alive = false;
        if (socket.readyState === socket.OPEN) socket.ping();
      }
    }
  }
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0]!;
}

/** A browser cannot set Authorization for a WebSocket: it offers the token as a subprotocol. Never in the address, which gets logged. */
function tokenOf({ headers }: IncomingMessage): string | undefined {
  const [, token] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (token !== undefined) return token;
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim());
  return offered.find((one) => one.startsWith(BEARER_PROTOCOL))?.slice(BEARER_PROTOCOL.length);
}

function refuse(socket: Duplex, reason: Refusal): void {
  const { status, message } = REFUSALS[reason];
  const body = `${JSON.stringify({ code: reason.toUpperCase(), message })}\n`;
  const headers = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(status === 503 || status === 429 ? ['Retry-After: 5'] : []),
    ...(status === 401 ? ['WWW-Authenticate: Bearer'] : []),
  ];
  socket.end(`${headers.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
