/** A client of the market feed, over a real WebSocket. */
import { once } from 'node:events';
import { WebSocket } from 'ws';

export type Frame = Readonly<Record<string, unknown>>;

export interface ConnectOptions {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly protocols?: readonly string[];
  /** Speaks TLS, and trusts this certificate. */
  readonly ca?: string;
}

export class FeedClient {
  readonly socket: WebSocket;
  readonly frames: Frame[] = [];
  /** Close code; null while open. */
  closeCode: number | null = null;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => this.frames.push(JSON.parse(String(data))));
    socket.on('close', (code) => {
      this.closeCode = code;
    });
    // Told by `close`.
    socket.on('error', () => {});
  }

  /** Rejects with the HTTP status when it is refused. */
  static async connect(port: number, { token, headers, protocols, ca }: ConnectOptions = {}): Promise<FeedClient> {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const socket = new WebSocket(
      `${ca === undefined ? 'ws' : 'wss'}://127.0.0.1:${port}/ws/market`,
      [...(protocols ?? [])],
      {
        ca,
        headers: { ...authorization, ...headers },
      },
    );
    const client = new FeedClient(socket);
    const refused = new Promise<never>((_, reject) => {
      socket.on('unexpected-response', (_request, response) => {
        response.resume();
        socket.terminate();
        reject(new Error(`refused with ${response.statusCode}`));
      });
      socket.on('error', reject);
    });
    await Promise.race([once(socket, 'open'), refused]);
    return client;
  }

  subscribe(...names: readonly (readonly [string, string])[]): void {
    const series = names.map(([symbol, interval]) => ({ symbol, interval }));
    this.socket.send(JSON.stringify({ type: 'subscribe', series }));
  }

  ofType(type: string): Frame[] {
    return this.frames.filter((frame) => frame.type === type);
  }

  /** The close price it was told last of a series; null for none, undefined when it was told nothing. */
  lastClose(symbol: string, interval: string): string | null | undefined {
    const frame = this.ofType('value').findLast((one) => one.symbol === symbol && one.interval === interval);
    if (frame === undefined) return undefined;
    return (frame.candle as { close: string } | null)?.close ?? null;
  }
}
