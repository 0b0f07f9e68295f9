/**
 * What to do about a Kafka error, decided here once, by the broker's error code.
 * Codes: https://kafka.apache.org/protocol#protocol_error_codes, by the names that kafkajs gives them.
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
  GROUP_LOAD_IN_PROGRESS: 'retry',
  LEADER_NOT_AVAILABLE: 'retry',
  GROUP_COORDINATOR_NOT_AVAILABLE: 'retry',
  NOT_COORDINATOR_FOR_GROUP: 'retry',
  NOT_LEADER_FOR_PARTITION: 'retry',
};

/** A SluiceError whose code is `KAFKA_<broker's code>`; what nobody listed asks for a fresh client. */
export function kafkaError(error: unknown, doing: string): SluiceError {
  if (error instanceof SluiceError) return error;
  const kind = kindOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return new SluiceError(`Kafka: ${doing}: ${message}`, {
    code: `KAFKA_${kind}`,
    action: ACTIONS[kind] ?? 'reconnect',
    cause: error,
  });
}

/** The broker's code, or the kind of what kafkajs met: `KafkaJSConnectionClosedError` is CONNECTION_CLOSED_ERROR. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  if ('type' in error && typeof error.type === 'string') return error.type;
  // Retries that ran out: what they met says more.
  if (error.name === 'KafkaJSNumberOfRetriesExceeded' && error.cause instanceof Error) return kindOf(error.cause);
  return error.name
    .replace(/^KafkaJS/, '')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase();
}

/** Whether the error carries this broker code. */
export function isKafka(error: unknown, ...kinds: readonly string[]): boolean {
  return error instanceof SluiceError && kinds.some((kind) => error.code === `KAFKA_${kind}`);
}
