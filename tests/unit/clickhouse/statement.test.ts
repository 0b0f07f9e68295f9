import { describe, expect, it } from 'vitest';
import { readStatement } from '../../../infra/native/clickhouse-front/statement.ts';

const read = (query: string, body = '') => readStatement(query, Buffer.from(body), 'TabSeparated');

describe('readStatement', () => {
  it('takes the rows of an insert from the body as bytes', () => {
    const body = Buffer.from([0, 255, 10, 0]);
    const statement = readStatement('INSERT INTO t FORMAT RowBinary', body, 'TabSeparated');
    expect(statement).toMatchObject({ kind: 'insert', head: { table: 't', columns: null, format: 'RowBinary' } });
    expect(statement.kind === 'insert' && statement.rows.equals(body)).toBe(true);
  });

  it('finds the rows behind an insert that is all in the body, whatever bytes stand before', () => {
    const statement = read('', '/* ü; FORMAT x */ -- é\n insert into `dß`.t (a, b)\n FORMAT CSV\n1,ü\n');
    expect(statement).toMatchObject({ kind: 'insert', head: { table: '`dß`.t', columns: ['a', 'b'], format: 'CSV' } });
    expect(statement.kind === 'insert' && statement.rows.toString()).toBe('1,ü\n');
  });

  it('keeps the settings of an insert', () => {
    const statement = read(
      "INSERT INTO t SETTINGS insert_deduplication_token = 'a FORMAT b', async_insert = 0 FORMAT TSV",
      '1\n',
    );
    expect(statement).toMatchObject({
      head: { settings: "SETTINGS insert_deduplication_token = 'a FORMAT b', async_insert = 0", format: 'TSV' },
    });
  });

  it.each([
    ['INSERT INTO t VALUES (1)', 'other'],
    ['INSERT INTO t FORMAT Values (1)', 'other'],
    ["INSERT INTO t SELECT 'x' FORMAT TSV", 'other'],
    ['CREATE TABLE t (a UInt8) ENGINE = Memory', 'other'],
    ['SHOW TABLES', 'other'],
    ['-- first\n/* then */ SELECT 1', 'select'],
    ['WITH 1 AS x SELECT x', 'select'],
    ['(SELECT 1) UNION ALL (SELECT 2)', 'select'],
  ])('%s is %s', (sql, kind) => {
    expect(read(sql).kind).toBe(kind);
    expect(read('', sql).kind).toBe(kind);
  });

  it.each([
    ['SELECT 1', 'TabSeparated'],
    ['SELECT 1 FORMAT JSON;\n', 'JSON'],
    ["SELECT 'FORMAT CSV'", 'TabSeparated'],
    ['SELECT 1 format JSONEachRow SETTINGS max_threads = 1', 'JSONEachRow'],
  ])('the format of %s is %s', (sql, format) => {
    expect(read(sql)).toMatchObject({ format });
  });
});
