/**
 * The process `prices.gateway`: the current candles over WebSocket (docs/market-feed.md). It reads all of `prices.candles` in no group, so every
 * gateway can serve every client and any number of them share the clients. It owns nothing: killed, it is started again and reads the topic.
 */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { WebSocketFront } from '../../../connectors/websocket/server.ts';
import type { TokenFile } from '../../../connectors/websocket/token-file.ts';
import { identify, stillValid, type TokenEntry } from '../../../connectors/websocket/tokens.ts';
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import { Broadcast } from '../../../engine/broadcast.ts';
import { actionOf } from '../../../engine/errors.ts';
import type { Readiness } from '../../../engine/health.ts';
import type { FetchedRun, LogClient, LogRecord } from '../../../engine/log.ts';
import type { CandleKey } from '../../../schemas/prices/candle-key.ts';
import { CurrentCandles, type Series } from './current.ts';
import type { FeedRecord } from './feed-codec.ts';
import { GatewayMetrics } from './metrics.ts';
import { FEED_INTERVALS, type FeedInterval, type FeedStatus, MARKET_PATH, SUBPROTOCOL } from './protocol.ts';
import { Session, type SessionLimits } from './session.ts';

export interface GatewayOptions {
  readonly name: string;
  readonly topic: string;
  /** The gateway closes it. */
  readonly client: LogClient;
  readonly logger: Logger;
  readonly decoders: { readonly key: FramedDecoder<CandleKey>; readonly value: FramedDecoder<FeedRecord> };
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly origins: readonly string[];
  /** Null lets everybody in. */
  readonly tokens: TokenFile | null;
  readonly maxConnections: number;
  /** Of one token that says nothing of it. */
  readonly maxConnectionsPerToken: number;
  readonly limits: SessionLimits;
  /** Values that are older are called delayed. */
  readonly delayedMs: number;
}

/** Beyond what is conflated: answers, at the rate that a client may ask. */
const MAX_BUFFERED_FACTOR = 4;
const TICK_MS = 1_000;
const ANYBODY: TokenEntry = {
  name: 'anybody',
  hash: Buffer.alloc(0),
  expiresMs: null,
  maxConnections: Number.POSITIVE_INFINITY,
};
const KNOWN_INTERVALS: ReadonlySet<string> = new Set(FEED_INTERVALS);

