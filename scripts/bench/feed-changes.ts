/** What the market feed is loaded with: candles written as the stage would, or rows of Postgres that come through capture and the stage. */
import { setTimeout as delay } from 'node:timers/promises';
import { createTopics } from '../../connectors/kafka/admin.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { SluiceError } from '../../engine/errors.ts';
import { CANDLES_STAGE } from '../../pipelines/prices/candles-stage.ts';
import { CANDLES } from '../../pipelines/prices/topics.ts';
import { makeListings } from '../../pipelines/prices/traffic/listings.ts';
import type { PricesSummary } from '../generate/prices-run.ts';
import { deploy } from '../start/deploy.ts';
import { type CandleWrite, CandleWriter, symbolOf } from './candle-writer.ts';
import type { OwnStack } from './own-stack.ts';
import { startTraffic, type TrafficChild } from './traffic-child.ts';

export interface Changes {
  readonly symbols: readonly string[];
  /** Workers that it needs beside the gateway. */
  readonly workers: readonly string[];
  /** At the rate, for so long. Returns how many were made. */
  writeFor(ms: number): Promise<number>;
  close(): Promise<void>;
}

export interface ChangesOptions {
  readonly symbols: number;
  /** A minute. */
  readonly rate: number;
  /** Daily bars that are there when the gateway starts. */
  readonly history: number;
  readonly interval: '5m';
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

const PARTITIONS = 4;
/** Changes are committed this often, all that are due at once. */
const COMMIT_EVERY_MS = 100;
const HISTORY_PIECE = 10_000;
const DAY_MS = 86_400_000;
const DAYS_OF_WEEK = 5;

/** Straight into `prices.candles`. */
export async function candleChanges(own: OwnStack, options: ChangesOptions): Promise<Changes> {
  const brokers = own.stack.env.SLUICE_KAFKA_BROKERS!.split(',');
  await createTopics({ brokers, clientId: 'bench', replication: 1 }, [
    { name: CANDLES, partitions: PARTITIONS, config: { 'cleanup.policy': 'compact' } },
  ]);
  const client = new KafkaClient({ brokers, clientId: 'bench' });
  const registryUrl = own.stack.env.SLUICE_REGISTRY_URL!;
  const writer = await CandleWriter.open(client, { topic: CANDLES, partitions: PARTITIONS, registryUrl });
  const changes = new CandleChanges(writer, client, options);
  await changes.writeHistory();
  await changes.writeAll();
  return changes;
}

class CandleChanges implements Changes {
  readonly workers = [];
  readonly symbols: readonly string[];
  readonly #writer: CandleWriter;
  readonly #client: KafkaClient;
  readonly #options: ChangesOptions;
  #next = 0;

  constructor(writer: CandleWriter, client: KafkaClient, options: ChangesOptions) {
    this.#writer = writer;
    this.#client = client;
    this.#options = options;
    this.symbols = Array.from({ length: options.symbols }, (_, stockId) => symbolOf(stockId));
  }

  /** Day by day, of all stocks: the bar and its day, and at the end of a week the week. */
  async writeHistory(): Promise<void> {
    const { history, symbols, signal, say } = this.#options;
    if (history > 0) say(`Writing the candles of ${history} daily bars`);
    const piece: CandleWrite[] = [];
    for (let written = 0; written < history && !signal.aborted; written++) {
      const day = Math.floor(written / symbols);
      const one = { stockId: written % symbols, start: day * DAY_MS, closeE6: BigInt(written) };
      piece.push({ ...one, interval: 'bar' }, { ...one, interval: '1d' });
      if (day % DAYS_OF_WEEK === DAYS_OF_WEEK - 1) piece.push({ ...one, interval: '1w' });
      if (piece.length >= HISTORY_PIECE || written === history - 1) await this.#writer.write(piece.splice(0));
    }
  }

  async writeAll(): Promise<void> {
    await this.#write(this.#options.symbols);
  }

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

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#client.close();
  }

  async #write(count: number): Promise<void> {
    const candles = Array.from({ length: count }, () => {
      const stockId = this.#next++ % this.#options.symbols;
      return { stockId, interval: this.#options.interval, start: 0, closeE6: BigInt(this.#next) * 1_000_000n } as const;
    });
    await this.#writer.write(candles);
  }
}

const SEED = 42;
/** Rounds of bars are so far apart: each begins behind the one before. */
const ROUND_MS = 30 * 60_000;
const DEPLOY_MS = 240_000;
const NOTHING_ELSE = ['--updates', '--deletes', '--late', '--duplicates', '--gaps', '--splits'];

/** Bars inserted into `stock_prices`, each a change of one candle of each interval. */
export async function postgresChanges(own: OwnStack, options: ChangesOptions): Promise<Changes> {
  const { symbols, rate, signal, say, history } = options;
  if (history > 0) {
    throw new SluiceError('--history goes with --from candles', { code: 'BENCH_OPTIONS', action: 'fatal' });
  }
  await deploy({ env: own.env, signal: AbortSignal.any([signal, AbortSignal.timeout(DEPLOY_MS)]), say, warn: say });
  let round = 0;
  let running: TrafficChild | null = null;
  return {
    symbols: makeListings(symbols, SEED).map(({ symbol }) => symbol),
    workers: [CANDLES_STAGE],
    async writeFor(ms) {
      // In the past, so that the minutes do not have to be waited for.
      const start = new Date(Date.now() - (8 - round++) * ROUND_MS).toISOString();
      const args = ['--pipeline', 'prices', '--symbols', String(symbols), '--seed', String(SEED), '--always-open'];
      const pace = ['--rate', String(Math.round(rate / 60)), '--seconds', String(Math.ceil(ms / 1_000))];
      const clean = NOTHING_ELSE.flatMap((name) => [name, '0']);
      running = startTraffic([...args, ...pace, ...clean, '--start', start], own.env);
      return ((await running.done) as unknown as PricesSummary).bars;
    },
    close: async () => await running?.stop(),
  };
}
