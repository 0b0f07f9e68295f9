import type { OperationFlags } from '../support/operation.ts';

export interface ReplayOptions extends OperationFlags {
  readonly sink?: 'clickhouse';
  readonly from?: Date;
  readonly to?: Date;
  readonly compare?: boolean;
}
