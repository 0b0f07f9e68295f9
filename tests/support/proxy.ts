/** A TCP proxy in front of a server, to be cut, stalled and slowed down by a test. */
import { type AddressInfo, createServer, type Socket, connect as tcp } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** The same URL, by way of the proxy. */
  through(url: string): string;
  pass(): void;
  /** Ends all connections and every new one at once, as a server that was killed does. */
  cut(): void;
  /** Keeps connections open and lets nothing through any more, as a server that hangs or a network that swallows. */
  stall(): void;
  /** What the server answers comes so much later. */
  delay(ms: number): void;
  close(): Promise<void>;
}

type Mode = { readonly kind: 'pass' | 'cut' | 'stall' } | { readonly kind: 'delay'; readonly ms: number };

export async function startProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  let mode: Mode = { kind: 'pass' };
  const sockets = new Set<Socket>();
  const keep = (socket: Socket, other: Socket) => {
    sockets.add(socket);
    // One that is stalled stays open on its own side, whatever the other side does.
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      if (mode.kind !== 'stall') other.destroy();
    });
  };
  const server = createServer((client) => {
    if (mode.kind === 'cut') {
      client.destroy();
      return;
    }
    const upstream = tcp(target.port, target.host);
    keep(client, upstream);
    keep(upstream, client);
    client.on('data', (bytes) => {
      if (mode.kind !== 'stall') upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (mode.kind === 'delay') setTimeout(() => client.write(bytes), mode.ms);
      else if (mode.kind !== 'stall') client.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port,
    through: (url) => url.replace(`${target.host}:${target.port}`, `127.0.0.1:${port}`),
    pass() {
      // What was swallowed is lost: those connections are of no use.
      if (mode.kind === 'stall') endAll();
      mode = { kind: 'pass' };
    },
    cut() {
      mode = { kind: 'cut' };
      endAll();
    },
    stall() {
      mode = { kind: 'stall' };
    },
    delay(ms) {
      mode = { kind: 'delay', ms };
    },
    async close() {
      endAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** In front of the server of a URL. */
export async function proxyOf(url: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(url);
  return await startProxy({ host: hostname, port: Number(port) });
}
