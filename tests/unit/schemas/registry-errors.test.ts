import { describe, expect, it } from 'vitest';
import { answerError, transportError } from '../../../connectors/registry/errors.ts';

const answer = (status: number, errorCode: number) => answerError('GET /x', { status, errorCode, message: 'm' });

describe('errors of the registry', () => {
  it.each([
    [409, 409, 'SCHEMA_INCOMPATIBLE', 'fatal'],
    [404, 40401, 'SCHEMA_NOT_REGISTERED', 'fatal'],
    [404, 40403, 'SCHEMA_NOT_REGISTERED', 'fatal'],
    [404, 0, 'REGISTRY_WRONG_URL', 'fatal'],
    [422, 42201, 'SCHEMA_INVALID', 'fatal'],
    [422, 42203, 'SCHEMA_COMPATIBILITY_INVALID', 'fatal'],
    [401, 0, 'REGISTRY_UNAUTHORIZED', 'fatal'],
    [403, 40301, 'REGISTRY_FORBIDDEN', 'fatal'],
    [418, 0, 'REGISTRY_REFUSED', 'fatal'],
    [408, 0, 'REGISTRY_TIMED_OUT', 'retry'],
    [429, 0, 'REGISTRY_BUSY', 'retry'],
    [500, 50001, 'REGISTRY_STORE_FAILED', 'retry'],
    [500, 50003, 'REGISTRY_FORWARDING_FAILED', 'retry'],
    [503, 0, 'REGISTRY_FAILED', 'retry'],
  ])('HTTP %d with code %d is %s: %s', (status, errorCode, code, action) => {
    expect(answer(status, errorCode)).toMatchObject({ code, action });
  });

  it('says what was asked and what was answered', () => {
    expect(answer(503, 0).message).toBe('Schema registry, GET /x: m (503)');
  });

  it('tells a late answer from none', () => {
    const late = new DOMException('x', 'TimeoutError');
    expect(transportError('GET /x', late)).toMatchObject({ code: 'REGISTRY_TIMED_OUT', action: 'retry' });
    expect(transportError('GET /x', new TypeError('fetch failed'))).toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      action: 'retry',
    });
  });
});
