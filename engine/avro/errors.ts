/** The three ways in which a record's bytes can be at fault. Each is a reason in the dead letter queue. */
import { SluiceError } from '../errors.ts';

/** The bytes do not follow their schema: UNDECODABLE, dead-letter. */
export function undecodable(what: string, cause?: unknown): SluiceError {
  return new SluiceError(`Undecodable: ${what}`, { code: 'UNDECODABLE', action: 'dead-letter', cause });
}

/** The schema the bytes name is not registered or is no Avro schema: UNKNOWN_SCHEMA, dead-letter. */
export function unknownSchema(what: string, cause?: unknown): SluiceError {
  return new SluiceError(`Unknown schema: ${what}`, { code: 'UNKNOWN_SCHEMA', action: 'dead-letter', cause });
}

/** A field that is needed is absent, null or of another type: MISSING_FIELD, dead-letter. */
export function missingField(what: string): SluiceError {
  return new SluiceError(`Missing field: ${what}`, { code: 'MISSING_FIELD', action: 'dead-letter' });
}