export class MarketGateway {
  readonly #options: GatewayOptions;
  readonly #metrics: GatewayMetrics;
  readonly #candles = new CurrentCandles();
  readonly #sessions = new Set<Session>();
  readonly #streamTimes = new Map<number, number>();
  /** By partition: what must be read back before it shows anything. */
  readonly #exhausted = new Map<number, Set<Series>>();
  readonly #broadcast: Broadcast;
  readonly #front: WebSocketFront<TokenEntry>;
  #tick: NodeJS.Timeout | undefined;
  #ready = false;
  #told: FeedStatus['state'] | null = null;
  #port: number | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { client, topic, logger, tokens, limits, name } = options;
    this.#metrics = new GatewayMetrics(name, {
      connections: () => this.#front.connections,
      subscriptions: () => [...this.#sessions].reduce((sum, session) => sum + session.subscriptions, 0),
      series: () => this.#candles.size,
      progress: () =>
        this.#broadcast.lags.map((at) => ({ ...at, streamTimeMs: this.#streamTimes.get(at.partition) ?? 0 })),
    });
    this.#broadcast = new Broadcast(client, {
      ...{ topic, logger },
      prepare: async (records) => await this.#prepare(records),
      each: async (partition, run) => await this.#each(partition, run),
      retried: (code) => this.#metrics.retried(code),
    });
    this.#front = new WebSocketFront<TokenEntry>({
      ...{ host: options.host, port: options.port, tls: options.tls, origins: options.origins },
      ...{ path: MARKET_PATH, subprotocol: SUBPROTOCOL, maxConnections: options.maxConnections },
      ...{ maxFrameBytes: limits.maxFrameBytes, heartbeatMs: limits.heartbeatMs },
      maxBufferedBytes: limits.conflateBytes * MAX_BUFFERED_FACTOR,
      ready: () => this.#ready,
      identify: (token) => {
        if (tokens === null) return ANYBODY;
        return token === undefined ? null : identify(tokens.entries, token, Date.now());
      },
      shareOf: ({ hash, maxConnections }) => ({
        key: hash.toString('hex'),
        maxConnections: maxConnections ?? options.maxConnectionsPerToken,
      }),
      mayStay: (entry) => tokens === null || stillValid(tokens.entries, entry, Date.now()),
      opened: (peer) => {
        const session = new Session({
          ...{ peer, limits, candles: this.#candles, counters: this.#metrics },
          status: () => this.#status(),
          now: () => performance.now(),
          ended: () => this.#sessions.delete(session),
        });
        this.#sessions.add(session);
        return session;
      },
      refused: (reason) => this.#metrics.refused(reason),
      dropped: (reason) => this.#metrics.dropped(reason),
    });
  }

  get registry(): Registry {
    return this.#metrics.registry;
  }

  /** Null before it listens. */
  get port(): number | null {
    return this.#port;
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    const { logger } = this.#options;
    this.#port = await this.#front.listen();
    logger.info({ port: this.#port, path: MARKET_PATH }, 'serving the market feed once it has caught up');
    this.#tick = setInterval(() => this.#look(), TICK_MS);
    await this.#broadcast.run();
  }

  async stop(): Promise<void> {
    clearInterval(this.#tick);
    await this.#front.close();
    await this.#broadcast.close();
    await this.#options.client.close();
  }

  /** Ready means that it knows the current values. While nothing new comes it stays so: its clients are told (`delayed`). */
  readiness(): Readiness {
    if (!this.#ready) return { ready: false, reason: 'reading the current values' };
    return { ready: true, reason: `${this.#candles.size} series, ${this.#front.connections} clients` };
  }

  async #prepare(records: readonly LogRecord[]): Promise<void> {
    const { key, value } = this.#options.decoders;
    await key.prepare(records.map((record) => record.key));
    await value.prepare(records.map((record) => record.value));
  }

  async #each(partition: number, run: FetchedRun): Promise<void> {
    const exhausted = this.#exhaustedOf(partition);
    for (const record of run.records) {
      const series = this.#apply(partition, record, null);
      if (series?.isExhausted === true) exhausted.add(series);
    }
    if (exhausted.size > 0) await this.#readBack(partition, run.next, exhausted);
    this.#candles.publish();
  }

  #exhaustedOf(partition: number): Set<Series> {
    const known = this.#exhausted.get(partition) ?? new Set();
    this.#exhausted.set(partition, known);
    return known;
  }

  /** Rare: all candles in memory of a series were deleted, and older ones may be in the log. The partition waits for it. */
  async #readBack(partition: number, end: bigint, exhausted: Set<Series>): Promise<void> {
    this.#options.logger.info({ partition, series: exhausted.size }, 'reading back');
    for (const series of exhausted) series.readBack();
    await this.#broadcast.readAgain(partition, end, (records) => {
      for (const record of records) this.#apply(partition, record, exhausted);
    });
    for (const series of exhausted) this.#candles.endReadBack(series);
    exhausted.clear();
  }

  /** Takes a record in; `only` leaves out what is of no series in it. Returns the series of a candle. */
  #apply(partition: number, { key, value, offset }: LogRecord, only: ReadonlySet<Series> | null): Series | null {
    const { decoders, logger } = this.#options;
    try {
      if (key === null) return null;
      const at = decoders.key.decode(key);
      if (isInterval(at.interval)) return this.#applyCandle({ ...at, interval: at.interval }, value, only);
      if (only === null && value !== null) this.#applyStamp(partition, decoders.value.decode(value));
    } catch (error) {
      if (actionOf(error) !== 'dead-letter') throw error;
      this.#metrics.undecodable();
      logger.warn({ partition, offset, err: error }, 'passing over a record');
    }
    return null;
  }

  #applyCandle(
    { stock_id: stockId, interval, start }: CandleKey & { readonly interval: FeedInterval },
    value: Buffer | null,
    only: ReadonlySet<Series> | null,
  ): Series | null {
    if (only !== null) {
      const series = this.#candles.seriesOf(stockId, interval);
      if (series === undefined || !only.has(series)) return null;
    }
    const body = value === null ? null : this.#options.decoders.value.decode(value).body;
    if (body?.kind === 'CandlesAsOf') return null;
    if (body !== null && only === null && this.#ready) this.#metrics.delay((Date.now() - body.commitTime) / 1_000);
    return this.#candles.apply({ stockId, interval, start, candle: body });
  }

  #applyStamp(partition: number, { body }: FeedRecord): void {
    if (body.kind === 'CandlesAsOf') this.#streamTimes.set(partition, body.streamTime);
  }

  #status(): FeedStatus {
    const { partitions } = this.#broadcast;
    const known = partitions !== null && this.#streamTimes.size === partitions;
    if (!known) return { state: 'delayed', asOf: null };
    const asOf = Math.min(...this.#streamTimes.values());
    return { state: Date.now() - asOf <= this.#options.delayedMs ? 'live' : 'delayed', asOf };
  }

  #look(): void {
    this.#options.tokens?.refresh();
    this.#ready ||= this.#broadcast.caughtUp;
    const { state, asOf } = this.#status();
    if (state === this.#told) return;
    this.#told = state;
    this.#options.logger.info({ state, asOf }, 'status of the feed');
    for (const session of this.#sessions) session.statusChanged();
  }
}

function isInterval(text: string): text is FeedInterval {
  return KNOWN_INTERVALS.has(text);
}
