/** The native ClickHouse speaks the server's HTTP interface as far as clients use it. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startClickHouse, type TestClickHouse } from '../../support/clickhouse.ts';

const FRONT = fileURLToPath(new URL('../../../infra/native/clickhouse-front.ts', import.meta.url));

let server: TestClickHouse;

beforeAll(async () => {
  server = await startClickHouse({ env: { CLICKHOUSE_FRONT_MAX_BODY_BYTES: '4000000' } });
  await post('CREATE TABLE items (id UInt64, name String, amount Nullable(Int32)) ENGINE = MergeTree ORDER BY id');
}, 60_000);
afterAll(() => server?.stop(), 60_000);

const url = (params: Readonly<Record<string, string>> = {}) => `${server.url}/?${new URLSearchParams(params)}`;

function post(
  sql: string | Buffer,
  params: Readonly<Record<string, string>> = {},
  headers: Record<string, string> = {},
) {
  return fetch(url(params), { method: 'POST', body: typeof sql === 'string' ? sql : new Uint8Array(sql), headers });
}
const text = async (sql: string, params: Readonly<Record<string, string>> = {}) => (await post(sql, params)).text();
const items = () => text('SELECT id, name, amount FROM items ORDER BY id FORMAT CSV');
const empty = () => post('TRUNCATE TABLE items');

describe('the native ClickHouse', { timeout: 30_000 }, () => {
  it('answers /ping, and 404 elsewhere', async () => {
    expect(await (await fetch(`${server.url}/ping`)).text()).toBe('Ok.\n');
    expect((await fetch(`${server.url}/play`)).status).toBe(404);
  });

  it('runs queries of the URL and of the body, in the format that is asked for', async () => {
    const get = await fetch(url({ query: 'SELECT 1 AS x, NULL AS y' }));
    expect(await get.text()).toBe('1\t\\N\n');
    expect(get.headers.get('content-type')).toMatch(/^text\/tab-separated-values/);
    const json = await post('SELECT 1 AS x FORMAT JSON');
    expect(json.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await json.json()).toMatchObject({ data: [{ x: 1 }], rows: 1 });
    expect(await text('SELECT 1 AS x', { default_format: 'JSONEachRow' })).toBe('{"x":1}\n');
    expect(await text("-- a comment\nSHOW DATABASES LIKE 'default'")).toBe('default\n');
  });

  it('only reads by GET', async () => {
    const response = await fetch(url({ query: "INSERT INTO items VALUES (1, 'x', 1)" }));
    expect(response.headers.get('x-clickhouse-exception-code')).toBe('164');
  });

  it('binds parameters as the server does', async () => {
    const params = {
      param_s: "it's a \\\\ back\\tslash",
      param_n: '\\N',
      param_a: "['x','y']",
      param_i: '9007199254740993',
    };
    const sql =
      'SELECT {s:String} AS s, {n:Nullable(String)} AS n, {a:Array(String)} AS a, toString({i:UInt64}) AS i FORMAT JSONEachRow';
    expect(JSON.parse(await text(sql, params))).toEqual({
      s: "it's a \\ back\tslash",
      n: null,
      a: ['x', 'y'],
      i: '9007199254740993',
    });
  });

  it('keeps settings and parameters of one request out of every other', async () => {
    const ask = (index: number) =>
      text(`SELECT {v:UInt32}, getSetting('max_block_size')`, {
        param_v: String(index),
        max_block_size: String(1_000 + index),
      });
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => ask(index)));
    expect(answers).toEqual(Array.from({ length: 40 }, (_, index) => `${index}\t${1_000 + index}\n`));
    expect(await text("SELECT getSetting('max_block_size')")).not.toMatch(/^10\d\d\n$/);
  });

  it.each([
    ['SELECT nope', 47],
    ['SELEKT 1', 62],
    ['SELECT * FROM nowhere', 60],
    ['SELECT {missing:String}', 456],
    ['SELECT throwIf(number = 3) FROM numbers(10)', 395],
  ])('reports the error of %s with its code', async (sql, code) => {
    const response = await post(sql);
    expect(response.ok).toBe(false);
    expect(response.headers.get('x-clickhouse-exception-code')).toBe(String(code));
    expect(await response.text()).toMatch(new RegExp(`^Code: ${code}\\. DB::Exception: `));
  });

  it('reports an unknown setting and an unknown database', async () => {
    expect(await text('SELECT 1', { no_such_setting: '1' })).toMatch(/^Code: 115\./);
    expect(await text('SELECT 1', { database: 'nowhere' })).toMatch(/^Code: 81\./);
  });

  it.each([
    ['rows in the body', { query: 'INSERT INTO items (id, name, amount) FORMAT TSV' }, '1\tone ü\t\\N\n2\ttwo\t5\n'],
    [
      'everything in the body',
      {},
      'INSERT INTO items FORMAT JSONEachRow\n{"id":1,"name":"one ü"}\n{"id":2,"name":"two","amount":5}',
    ],
    ['compact JSON', { query: 'INSERT INTO default.items FORMAT JSONCompactEachRow' }, '[1,"one ü",null]\n[2,"two",5]'],
    [
      'quoted names and inline settings',
      {},
      'INSERT INTO `items` (`id`, name, amount) SETTINGS insert_deduplicate = 1 FORMAT CSV\n1,one ü,\\N\n2,two,5\n',
    ],
    ['VALUES', {}, "INSERT INTO items VALUES (1, 'one ü', NULL), (2, 'two', 5)"],
    ['SELECT', {}, "INSERT INTO items SELECT 1, 'one ü', NULL UNION ALL SELECT 2, 'two', 5"],
  ])('inserts by %s', async (_, params, body) => {
    await empty();
    const response = await post(body, params);
    expect(await response.text()).toBe('');
    expect(response.status).toBe(200);
    expect(await items()).toBe('1,"one ü",\\N\n2,"two",5\n');
  });

  it('takes binary formats and hands them out', async () => {
    await empty();
    await post("INSERT INTO items VALUES (1, 'one', NULL), (2, 'two', 5)");
    const rows = Buffer.from(await (await post('SELECT * FROM items ORDER BY id FORMAT RowBinary')).arrayBuffer());
    await empty();
    const response = await post(rows, { query: 'INSERT INTO items FORMAT RowBinary' });
    expect(response.status).toBe(200);
    expect(await items()).toBe('1,"one",\\N\n2,"two",5\n');
    expect(readdirSync(join(server.dataDir, 'incoming'))).toEqual([]);
  });

  it('says how many rows it wrote', async () => {
    await empty();
    const response = await post('1\ta\t1\n2\tb\t2\n', { query: 'INSERT INTO items FORMAT TSV' });
    expect(JSON.parse(response.headers.get('x-clickhouse-summary') ?? '')).toMatchObject({ written_rows: '2' });
  });

  it('drops a repeated deduplication token', async () => {
    await post(
      `CREATE TABLE once (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100`,
    );
    const insert = (token: string) =>
      post('1\n2\n', { query: 'INSERT INTO once FORMAT TSV', insert_deduplication_token: token, async_insert: '0' });
    await insert('a');
    await insert('a');
    expect(await text('SELECT count() FROM once')).toBe('2\n');
    await insert('b');
    expect(await text('SELECT count() FROM once')).toBe('4\n');
  });

  it('reads and writes gzip', async () => {
    await empty();
    const body = zlib.gzipSync('1\tgz\t1\n');
    await post(body, { query: 'INSERT INTO items FORMAT TSV' }, { 'content-encoding': 'gzip' });
    // fetch unpacks by itself, and would fail on bytes that are not gzip.
    const response = await post(
      'SELECT name FROM items',
      { enable_http_compression: '1' },
      { 'accept-encoding': 'gzip' },
    );
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.text()).toBe('gz\n');
    const bad = await post('no gzip', { query: 'INSERT INTO items FORMAT TSV' }, { 'content-encoding': 'gzip' });
    expect(await bad.text()).toMatch(/^Code: 210\./);
  });

  it('refuses a body beyond its bound', async () => {
    const response = await post(Buffer.alloc(5_000_000, '1\n'), { query: 'INSERT INTO items (id) FORMAT TSV' });
    expect(response.status).toBe(413);
    await response.text();
  });

  it('streams a result that is bigger than one chunk', async () => {
    const rows = await text('SELECT number FROM numbers(1000000)');
    expect(rows.length).toBe(6_888_890);
    expect(rows.endsWith('\n999999\n')).toBe(true);
  });

  it('serves the official client', async () => {
    const client = createClient({
      url: server.url,
      compression: { request: true, response: true },
      log: { level: ClickHouseLogLevel.OFF },
    });
    try {
      expect(await client.ping()).toEqual({ success: true });
      await client.command({ query: 'TRUNCATE TABLE items' });
      await client.insert({
        table: 'items',
        values: [{ id: '7', name: 'client', amount: null }],
        format: 'JSONEachRow',
      });
      const result = await client.query({
        query: 'SELECT * FROM items WHERE name = {name:String}',
        query_params: { name: 'client' },
        format: 'JSONEachRow',
      });
      expect(await result.json()).toEqual([{ id: 7, name: 'client', amount: null }]);
      await expect(client.query({ query: 'SELECT nope' })).rejects.toMatchObject({
        code: '47',
        type: 'UNKNOWN_IDENTIFIER',
      });
    } finally {
      await client.close();
    }
  });

  it('keeps its data when it is killed, and its folder to itself', async () => {
    await empty();
    await post("INSERT INTO items VALUES (1, 'kept', 1)");
    const second = spawn(process.execPath, [FRONT, server.dataDir, '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    second.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const code = await new Promise((resolve) => second.once('close', resolve));
    expect(code).toBe(1);
    expect(said).toContain('One process per data folder');
    await server.restart();
    expect(await items()).toBe('1,"kept",1\n');
  });
});

describe('the priority of the native ClickHouse', { timeout: 30_000 }, () => {
  it('is below that of whoever started it, who answers within a second', () => {
    expect(getPriority(server.pid)).toBe(Math.max(getPriority(), 5));
  });
});

describe('the native ClickHouse with a password', { timeout: 30_000 }, () => {
  it('admits nobody without it', async () => {
    const guarded = await startClickHouse({ env: { CLICKHOUSE_PASSWORD: 'secret' } });
    try {
      const ask = async (headers: Record<string, string>) =>
        (await fetch(guarded.url, { method: 'POST', body: 'SELECT 1', headers })).text();
      expect(await ask({})).toMatch(/^Code: 516\./);
      expect(await ask({ 'x-clickhouse-user': 'default', 'x-clickhouse-key': 'wrong' })).toMatch(/^Code: 516\./);
      expect(await ask({ 'x-clickhouse-user': 'default', 'x-clickhouse-key': 'secret' })).toBe('1\n');
      expect(await ask({ authorization: `Basic ${Buffer.from('default:secret').toString('base64')}` })).toBe('1\n');
    } finally {
      await guarded.stop();
    }
    expect(existsSync(guarded.dataDir)).toBe(false);
  });
});
