import type { WindowSpec } from '../../pipelines/engagement/leaderboard/windows.ts';
import type { OperationFlags } from '../support/operation.ts';

export interface ReplayOptions extends OperationFlags {
  readonly pipeline: 'engagement' | 'prices';
  readonly sink?: 'clickhouse' | 'redis' | 'external';
  readonly stage?: 'leaderboard' | 'enrich';
  readonly variant?: string;
  readonly prepare?: boolean;
  readonly compare?: boolean;
  readonly swap?: boolean;
  readonly retire?: boolean;
  readonly limit?: number;
  readonly minSamples?: number;
  readonly windows?: WindowSpec[];
  /** Basis points; null for no limit. */
  readonly maxPct?: number | null;
  readonly from?: Date;
  readonly to?: Date;
  /** Seconds. */
  readonly deadline: number;
}
