import { ClickHouseError } from '@clickhouse/client';
import { describe, expect, it } from 'vitest';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import { SluiceError } from '../../../engine/errors.ts';

const vendor = (code: number, type: string) =>
  new ClickHouseError({ message: 'said the server', code: String(code), type });

describe('clickHouseError', () => {
  it.each([
    [252, 'TOO_MANY_PARTS', 'retry'],
    [241, 'MEMORY_LIMIT_EXCEEDED', 'retry'],
    [242, 'TABLE_IS_READ_ONLY', 'retry'],
    [159, 'TIMEOUT_EXCEEDED', 'retry'],
    [469, 'VIOLATED_CONSTRAINT', 'dead-letter'],
    [53, 'TYPE_MISMATCH', 'dead-letter'],
    [27, 'CANNOT_PARSE_INPUT_ASSERTION_FAILED', 'dead-letter'],
    [376, 'CANNOT_PARSE_UUID', 'dead-letter'],
    [60, 'UNKNOWN_TABLE', 'fatal'],
    [516, 'AUTHENTICATION_FAILED', 'fatal'],
  ])('code %i is %s: %s', (code, type, action) => {
    const error = clickHouseError(vendor(code, type), 'insert');
    expect(error).toMatchObject({ code: `CLICKHOUSE_${type}`, action });
    expect(error.message).toBe(`Could not insert: said the server [${code}]`);
  });

  it('tells the constraints of the sink itself from those that a row breaks', () => {
    const broken = (name: string) =>
      clickHouseError(
        new ClickHouseError({
          message: `Constraint \`${name}\` for table sluice.engagement_changes (x) is violated at row 1. Expression: (…).`,
          code: '469',
          type: 'VIOLATED_CONSTRAINT',
        }),
        'insert',
      );
    expect(broken('write_lease')).toMatchObject({ code: 'CLICKHOUSE_LEASE_OVER', action: 'retry' });
    expect(broken('asked_since')).toMatchObject({ code: 'CLICKHOUSE_LEASE_OVER', action: 'retry' });
    // A hold has the name of its run behind it.
    expect(broken('rebuild_hold_0a1b2c')).toMatchObject({ code: 'CLICKHOUSE_HELD', action: 'retry' });
    expect(broken('no tv')).toMatchObject({ code: 'CLICKHOUSE_VIOLATED_CONSTRAINT', action: 'dead-letter' });
    expect(broken('not write_lease').action).toBe('dead-letter');
  });

  it('does not take one code for another that begins alike', () => {
    expect(clickHouseError(vendor(530, 'CANNOT_CONNECT_RABBITMQ'), 'insert')).toMatchObject({
      code: 'CLICKHOUSE_CANNOT_CONNECT_RABBITMQ',
      action: 'reconnect',
    });
  });

  it('retries what the network did', () => {
    for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND']) {
      expect(clickHouseError(Object.assign(new Error('x'), { code }), 'insert').action).toBe('retry');
    }
    for (const message of ['Timeout error.', 'socket hang up']) {
      expect(clickHouseError(new Error(message), 'insert')).toMatchObject({
        code: 'CLICKHOUSE_CONNECTION_LOST',
        action: 'retry',
      });
    }
  });

  it('starts afresh after what nobody knows, and leaves a decided error alone', () => {
    expect(clickHouseError(new Error('odd'), 'insert')).toMatchObject({
      code: 'CLICKHOUSE_UNKNOWN',
      action: 'reconnect',
    });
    expect(clickHouseError('text', 'insert').message).toBe('Could not insert: text');
    const own = new SluiceError('own', { code: 'OWN', action: 'fatal' });
    expect(clickHouseError(own, 'insert')).toBe(own);
  });
});
