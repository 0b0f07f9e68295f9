/** The market feed under load: one gateway process, its clients, and changes at a fixed rate, written as the stage would. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { createTopics } from '../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { SluiceError } from '../../engine/errors.ts';
import { MARKET_GATEWAY } from '../../pipelines/prices/gateway/create.ts';
import { MARKET_PATH } from '../../pipelines/prices/gateway/protocol.ts';
import { CANDLES } from '../../pipelines/prices/topics.ts';
import { Children, type WorkerChild } from '../start/children.ts';
import { CandleWriter, symbolOf } from './candle-writer.ts';
import { summaryOf } from './freshness.ts';
import { Latencies, type LatencySummary } from './latency.ts';
import { startOwnStack } from './own-stack.ts';
import { checkProc, type Machine, machine, peakResidentMiB, processTimes } from './proc.ts';

export interface GatewayFlags {
  readonly connections: number;
  readonly deaf: number;
  readonly subscriptions: number;
  readonly symbols: number;
  /** Changes a minute. */
  readonly rate: number;
  readonly seconds: number;
}

export interface GatewayOptions extends GatewayFlags {
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface GatewayResult {
  readonly machine: Machine;
  /** From just before the transaction that writes a candle to its frame at a client that reads. */
  readonly commitToClient: LatencySummary;
  readonly changes: number;
  readonly framesRead: number;
  /** Connections of clients that read, and that ended during the measured time. */
  readonly connectionsLost: number;
  /** Connections that the gateway cut: those that never read. */
  readonly connectionsCut: number;
  /** Of one core, in the measured time. */
  readonly gatewayCpuPercent: number;
  readonly peakRssMiB: number;
}

const PARTITIONS = 4;
const INTERVAL = '5m';
const WARM_UP_MS = 5_000;
/** Changes are committed this often, all that are due at once. */
const COMMIT_EVERY_MS = 100;
const READY_TIMEOUT_MS = 120_000;
/** Handshakes at a time. */
const CONNECTING = 50;

/** Runs it. Throws what the servers and the gateway throw. */
export async function gateway(options: GatewayOptions): Promise<GatewayResult> {
  checkProc();
  const own = await startOwnStack({ ...options, services: ['kafka', 'registry'] });
  const undo: (() => Promise<void> | void)[] = [() => own.stack.stop({ remove: true })];
  try {
    const brokers = own.stack.env.SLUICE_KAFKA_BROKERS!.split(',');
    const config = { 'cleanup.policy': 'compact' };
    await createTopics({ brokers, clientId: 'bench', replication: 1 }, [
      { name: CANDLES, partitions: PARTITIONS, config },
    ]);
    const client = new KafkaClient({ brokers, clientId: 'bench' });
    undo.push(() => client.close());
    const registryUrl = own.stack.env.SLUICE_REGISTRY_URL!;
    const writer = await CandleWriter.open(client, { topic: CANDLES, partitions: PARTITIONS, registryUrl });
    undo.push(() => writer.close());
    const changes = new Changes(writer, options);
    await changes.writeAll();
    // The workers' ports follow the servers'; the gateway's own worker has the first.
    const port = own.stack.ports.metrics + 1;
    const children = new Children({
      home: own.home,
      env: { ...own.env, SLUICE_PRICES_GATEWAY_PORT: String(port), SLUICE_PRICES_GATEWAY_AUTH: 'none' },
      metricsPort: own.stack.ports.metrics,
      workers: [MARKET_GATEWAY],
      onChange: () => {},
    });
    undo.push(() => children.stop());
    await children.startWorkers();
    const [worker] = children.workers;
    await untilReady(worker!.port, options.signal);
    const clients = new Clients(port, options);
    undo.push(() => clients.close());
    options.say(`Connecting ${options.connections} clients`);
    await clients.connect();
    return await measure({ options, changes, clients, worker: worker! });
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function measure(run: {
  readonly options: GatewayOptions;
  readonly changes: Changes;
  readonly clients: Clients;
  readonly worker: WorkerChild;
}): Promise<GatewayResult> {
  const { options, changes, clients, worker } = run;
  const pid = worker.process.status.pid!;
  options.say('Warming up');
  await changes.writeFor(WARM_UP_MS);
  options.say(`Measuring ${options.seconds} s`);
  const lostBefore = clients.lost;
  clients.begin(Date.now());
  const cpuBefore = processTimes(pid)!.cpuMicros;
  const startedAt = performance.now();
  const written = await changes.writeFor(options.seconds * 1_000);
  const cpuMicros = processTimes(pid)!.cpuMicros - cpuBefore;
  const tookMs = performance.now() - startedAt;
  await clients.quiet();
  return {
    machine: machine(),
    commitToClient: summaryOf(clients.latencies),
    changes: written,
    framesRead: clients.framesRead,
    connectionsLost: clients.lost - lostBefore,
    connectionsCut: await connectionsCut(worker.port),
    gatewayCpuPercent: Math.round(cpuMicros / 10 / tookMs),
    peakRssMiB: Math.round(peakResidentMiB(pid)),
  };
}

async function untilReady(port: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!signal.aborted && performance.now() < deadline) {
    const response = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => null);
    if (response?.ok === true) return;
    await delay(100, undefined, { signal }).catch(() => undefined);
  }
  throw new SluiceError('The gateway did not get ready', { code: 'BENCH_TIMEOUT', action: 'fatal' });
}

async function connectionsCut(metricsPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const lines = text.matchAll(/^sluice_feed_dropped_total\{[^}]*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Changes of candles, one symbol after the other. */
class Changes {
  readonly #writer: CandleWriter;
  readonly #options: GatewayOptions;
  #next = 0;

  constructor(writer: CandleWriter, options: GatewayOptions) {
    this.#writer = writer;
    this.#options = options;
  }

  async writeAll(): Promise<void> {
    await this.#write(this.#options.symbols);
  }

  /** At the rate. Returns how many were written. */
  async writeFor(ms: number): Promise<number> {
    const { rate, signal } = this.#options;
    const startedAt = performance.now();
    let written = 0;
    for (let now = startedAt; now < startedAt + ms && !signal.aborted; now = performance.now()) {
      const due = Math.floor(((now - startedAt) * rate) / 60_000) - written;
      await this.#write(due);
      written += due;
      await delay(COMMIT_EVERY_MS - ((performance.now() - startedAt) % COMMIT_EVERY_MS));
    }
    return written;
  }

  async #write(count: number): Promise<void> {
    const candles = Array.from({ length: count }, () => {
      const stockId = this.#next++ % this.#options.symbols;
      return { stockId, interval: INTERVAL, start: 0, closeE6: BigInt(this.#next) * 1_000_000n } as const;
    });
    await this.#writer.write(candles);
  }
}

class Clients {
  readonly latencies = new Latencies();
  framesRead = 0;
  lost = 0;
  readonly #port: number;
  readonly #options: GatewayOptions;
  readonly #sockets: WebSocket[] = [];
  #from = Number.POSITIVE_INFINITY;
  #lastFrameAt = 0;

  constructor(port: number, options: GatewayOptions) {
    this.#port = port;
    this.#options = options;
  }

  /** All of them, subscribed; those that never read do from then on. */
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
    while (performance.now() - this.#lastFrameAt < 2_000) await delay(100);
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async #connectOne(number: number): Promise<void> {
    const { subscriptions, symbols, deaf } = this.#options;
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}${MARKET_PATH}`);
    this.#sockets.push(socket);
    await once(socket, 'open');
    socket.on('error', () => {});
    const series = Array.from({ length: subscriptions }, (_, i) => ({
      symbol: symbolOf((number * subscriptions + i) % symbols),
      interval: INTERVAL,
    }));
    socket.send(JSON.stringify({ type: 'subscribe', series }));
    if (number < deaf) {
      socket.pause();
      return;
    }
    socket.on('close', () => this.lost++);
    socket.on('message', (data) => this.#read(String(data)));
  }

  #read(text: string): void {
    const frame = JSON.parse(text) as { type: string; candle?: { commitTime: number } | null };
    if (frame.type !== 'value' || frame.candle === null || frame.candle === undefined) return;
    this.#lastFrameAt = performance.now();
    const { commitTime } = frame.candle;
    if (commitTime < this.#from) return;
    this.framesRead++;
    const ms = Math.max(0, Date.now() - commitTime);
    this.latencies.addSpan(ms, ms + 1);
  }
}
