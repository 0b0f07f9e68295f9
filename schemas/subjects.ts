/** The subjects of the registry: which schema each topic carries, and how it may change. */
import type { DocumentedRecord } from '../engine/avro/schema.ts';
import { changeSchema } from './engagement/change.ts';
import { eventSchema } from './engagement/event.ts';
import { eventKeySchema } from './engagement/event-key.ts';
import { leaderboardSchema } from './engagement/leaderboard-record.ts';
import { candleRecordSchema } from './prices/candle.ts';
import { candleKeySchema } from './prices/candle-key.ts';
import { candleV1Schema } from './prices/candle-v1.ts';
import { indicatorsRecordSchema } from './prices/indicators.ts';
import { moversRecordSchema } from './prices/movers.ts';
import { signalsV1Schema } from './prices/signals-v1.ts';

/** https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html#compatibility-types */
export type Compatibility = 'BACKWARD' | 'FULL_TRANSITIVE';

export interface Subject {
  /** `<topic>-key` or `<topic>-value`. */
  readonly name: string;
  readonly schema: DocumentedRecord;
  /**
   * FULL_TRANSITIVE for what others read: any version reads any other. BACKWARD for what only our own
   * workers read: they are upgraded before what they read is.
   */
  readonly compatibility: Compatibility;
}

/** Every subject that `npm run schemas -- register` registers. Debezium registers its own. */
export const SUBJECTS = {
  eventKey: { name: 'engagement.events.v1-key', schema: eventKeySchema, compatibility: 'FULL_TRANSITIVE' },
  event: { name: 'engagement.events.v1-value', schema: eventSchema, compatibility: 'FULL_TRANSITIVE' },
  changeKey: { name: 'engagement.changes-key', schema: eventKeySchema, compatibility: 'BACKWARD' },
  change: { name: 'engagement.changes-value', schema: changeSchema, compatibility: 'BACKWARD' },
  leaderboard: { name: 'engagement.leaderboards-value', schema: leaderboardSchema, compatibility: 'BACKWARD' },
  candleKey: { name: 'prices.candles-key', schema: candleKeySchema, compatibility: 'BACKWARD' },
  candle: { name: 'prices.candles-value', schema: candleRecordSchema, compatibility: 'BACKWARD' },
  candleV1Key: { name: 'prices.candles.v1-key', schema: candleKeySchema, compatibility: 'FULL_TRANSITIVE' },
  candleV1: { name: 'prices.candles.v1-value', schema: candleV1Schema, compatibility: 'FULL_TRANSITIVE' },
  indicators: { name: 'prices.indicators-value', schema: indicatorsRecordSchema, compatibility: 'BACKWARD' },
  signalsV1Key: { name: 'prices.signals.v1-key', schema: candleKeySchema, compatibility: 'FULL_TRANSITIVE' },
  signalsV1: { name: 'prices.signals.v1-value', schema: signalsV1Schema, compatibility: 'FULL_TRANSITIVE' },
  movers: { name: 'prices.movers-value', schema: moversRecordSchema, compatibility: 'BACKWARD' },
} as const satisfies Readonly<Record<string, Subject>>;

/** The text that is registered. The same schema gives the same text, so that a registry finds it again by its content. */
export function schemaText(schema: DocumentedRecord): string {
  return JSON.stringify(schema);
}
