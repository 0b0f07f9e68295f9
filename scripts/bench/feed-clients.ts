/** Clients of the market feed, all in this process, that time each value they are told. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { MARKET_PATH } from '../../pipelines/prices/gateway/protocol.ts';
import { Latencies } from './latency.ts';

export interface ClientsOptions {
  readonly port: number;
  readonly connections: number;
  /** Among them, those that never read. */
  readonly deaf: number;
  /** Of each. */
  readonly subscriptions: number;
  readonly symbols: readonly string[];
  readonly interval: string;
  readonly signal: AbortSignal;
}

/** Handshakes at a time. */
const CONNECTING = 50;
const QUIET_MS = 2_000;
const VALUE = '{"type":"value"';
const COMMIT_TIME = '"commitTime":';

export class FeedClients {
  readonly latencies = new Latencies();
  framesRead = 0;
  /** Connections of clients that read, and that ended. */
  lost = 0;
  readonly #options: ClientsOptions;
  readonly #sockets: WebSocket[] = [];
  #from = Number.POSITIVE_INFINITY;
  #lastFrameAt = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** All of them, subscribed. */
  async connect(): Promise<void> {
    const { connections, signal } = this.#options;
    for (let first = 0; first < connections && !signal.aborted; first += CONNECTING) {
      const numbers = Array.from({ length: Math.min(CONNECTING, connections - first) }, (_, i) => first + i);
      await Promise.all(numbers.map(async (number) => await this.#connectOne(number)));
    }
  }

  /** Values committed from now on count. */
  begin(fromMs: number): void {
    this.#from = fromMs;
  }

  /** Until nothing more comes. */
  async quiet(): Promise<void> {
    while (performance.now() - this.#lastFrameAt < QUIET_MS) await delay(100);
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async #connectOne(number: number): Promise<void> {
    const { subscriptions, symbols, deaf, port, interval } = this.#options;
    const socket = new WebSocket(`ws://127.0.0.1:${port}${MARKET_PATH}`);
    this.#sockets.push(socket);
    await once(socket, 'open');
    socket.on('error', () => {});
    const series = Array.from({ length: subscriptions }, (_, i) => ({
      symbol: symbols[(number * subscriptions + i) % symbols.length]!,
      interval,
    }));
    socket.send(JSON.stringify({ type: 'subscribe', series }));
    if (number < deaf) {
      socket.pause();
      return;
    }
    socket.on('close', () => this.lost++);
    socket.on('message', (data) => this.#read(String(data)));
  }

  /** Without JSON.parse: the benchmark shares the machine with what it measures. */
  #read(text: string): void {
    if (!text.startsWith(VALUE)) return;
    const at = text.lastIndexOf(COMMIT_TIME);
    if (at < 0) return;
    this.#lastFrameAt = performance.now();
    const commitTime = Number.parseInt(text.slice(at + COMMIT_TIME.length), 10);
    if (commitTime < this.#from) return;
    this.framesRead++;
    const ms = Math.max(0, Date.now() - commitTime);
    this.latencies.addSpan(ms, ms + 1);
  }
}
