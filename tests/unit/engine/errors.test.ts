/**
 * Walks every row of every connector's error tables. The rows are read from the source text, so that no table has to be
 * exported for it and no row can be left out: each is then put to the connector as its vendor would.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClickHouseError } from '@clickhouse/client';
import { errorCodes } from 'kafkajs/src/protocol/error.js';
import { describe, expect, it } from 'vitest';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import { connectStatusError } from '../../../connectors/debezium/errors.ts';
import { isKafka, kafkaError } from '../../../connectors/kafka/errors.ts';
import { postgresError } from '../../../connectors/postgres/errors.ts';
import { CONNECTION_CODES, redisError } from '../../../connectors/redis/errors.ts';
import { answerError } from '../../../connectors/registry/errors.ts';
import { listenError } from '../../../connectors/websocket/errors.ts';
import { missingField, undecodable, unknownSchema } from '../../../engine/avro/errors.ts';
import { actionOf, SluiceError } from '../../../engine/errors.ts';

const ACTIONS = ['retry', 'dead-letter', 'reconnect', 'fatal'];
const CONNECTORS = join(import.meta.dirname, '../../../connectors');

interface Row {
  readonly table: string;
  readonly key: string;
  readonly action: string;
}

interface Table {
  readonly name: string;
  readonly rows: readonly Row[];
  /** The comment on top of it. */
  readonly comment: string;
}

const sourceOf = (connector: string) => readFileSync(join(CONNECTORS, connector, 'errors.ts'), 'utf8');

