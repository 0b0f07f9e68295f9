/** What `bench replay` runs of each pipeline: its workers in the order data flows, and the history that they read. */
import type { Service } from '../../infra/native/layout.ts';
import { LEADERBOARDS } from '../../pipelines/engagement/topics.ts';
import { CANDLES_STAGE } from '../../pipelines/prices/candles-stage.ts';
import { INDICATORS_STAGE } from '../../pipelines/prices/indicators-stage.ts';
import { MOVERS_SINK } from '../../pipelines/prices/redis-movers.ts';
import { SCANNER_STAGE } from '../../pipelines/prices/scanner-stage.ts';
import {
  CANDLES_SINK,
  INDICATORS_CLICKHOUSE_SINK,
  INDICATORS_REDIS_SINK,
  LATEST_SINK,
} from '../../pipelines/prices/topics.ts';
import { EngagementHistory } from './engagement-history.ts';
import type { History } from './history.ts';
import { PricesHistory } from './prices-history.ts';
import type { Grain } from './prices-recording.ts';

export interface StageSpec {
  readonly worker: string;
  readonly server: Service | null;
  /** Those that must have run, so that there is something to read. */
  readonly after: readonly string[];
  /** Reads the history itself: how many records that are is known. */
  readonly first?: true;
  /**
   * It fills a store that holds nothing in one piece. What is measured is the daily work instead: batch after batch behind the fence. So it
   * takes its (empty) partitions over once before there is anything to read.
   */
  readonly settle?: true;
  /** A topic of which a history gives few records, since a board changes once a transaction: made as long as the history. */
  readonly lengthen?: string;
}

export interface HistoryOptions {
  readonly records: number;
  /** Contents or symbols. */
  readonly groups: number;
  readonly seed: number;
  readonly partitions: number;
}

export interface ReplayPipeline {
  /** As SLUICE_PIPELINES says it. */
  readonly name: 'engagement' | 'prices';
  /** What the history consists of, and what it is about. */
  readonly words: { readonly changes: string; readonly groups: string };
  readonly stages: Readonly<Record<string, StageSpec>>;
  history(options: HistoryOptions): History;
}

export const ENGAGEMENT_STAGES = {
  enrich: { worker: 'engagement.enrich', server: null, after: [], first: true },
  leaderboard: { worker: 'engagement.leaderboard', server: null, after: ['enrich'] },
  clickhouse: { worker: 'engagement.sink.clickhouse', server: 'clickhouse', after: ['enrich'] },
  redis: {
    worker: 'engagement.sink.redis',
    server: 'redis',
    after: ['enrich', 'leaderboard'],
    settle: true,
    lengthen: LEADERBOARDS,
  },
} as const satisfies ReplayPipeline['stages'];

export const PRICES_STAGES = {
  candles: { worker: CANDLES_STAGE, server: null, after: [], first: true },
  indicators: { worker: INDICATORS_STAGE, server: null, after: ['candles'] },
  scanner: { worker: SCANNER_STAGE, server: null, after: ['candles', 'indicators'] },
  'candles-clickhouse': { worker: CANDLES_SINK, server: 'clickhouse', after: ['candles'] },
  'indicators-clickhouse': {
    worker: INDICATORS_CLICKHOUSE_SINK,
    server: 'clickhouse',
    after: ['candles', 'indicators'],
  },
  latest: { worker: LATEST_SINK, server: 'redis', after: ['candles'] },
  'indicators-redis': { worker: INDICATORS_REDIS_SINK, server: 'redis', after: ['candles', 'indicators'] },
  movers: { worker: MOVERS_SINK, server: 'redis', after: ['candles', 'indicators', 'scanner'], settle: true },
} as const satisfies ReplayPipeline['stages'];

export const ENGAGEMENT_REPLAY: ReplayPipeline = {
  name: 'engagement',
  words: { changes: 'changes', groups: 'contents' },
  stages: ENGAGEMENT_STAGES,
  history: ({ groups, ...options }) => new EngagementHistory({ ...options, contents: groups, endMs: Date.now() }),
};

export function pricesReplay(grain: Grain): ReplayPipeline {
  return {
    name: 'prices',
    words: { changes: grain === 'day' ? 'daily bars' : 'changes of bars of a minute', groups: 'symbols' },
    stages: PRICES_STAGES,
    history: ({ groups, ...options }) => new PricesHistory({ ...options, grain, symbols: groups, endMs: Date.now() }),
  };
}
