/** What the server does for any handler, over real sockets. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Peer, WebSocketFront, type WebSocketOptions } from '../../../connectors/websocket/server.ts';
import { loopbackCertificate } from '../../support/certificate.ts';
import { type ConnectOptions, FeedClient } from '../../support/feed-client.ts';

const HEARTBEAT_MS = 100;

class Server {
  readonly refused: string[] = [];
  readonly dropped: string[] = [];
  readonly peers: Peer[] = [];
  readonly heard: string[] = [];
  readonly clients: FeedClient[] = [];
  pings = 0;
  closed = 0;
  ready = true;
  token: string | null = 'good';
  readonly front: WebSocketFront<string>;
  port = 0;

  constructor(options: Partial<WebSocketOptions<string>> = {}) {
    this.front = new WebSocketFront<string>({
      host: '127.0.0.1',
      port: 0,
      path: '/ws/market',
      subprotocol: 'test.v1',
      origins: ['https://ours.example'],
      maxConnections: 3,
      maxFrameBytes: 1_000,
      maxBufferedBytes: 100_000,
      heartbeatMs: HEARTBEAT_MS,
      ready: () => this.ready,
      identify: (token) => (token === this.token ? 'me' : null),
      shareOf: (identity) => ({ key: identity, maxConnections: 3 }),
      mayStay: () => this.token !== null,
      opened: (peer) => {
        this.peers.push(peer);
        return {
          message: (text) => this.heard.push(text),
          binary: () => this.heard.push('binary'),
          pinged: () => this.pings++,
          writable: () => {},
          closed: () => this.closed++,
        };
      },
      refused: (reason) => this.refused.push(reason),
      dropped: (reason) => this.dropped.push(reason),
      ...options,
    });
  }

  async connect(options: ConnectOptions = { token: 'good' }): Promise<FeedClient> {
    const client = await FeedClient.connect(this.port, options);
    this.clients.push(client);
    return client;
  }
}

const servers: Server[] = [];
async function start(options: Partial<WebSocketOptions<string>> = {}): Promise<Server> {
  const server = new Server(options);
  server.port = await server.front.listen();
  servers.push(server);
  return server;
}
afterEach(async () => {
  for (const server of servers.splice(0)) {
    for (const { socket } of server.clients) socket.terminate();
    await server.front.close();
  }
});

describe('the WebSocket server', () => {
  it('lets in who has a token, in the header or as a subprotocol, and nobody else', async () => {
    const server = await start();
    await server.connect();
    const browser = await server.connect({ protocols: ['test.v1', 'bearer.good'] });
    expect(browser.socket.protocol).toBe('test.v1');
    await expect(server.connect({ token: 'bad' })).rejects.toThrow('401');
    await expect(server.connect({})).rejects.toThrow('401');
    expect(server.refused).toEqual(['token', 'token']);
  });

  it('refuses pages of other origins, other paths, too many, and everybody while it is not ready', async () => {
    const server = await start();
    server.ready = false;
    await expect(server.connect()).rejects.toThrow('503');
    server.ready = true;
    await expect(server.connect({ token: 'good', headers: { origin: 'https://evil.example' } })).rejects.toThrow('403');
    await server.connect({ token: 'good', headers: { origin: 'https://ours.example' } });
    await server.connect();
    const third = await server.connect();
    await expect(server.connect()).rejects.toThrow('503');
    third.socket.close();
    await expect.poll(() => server.front.connections).toBe(2);
    await server.connect();
    expect((await fetch(`http://127.0.0.1:${server.port}/ws/market`)).status).toBe(426);
    expect((await fetch(`http://127.0.0.1:${server.port}/other`)).status).toBe(404);
    expect(server.refused).toEqual(['starting', 'origin', 'full']);
  });

  it('lets one token have no more than its share, and another have its own', async () => {
    const identify = (token: string | undefined) => token ?? null;
    const shareOf = (key: string) => ({ key, maxConnections: key === 'small' ? 1 : 2 });
    const server = await start({ maxConnections: 4, identify, shareOf });
    const small = await server.connect({ token: 'small' });
    await expect(server.connect({ token: 'small' })).rejects.toThrow('429');
    await server.connect({ token: 'large' });
    await server.connect({ token: 'large' });
    await expect(server.connect({ token: 'large' })).rejects.toThrow('429');
    small.socket.close();
    await expect.poll(() => server.front.connections).toBe(2);
    await server.connect({ token: 'small' });
    expect(server.refused).toEqual(['token_full', 'token_full']);
  });

  it('speaks TLS with its certificate, and nothing else then', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
    try {
      const { cert, key } = loopbackCertificate();
      const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
      writeFileSync(tls.certFile, cert);
      writeFileSync(tls.keyFile, key);
      const server = await start({ tls });
      const client = await server.connect({ token: 'good', ca: cert });
      client.socket.send('over TLS');
      await expect.poll(() => server.heard).toEqual(['over TLS']);
      await expect(server.connect({ token: 'bad', ca: cert })).rejects.toThrow('401');
      await expect(server.connect({ token: 'good', ca: loopbackCertificate().cert })).rejects.toThrow(/self-signed/);
      await expect(server.connect()).rejects.toThrow(/hang up|ECONNRESET/);
      expect(server.front.connections).toBe(1);
      await server.front.close();
      servers.length = 0;
      await expect.poll(() => client.closeCode).toBe(1001);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says so when its port is taken', async () => {
    const { port } = await start();
    await expect(new Server({ port }).front.listen()).rejects.toMatchObject({ code: 'WEBSOCKET_PORT_TAKEN' });
  });

  it('hands over what is said, and ends a connection whose frame is too large', async () => {
    const server = await start();
    const client = await server.connect();
    client.socket.send('one');
    client.socket.send(Buffer.from([1]));
    client.socket.ping();
    await expect.poll(() => server.pings).toBe(1);
    expect(server.heard).toEqual(['one', 'binary']);
    client.socket.send('x'.repeat(1_001));
    await expect.poll(() => client.closeCode).toBe(1009);
    await expect.poll(() => server.closed).toBe(1);
    expect(server.heard).toHaveLength(2);
  });

  it('drops who does not answer pings, and keeps who does', async () => {
    const server = await start();
    const alive = await server.connect();
    const dead = await server.connect();
    dead.socket.pause();
    await expect.poll(() => server.dropped).toEqual(['dead']);
    let pings = 0;
    alive.socket.on('ping', () => pings++);
    await expect.poll(() => pings).toBeGreaterThan(2);
    expect(server.front.connections).toBe(1);
  });

  it('cuts off who lets more pile up than is allowed, and nobody else', async () => {
    const server = await start({ heartbeatMs: 60_000 });
    const slow = await server.connect();
    const other = await server.connect();
    slow.socket.pause();
    const frame = JSON.stringify({ type: 'value', text: 'x'.repeat(50_000) });
    const [toSlow, toOther] = server.peers as [Peer, Peer];
    let sent = 0;
    while (server.dropped.length === 0) {
      toSlow.send(frame);
      sent++;
      // Lets what the kernel takes leave.
      await new Promise((resolve) => setImmediate(resolve));
      expect(toSlow.bufferedBytes).toBeLessThan(250_000);
    }
    expect(server.dropped).toEqual(['slow']);
    expect(sent).toBeGreaterThan(2);
    toOther.send('{"type":"still"}');
    await expect.poll(() => other.ofType('still')).toHaveLength(1);
  });

  it('ends a connection whose token is taken away', async () => {
    const server = await start();
    const client = await server.connect();
    server.token = null;
    await expect.poll(() => client.closeCode).toBe(1008);
    expect(server.dropped).toContain('token');
  });

  it('says that it goes away when it stops, also to who never answers', async () => {
    const server = await start();
    const client = await server.connect();
    const deaf = await server.connect();
    deaf.socket.pause();
    const idle = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => idle.once('connect', resolve));
    await server.front.close();
    servers.length = 0;
    await expect.poll(() => client.closeCode).toBe(1001);
    expect(server.front.connections).toBe(0);
    idle.destroy();
    deaf.socket.terminate();
  });
});
