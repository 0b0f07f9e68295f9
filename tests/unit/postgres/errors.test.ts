import { describe, expect, it } from 'vitest';
import { postgresError } from '../../../connectors/postgres/errors.ts';
import { SluiceError } from '../../../engine/errors.ts';

const thrown = (code: string) => Object.assign(new Error('what the server said'), { code });

describe('what to do about an error of Postgres', () => {
  it.each([
    ['40001', 'retry', 'POSTGRES_SERIALIZATION_FAILURE'],
    ['40P01', 'retry', 'POSTGRES_DEADLOCK'],
    ['40002', 'retry', 'POSTGRES_ROLLED_BACK'],
    ['53300', 'retry', 'POSTGRES_TOO_MANY_CONNECTIONS'],
    ['53200', 'retry', 'POSTGRES_OUT_OF_RESOURCES'],
    ['57P01', 'reconnect', 'POSTGRES_SHUTDOWN'],
    ['57P03', 'retry', 'POSTGRES_STARTING'],
    ['57014', 'retry', 'POSTGRES_STATEMENT_TIMEOUT'],
    ['55P03', 'retry', 'POSTGRES_LOCK_TIMEOUT'],
    ['55000', 'fatal', 'POSTGRES_NOT_IN_PREREQUISITE_STATE'],
    ['08006', 'reconnect', 'POSTGRES_CONNECTION'],
    ['22003', 'dead-letter', 'POSTGRES_BAD_VALUE'],
    ['23505', 'dead-letter', 'POSTGRES_CONSTRAINT'],
    ['28P01', 'fatal', 'POSTGRES_AUTHENTICATION'],
    ['42P01', 'fatal', 'POSTGRES_STATEMENT'],
    ['42501', 'fatal', 'POSTGRES_NOT_ALLOWED'],
    ['3D000', 'fatal', 'POSTGRES_NO_DATABASE'],
    ['XX000', 'fatal', 'POSTGRES_INTERNAL'],
    ['ECONNREFUSED', 'retry', 'POSTGRES_UNREACHABLE'],
    ['ECONNRESET', 'reconnect', 'POSTGRES_CONNECTION'],
    ['P0001', 'reconnect', 'POSTGRES_UNKNOWN'],
  ])('%s is %s as %s', (sqlState, action, code) => {
    const error = postgresError(thrown(sqlState), 'do the thing');
    expect({ action: error.action, code: error.code }).toEqual({ action, code });
    expect(error.message).toBe(`Could not do the thing: what the server said [${sqlState}]`);
  });

  it('knows a lost connection that pg reports in words only', () => {
    for (const text of [
      'Connection terminated unexpectedly',
      'Client has encountered a connection error and is not queryable',
      'Query read timeout',
      'timeout expired',
    ]) {
      expect(postgresError(new Error(text), 'read').code, text).toBe('POSTGRES_CONNECTION');
    }
  });

  it('adds the hint, and passes on what was classified already', () => {
    const hinted = Object.assign(thrown('0A000'), { hint: 'Use DELETE.' });
    expect(postgresError(hinted, 'truncate').message).toContain('(Use DELETE.)');
    const known = new SluiceError('known', { code: 'KNOWN', action: 'fatal' });
    expect(postgresError(known, 'anything')).toBe(known);
  });
});