/** `const NAME: … = { key: … 'action' … }` tables, each with its comment. */
function tablesOf(connector: string): Table[] {
  const text = sourceOf(connector);
  const tables = text.matchAll(
    /((?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?)(?:export )?const ([A-Z_]+): Readonly<Record<[^=]*= \{\n([\s\S]*?)\n\};/g,
  );
  return [...tables].map(([, comment, name, body]) => ({
    name: name!,
    comment: comment!,
    rows: [...body!.matchAll(/^ {2}'?([\w]+)'?: (.*)$/gm)].map(([, key, rest]) => ({
      table: name!,
      key: key!,
      action: /'(retry|dead-letter|reconnect|fatal)'/.exec(rest!)?.[1] ?? `none in ${rest}`,
    })),
  }));
}

/** Redis says these in words. */
const REFUSALS: Readonly<Record<string, string>> = { MAXCLIENTS: 'ERR max number of clients reached' };

/** An error of the vendor for one row. */
const coded = (code: string) => Object.assign(new Error('vendor'), { code });
const answers: Readonly<Record<string, (row: Row) => SluiceError>> = {
  clickhouse: ({ table, key }) => {
    if (table === 'BY_SOCKET') return clickHouseError(coded(key), 'x');
    const [code, message] = table === 'BY_CONSTRAINT' ? ['469', `Constraint \`${key}\` for table t`] : [key, 'm'];
    return clickHouseError(new ClickHouseError({ message, code, type: 'T' }), 'x');
  },
  debezium: ({ key }) => connectStatusError(Number(key), 'm', 'x'),
  kafka: ({ key }) => kafkaError(Object.assign(new Error('m'), { type: key }), 'x'),
  postgres: ({ table, key }) => postgresError(coded(table === 'BY_CLASS' ? `${key}ZZZ` : key), 'x'),
  redis: ({ table, key }) =>
    redisError(new Error(table === 'REDIS_REFUSALS' ? REFUSALS[key] : `${key} said the server`), 'x'),
  registry: ({ table, key }) =>
    answerError(
      'x',
      table === 'BY_STATUS'
        ? { status: Number(key), errorCode: 0, message: 'm' }
        : { status: 500, errorCode: Number(key), message: 'm' },
    ),
  websocket: ({ key }) => listenError(coded(key), 'x'),
};

/** Where each vendor explains its codes. */
const MANUALS: Readonly<Record<string, RegExp>> = {
  clickhouse: /https:\/\/github\.com\/ClickHouse\/ClickHouse\/\S+ErrorCodes\.cpp/,
  debezium: /https:\/\/kafka\.apache\.org\/\d+\/documentation\.html#connect_rest/,
  kafka: /https:\/\/kafka\.apache\.org\/protocol#protocol_error_codes/,
  postgres: /https:\/\/www\.postgresql\.org\/docs\/\d+\/errcodes-appendix\.html/,
  redis: /https:\/\/redis\.io\/docs\/\S+simple-errors/,
  registry: /https:\/\/docs\.confluent\.io\/platform\/current\/schema-registry\/\S+#errors/,
  websocket: /https:\/\/nodejs\.org\/api\/errors\.html/,
};

/** The fewest rows a connector's tables have: a walk that finds less has lost its way. */
const AT_LEAST: Readonly<Record<string, number>> = {
  clickhouse: 60,
  debezium: 10,
  kafka: 15,
  postgres: 35,
  redis: 15,
  registry: 15,
  websocket: 4,
};

const connectors = readdirSync(CONNECTORS).sort();

describe.each(connectors)('the errors of %s', (connector) => {
  it('are decided in one file that cites the manual of their codes', () => {
    expect(existsSync(join(CONNECTORS, connector, 'errors.ts'))).toBe(true);
    expect(sourceOf(connector)).toMatch(MANUALS[connector] ?? /no manual is named in this test/);
    for (const { name, comment } of tablesOf(connector)) {
      if (name === 'BY_SOCKET') expect(comment).toContain('https://nodejs.org/api/errors.html');
    }
  });

  it('have a valid action and a stable code, as the table says, for every row', () => {
    const rows = tablesOf(connector).flatMap((table) => table.rows);
    expect(rows.length).toBeGreaterThanOrEqual(AT_LEAST[connector] ?? Number.POSITIVE_INFINITY);
    for (const row of rows) {
      const name = `${row.table} ${row.key}`;
      expect(ACTIONS, name).toContain(row.action);
      const error = answers[connector]!(row);
      expect(error, name).toBeInstanceOf(SluiceError);
      expect(error.action, name).toBe(row.action);
      expect(error.code, name).toMatch(/^[A-Z][A-Z0-9_]+$/);
      expect(error.message, name).not.toBe('');
    }
  });

  it('name no code twice in one table', () => {
    for (const { name, rows } of tablesOf(connector)) {
      const keys = rows.map(({ key }) => key);
      expect(new Set(keys).size, name).toBe(keys.length);
    }
  });
});

describe('the errors of kafka', () => {
  const known = new Set(errorCodes.map(({ type }) => type));

  it('are named as kafkajs names them: another name would never be met', () => {
    const unknown = tablesOf('kafka').flatMap(({ rows }) =>
      rows.map(({ key }) => key).filter((key) => !known.has(key)),
    );
    expect(unknown).toEqual([]);
  });

  it('have an action for every code there is', () => {
    for (const type of known)
      expect(ACTIONS).toContain(kafkaError(Object.assign(new Error('m'), { type }), 'x').action);
  });

  it('that have no code get a stable one from their kind, and retries that ran out the one they met', () => {
    const named = (name: string, cause?: Error) => Object.assign(new Error('m', { cause }), { name });
    const codeOf = (error: unknown) => kafkaError(error, 'x').code;
    expect(codeOf(named('KafkaJSConnectionClosedError'))).toBe('KAFKA_CONNECTION_CLOSED_ERROR');
    expect(codeOf(named('KafkaJSSASLAuthenticationError'))).toBe('KAFKA_SASL_AUTHENTICATION_ERROR');
    expect(codeOf(new RangeError('m'))).toBe('KAFKA_RANGE_ERROR');
    expect(codeOf('text')).toBe('KAFKA_UNKNOWN');
    const met = Object.assign(new Error('m'), { type: 'LEADER_NOT_AVAILABLE' });
    const exceeded = kafkaError(named('KafkaJSNumberOfRetriesExceeded', met), 'x');
    expect(isKafka(exceeded, 'LEADER_NOT_AVAILABLE')).toBe(true);
    expect(exceeded.action).toBe('retry');
  });
});

describe('the errors of redis', () => {
  it('of the socket are retried', () => {
    for (const code of CONNECTION_CODES)
      expect(redisError(coded(code), 'x')).toMatchObject({ code: 'REDIS_UNREACHABLE', action: 'retry' });
  });
});

describe('an error', () => {
  it('that is classified already passes every connector unchanged', () => {
    const known = new SluiceError('known', { code: 'KNOWN', action: 'fatal' });
    for (const of of [clickHouseError, kafkaError, postgresError, redisError]) expect(of(known, 'x')).toBe(known);
  });

  it('that nobody classified is worth one more try with a fresh client', () => {
    for (const of of [clickHouseError, kafkaError, postgresError, redisError]) {
      const error = of(new Error('never seen'), 'x');
      expect(error.action).toBe('reconnect');
      expect(error.cause).toMatchObject({ message: 'never seen' });
      expect(error.code).toMatch(/^[A-Z][A-Z0-9_]+$/);
    }
    expect(actionOf(new Error('plain'))).toBe('reconnect');
    expect(actionOf(undefined)).toBe('reconnect');
    expect(actionOf(new SluiceError('m', { code: 'C', action: 'retry' }))).toBe('retry');
  });

  it('keeps its cause only where there is one', () => {
    expect(new SluiceError('m', { code: 'C', action: 'retry' })).not.toHaveProperty('cause');
    const cause = new Error('c');
    expect(new SluiceError('m', { code: 'C', action: 'retry', cause }).cause).toBe(cause);
  });

  it('of a record is dead-lettered', () => {
    expect([undecodable('x'), unknownSchema('x'), missingField('x')].map(({ action }) => action)).toEqual([
      'dead-letter',
      'dead-letter',
      'dead-letter',
    ]);
  });
});
