/** The market feed under load: one gateway process, its clients, and changes at a fixed rate. */
import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import { MARKET_GATEWAY } from '../../pipelines/prices/gateway/create.ts';
import { Children, type WorkerChild } from '../start/children.ts';
import { type Changes, candleChanges, postgresChanges } from './feed-changes.ts';
import { FeedClients } from './feed-clients.ts';
import { summaryOf } from './freshness.ts';
import type { LatencySummary } from './latency.ts';
import { startOwnStack } from './own-stack.ts';
import { checkProc, type Machine, machine, peakResidentMiB, processTimes } from './proc.ts';

export const FEED_SOURCES = ['candles', 'postgres'] as const;

export interface GatewayFlags {
  readonly from: (typeof FEED_SOURCES)[number];
  readonly connections: number;
  readonly deaf: number;
  readonly subscriptions: number;
  readonly symbols: number;
  /** Changes a minute. */
  readonly rate: number;
  readonly seconds: number;
  /** Daily bars in the topic when the gateway starts. */
  readonly history: number;
}

export interface GatewayOptions extends GatewayFlags {
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface GatewayResult {
  readonly machine: Machine;
  /**
   * To a client's reading of the frame: from the commit in Postgres, or with `--from candles` from just before the transaction that writes the
   * candle.
   */
  readonly commitToClient: LatencySummary;
  readonly changes: number;
  readonly framesRead: number;
  /** Connections of clients that read, and that ended during the measured time. */
  readonly connectionsLost: number;
  /** Connections that the gateway cut: those that never read. */
  readonly connectionsCut: number;
  /** From the start of the process until it accepted clients. */
  readonly startSeconds: number;
  /** CPU of it until then, of all its threads. */
  readonly startCpuSeconds: number;
  /** Of one core, in the measured time. */
  readonly gatewayCpuPercent: number;
  readonly peakRssMiB: number;
}

const INTERVAL = '5m';
const WARM_UP_MS = 5_000;
const READY_TIMEOUT_MS = 600_000;

/** Runs it. Throws what the servers and the gateway throw. */
export async function gateway(options: GatewayOptions): Promise<GatewayResult> {
  checkProc();
  const { from, signal, say } = options;
  const own = await startOwnStack({
    ...{ signal, say },
    services: from === 'candles' ? ['kafka', 'registry'] : undefined,
    env: { SLUICE_PIPELINES: 'prices', SLUICE_PRICES_GATEWAY_AUTH: 'none' },
  });
  const undo: (() => Promise<void> | void)[] = [() => own.stack.stop({ remove: true })];
  try {
    const changes = await (from === 'candles' ? candleChanges : postgresChanges)(own, {
      ...options,
      interval: INTERVAL,
    });
    undo.push(() => changes.close());
    const children = new Children({
      home: own.home,
      env: own.env,
      metricsPort: own.stack.ports.metrics,
      workers: [MARKET_GATEWAY, ...changes.workers],
      onChange: () => {},
    });
    undo.push(() => children.stop());
    const startedAt = performance.now();
    await children.startWorkers();
    for (const { name, port } of children.workers) await untilReady(name, port, signal);
    const startSeconds = Math.round((performance.now() - startedAt) / 100) / 10;
    const gatewayProcess = children.workers[0]!;
    const { cpuMicros } = processTimes(gatewayProcess.process.status.pid!)!;
    const startCpuSeconds = Math.round(cpuMicros / 100_000) / 10;
    const clients = new FeedClients({
      ...options,
      port: own.stack.ports.feed,
      symbols: changes.symbols,
      interval: INTERVAL,
    });
    undo.push(() => clients.close());
    say(`Connecting ${options.connections} clients`);
    await clients.connect();
    return { startSeconds, startCpuSeconds, ...(await measure({ options, changes, clients, worker: gatewayProcess })) };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function measure(run: {
  readonly options: GatewayOptions;
  readonly changes: Changes;
  readonly clients: FeedClients;
  readonly worker: WorkerChild;
}): Promise<Omit<GatewayResult, 'startSeconds' | 'startCpuSeconds'>> {
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

async function untilReady(name: string, port: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!signal.aborted && performance.now() < deadline) {
    const response = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => null);
    if (response?.ok === true) return;
    await delay(100, undefined, { signal }).catch(() => undefined);
  }
  throw new SluiceError(`${name} did not get ready`, { code: 'BENCH_TIMEOUT', action: 'fatal' });
}

async function connectionsCut(metricsPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const lines = text.matchAll(/^sluice_feed_dropped_total\{[^}]*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}
