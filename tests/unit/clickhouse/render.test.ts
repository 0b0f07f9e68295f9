/** The same files serve one node and a replicated cluster. No cluster is at hand: its statements are checked as text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderMigration } from '../../../connectors/clickhouse/render.ts';

const DIRECTORY = fileURLToPath(new URL('../../../sql/clickhouse', import.meta.url));
const FILES = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith('.sql'))
  .map((name) => readFileSync(join(DIRECTORY, name), 'utf8'));

/** Which log feeds which tables, and by what they are sharded. */
const LOGS = [
  { tables: /^engagement_/, name: 'engagement_changes', key: 'content_id' },
  { tables: /^prices_stocks_/, name: 'prices_stocks_log', key: 'stock_id' },
  { tables: /^prices_indicators_/, name: 'prices_indicators_log', key: 'stock_id' },
  { tables: /^prices_/, name: 'prices_candles_log', key: 'stock_id' },
] as const;

const render = (name?: string) =>
  FILES.flatMap((text) => renderMigration(text, name === undefined ? undefined : { name }).statements);

const nameOf = (statement: string) =>
  /^CREATE (?:TABLE IF NOT EXISTS|MATERIALIZED VIEW IF NOT EXISTS|OR REPLACE VIEW) (\w+)/.exec(statement)?.[1] ?? '';
const isTable = (statement: string) => statement.startsWith('CREATE TABLE');
const isDistributed = (statement: string) => /ENGINE = Distributed/.test(statement);

describe('one node', () => {
  it('has no trace of a cluster', () => {
    const text = render().join('\n');
    expect(text).not.toMatch(/ON CLUSTER|Replicated|Distributed|_local\b|[{}]/);
    expect(text).toContain('non_replicated_deduplication_window = 10000');
  });
});

describe('a cluster', () => {
  const statements = render('sluice');
  const created = new Set(statements.map(nameOf));

  it('makes everything on all nodes', () => {
    expect(statements.length).toBeGreaterThan(render().length);
    for (const statement of statements) expect(statement).toMatch(/^(CREATE|ALTER TABLE) [\w ]+ ON CLUSTER 'sluice'/);
    expect(statements.join('\n')).not.toMatch(/[{}]/);
  });

  it('replicates every table that holds rows, with a window of tokens that outlasts an outage', () => {
    const tables = statements.filter((statement) => isTable(statement) && !isDistributed(statement));
    expect(tables.length).toBeGreaterThan(5);
    for (const statement of tables) {
      expect(nameOf(statement)).toMatch(/_local$/);
      expect(statement).toMatch(/ENGINE = Replicated\w*MergeTree/);
      expect(statement).not.toContain('non_replicated');
      // The newest of equal rows wins there: written twice is written once.
      if (nameOf(statement).startsWith('sluice_')) continue;
      expect(statement).toContain('replicated_deduplication_window = 10000');
      expect(statement).toContain('replicated_deduplication_window_seconds = 604800');
    }
  });

  it('puts a Distributed table of the plain name over each of them', () => {
    const local = statements.filter((one) => isTable(one) && !isDistributed(one)).map(nameOf);
    const over = statements.filter(isDistributed);
    expect(over.map((one) => `${nameOf(one)}_local`).sort()).toEqual([...local].sort());
    for (const one of over) {
      const engine = /Distributed\('sluice', currentDatabase\(\), (\w+), (.+)\)$/.exec(one);
      expect(engine?.[1]).toBe(`${nameOf(one)}_local`);
      expect(engine?.[2]).toMatch(/^(cityHash64\(.+\)|source_offset)$/);
    }
  });

  it('feeds local tables from the local log, so that a row and what is made of it stay on one shard', () => {
    const feeds = statements.filter((one) => one.startsWith('CREATE MATERIALIZED VIEW'));
    expect(feeds.length).toBeGreaterThan(8);
    for (const feed of feeds) {
      expect(feed).toMatch(/TO \w+_local AS/);
      const log = LOGS.find(({ tables }) => tables.test(nameOf(feed)))!;
      for (const [, source] of feed.matchAll(/\bFROM (\w+)/g)) expect(source).toBe(`${log.name}_local`);
    }
    for (const one of statements.filter(
      (statement) => isDistributed(statement) && !/^sluice_/.test(nameOf(statement)),
    )) {
      const log = LOGS.find(({ tables }) => tables.test(nameOf(one)));
      expect(one).toContain(`cityHash64(${log?.key})`);
    }
  });

  it('lets analysts read whole tables, never one shard', () => {
    for (const view of statements.filter((one) => one.startsWith('CREATE OR REPLACE VIEW'))) {
      for (const [, source] of view.matchAll(/\b(?:FROM|JOIN) (\w+)/g)) {
        expect(source).not.toMatch(/_local$/);
        expect(created).toContain(source);
      }
    }
  });
});

describe('renderMigration', () => {
  it('reads what a time to live counts from', () => {
    const text = '-- ttl: a toDateTime(x)\nCREATE TABLE {table:a} (x UInt8) ENGINE = {engine:MergeTree};\n';
    expect(renderMigration(text)).toEqual({
      statements: ['CREATE TABLE a (x UInt8) ENGINE = MergeTree'],
      ttl: new Map([['a', { table: 'a', expression: 'toDateTime(x)' }]]),
    });
    expect(renderMigration(text, { name: 'c' }).ttl.get('a')?.table).toBe('a_local');
  });

  it('alters the table that holds the rows, and on a cluster the Distributed one too', () => {
    const text = 'ALTER TABLE {table:a}{on_cluster} ADD COLUMN x UInt8;\n\n{alter_distributed:a ADD COLUMN x UInt8}\n';
    expect(renderMigration(text).statements).toEqual(['ALTER TABLE a ADD COLUMN x UInt8']);
    expect(renderMigration(text, { name: 'c' }).statements).toEqual([
      "ALTER TABLE a_local ON CLUSTER 'c' ADD COLUMN x UInt8",
      "ALTER TABLE a ON CLUSTER 'c' ADD COLUMN x UInt8",
    ]);
  });

  it('refuses an unknown placeholder and a cluster name that is no name', () => {
    expect(() => renderMigration('SELECT {nothing:1};')).toThrow(/Unknown placeholder/);
    expect(() => renderMigration('SELECT 1;', { name: "c' x" })).toThrow(/Bad cluster name/);
  });
});
