import type { OperationFlags } from '../support/operation.ts';

export interface ReplayOptions extends OperationFlags {
  readonly sink?: 'clickhouse' | 'redis' | 'external';
  readonly stage?: 'leaderboard';
  readonly variant?: string;
  readonly prepare?: boolean;
  readonly compare?: boolean;
  readonly swap?: boolean;
  readonly retire?: boolean;
  readonly limit?: number;
  readonly minSamples?: number;
  readonly from?: Date;
  readonly to?: Date;
  /** Seconds. */
  readonly deadline: number;
}
