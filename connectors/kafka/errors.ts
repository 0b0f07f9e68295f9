/**
 * What to do about a Kafka error, decided here once, by the broker's error code.
 * Codes: https://kafka.apache.org/protocol#protocol_error_codes
 */
import { type ErrorAction, SluiceError } from '../../engine/errors.ts';

/** Codes that need something else than a fresh client and another try. */
const ACTIONS: Readonly<Record<string, ErrorAction>> = {
  // The record is at fault.
  MESSAGE_TOO_LARGE: 'dead-letter',
  RECORD_LIST_TOO_LARGE: 'dead-letter',
  // Somebody must change something before it can work.
  OFFSET_OUT_OF_RANGE: 'fatal',
  TOPIC_AUTHORIZATION_FAILED: 'fatal',
  GROUP_AUTHORIZATION_FAILED: 'fatal',
  CLUSTER_AUTHORIZATION_FAILED: 'fatal',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'fatal',
  SASL_AUTHENTICATION_FAILED: 'fatal',
  UNSUPPORTED_VERSION: 'fatal',
  INVALID_TRANSACTION_TIMEOUT: 'fatal',
  UNSUPPORTED_COMPRESSION_TYPE: 'fatal',
  // The same request may simply be repeated.
  CONCURRENT_TRANSACTIONS: 'retry',
  COORDINATOR_LOAD_IN_PROGRESS: 'retry',
  GROUP_LOAD_IN_PROGRESS: 'retry',
  LEADER_NOT_AVAILABLE: 'retry',
  GROUP_COORDINATOR_NOT_AVAILABLE: 'retry',
  NOT_COORDINATOR_FOR_GROUP: 'retry',
  NOT_LEADER_FOR_PARTITION: 'retry',
  THROTTLING_QUOTA_EXCEEDED: 'retry',
};

/** A SluiceError whose code is `KAFKA_<broker's code>`; what nobody listed asks for a fresh client. */
export function kafkaError(error: unknown, doing: string): SluiceError {
  if (error instanceof SluiceError) return error;
  const { type, name, message } = error as { type?: string; name?: string; message?: string };
  const kind = type ?? name ?? 'UNKNOWN';
  return new SluiceError(`Kafka: ${doing}: ${message ?? String(error)}`, {
    code: `KAFKA_${kind}`,
    action: ACTIONS[kind] ?? 'reconnect',
    cause: error,
  });
}

/** Whether the error carries this broker code. */
export function isKafka(error: unknown, ...kinds: readonly string[]): boolean {
  return error instanceof SluiceError && kinds.some((kind) => error.code === `KAFKA_${kind}`);
}
