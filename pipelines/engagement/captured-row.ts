/** A row of engagement_events as a command tells it: by column, in Debezium's representation. */
import type { ColumnValue } from '../capture/operator-envelope.ts';

export interface CapturedEvent {
  readonly id: bigint;
  readonly content_id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly event_ts: string;
  readonly duration_ms: number | null;
  readonly device: string | null;
  readonly [column: string]: ColumnValue;
}
