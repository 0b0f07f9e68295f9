import { describe, expect, it } from 'vitest';
import { CONNECTION_CODES, REDIS_REPLIES, redisError } from '../../../connectors/redis/errors.ts';
import { SluiceError } from '../../../engine/errors.ts';

describe('redisError', () => {
  it.each(Object.entries(REDIS_REPLIES))('%s has a code and an action', (word, { action, meaning }) => {
    const error = redisError(new Error(`${word} something else`), 'writing');
    expect(error).toMatchObject({ code: `REDIS_${word}`, action });
    expect(error.message).toContain(meaning);
  });

  it.each([...CONNECTION_CODES])('%s is worth another try', (code) => {
    const error = redisError(Object.assign(new Error('connect'), { code }), 'writing');
    expect(error).toMatchObject({ code: 'REDIS_UNREACHABLE', action: 'retry' });
  });

  it.each(['Connection is closed.', 'Command timed out', 'connect ETIMEDOUT'])("'%s' of the client too", (message) => {
    expect(redisError(new Error(message), 'writing')).toMatchObject({ code: 'REDIS_UNREACHABLE', action: 'retry' });
  });

  it('finds the reply inside the error of a script, as Redis before 7.0 wraps it', () => {
    const text = 'ERR Error running script (call to f_0123): @user_script:12: -OOM command not allowed';
    expect(redisError(new Error(text), 'writing')).toMatchObject({ code: 'REDIS_OOM', action: 'retry' });
    const own = 'ERR Error running script (call to f_0123): @user_script:12: attempt to index a nil value';
    expect(redisError(new Error(own), 'writing')).toMatchObject({ code: 'REDIS_ERR', action: 'fatal' });
  });

  it('does not take a word for its beginning', () => {
    expect(redisError(new Error('OOMPH'), 'writing')).toMatchObject({ code: 'REDIS_UNKNOWN', action: 'reconnect' });
    expect(redisError(new Error('toString is no reply'), 'writing')).toMatchObject({ code: 'REDIS_UNKNOWN' });
  });

  it('keeps what is classified already', () => {
    const known = new SluiceError('known', { code: 'X', action: 'fatal' });
    expect(redisError(known, 'writing')).toBe(known);
  });
});
