import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { byStock } from '../../../pipelines/prices/history/by-stock.ts';
import { type HistoryRow, headerOf, rowOf } from '../../../pipelines/prices/history/rows.ts';
import {
  digestOf,
  fileSource,
  type HistoryChunk,
  madeSource,
  trafficOf,
} from '../../../pipelines/prices/history/source.ts';

const dir = mkdtempSync(join(tmpdir(), 'sluice-history-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const STOCKS = new Map([
  ['ACME', { id: 1n, exchange: 'NYSE' }],
  ['NIPPON', { id: 2n, exchange: 'TSE' }],
]);
const NAMES = 'symbol,date,open,high,low,close,volume';
const header = headerOf(NAMES);
const read = (line: string) => rowOf(line, header, STOCKS);

async function all(source: ReturnType<typeof fileSource>, size: number): Promise<HistoryChunk[]> {
  const chunks: HistoryChunk[] = [];
  for await (const chunk of source(size)) chunks.push(chunk);
  return chunks;
}

describe('a line of a file of daily bars', () => {
  it('is a bar that begins at midnight at its exchange, its decimals as they are', () => {
    expect(read('ACME,2026-01-05,10,12.5,9.000001,11,700')).toEqual({
      ...{ stockId: 1n, startMs: Date.UTC(2026, 0, 5, 5) },
      ...{ open: '10', high: '12.5', low: '9.000001', close: '11', volume: '700' },
    });
    expect(read('NIPPON,2026-01-05,1,1,1,1,0').startMs).toBe(Date.UTC(2026, 0, 4, 15));
    // On the day on which the clock goes forward, and as an instant.
    expect(read('ACME,2026-03-08,1,1,1,1,0').startMs).toBe(Date.UTC(2026, 2, 8, 5));
    expect(read('ACME,2026-01-05T00:00:00-05:00,1,1,1,1,0').startMs).toBe(Date.UTC(2026, 0, 5, 5));
  });

  it('may have its columns in another order, quoted, and more of them', () => {
    const other = headerOf('"Volume",close,low,high,open,TS,name,symbol');
    expect(rowOf('5,"2",1,3,2,2026-01-05,Acme,"ACME"', other, STOCKS)).toMatchObject({
      high: '3',
      volume: '5',
      stockId: 1n,
    });
    expect(() => headerOf('symbol,date,open')).toThrow('names no column high, low, close, volume');
  });

  it.each([
    ['ACME,2026-01-05,1,2,1', 'BAD_LINE'],
    ['ACME,2026-01-05,1,x,1,1,0', 'BAD_NUMBER'],
    ['ACME,2026-01-05,1,1.0000001,1,1,0', 'BAD_NUMBER'],
    ['ACME,2026-01-05,-1,1,1,1,0', 'BAD_NUMBER'],
    ['ACME,2026-01-05,1,1,1,1,1.5', 'BAD_NUMBER'],
    ['ACME,2026-01-05,1,1,0,1,0', 'PRICE_NOT_POSITIVE'],
    ['ACME,2026-01-05,1,1,2,1,0', 'HIGH_BELOW_LOW'],
    ['ACME,2026-01-05,3,2,1,1,0', 'OPEN_OUTSIDE_RANGE'],
    ['ACME,2026-01-05,1,2,1,3,0', 'CLOSE_OUTSIDE_RANGE'],
    ['NOBODY,2026-01-05,1,1,1,1,0', 'UNKNOWN_STOCK'],
    ['ACME,2026-02-30,1,1,1,1,0', 'BAD_DATE'],
    ['ACME,05/01/2026,1,1,1,1,0', 'BAD_DATE'],
    ['ACME,2026-01-05T00:00:00Z,1,1,1,1,0', 'BAD_DATE'],
  ])('%s is refused: %s', (line, code) => {
    expect(() => read(line)).toThrow(expect.objectContaining({ code, action: 'dead-letter' }));
  });
});

describe('a file', () => {
  const lines = [
    `\ufeff${NAMES}`,
    'ACME,2026-01-05,1,1,1,1,0',
    '',
    'ACME,2026-01-05,2,2,2,2,0',
    'NOBODY,2026-01-06,1,1,1,1,0',
    'NIPPON,2026-01-06,1,1,1,1,0',
    'ACME,2026-01-07,1,1,0,1,0',
  ].join('\r\n');

  it.each(['bars.csv', 'bars.csv.gz'])(
    '%s is read in chunks, bad lines by their number, the last line of a day counting',
    async (name) => {
      const file = join(dir, name);
      writeFileSync(file, name.endsWith('.gz') ? gzipSync(lines) : lines);
      const chunks = await all(fileSource(file, STOCKS), 3);
      expect(chunks.map(({ read: count }) => count)).toEqual([3, 2]);
      expect(chunks[0]!.rows.map(({ open }) => open)).toEqual(['2']);
      expect(chunks.flatMap(({ rejects }) => rejects).map(({ line, reason }) => [line, reason])).toEqual([
        [5, 'UNKNOWN_STOCK'],
        [7, 'PRICE_NOT_POSITIVE'],
      ]);
      expect(await digestOf(file)).toMatch(/^[0-9a-f]{64}$/);
    },
  );

  it('that is none, or no gzip, is told with its name', async () => {
    const file = join(dir, 'broken.gz');
    writeFileSync(file, lines);
    const unreadable = expect.objectContaining({
      code: 'HISTORY_FILE_UNREADABLE',
      message: expect.stringContaining('broken.gz'),
    });
    await expect(all(fileSource(file, STOCKS), 3)).rejects.toThrow(unreadable);
    await expect(digestOf(join(dir, 'nowhere'))).rejects.toThrow('nowhere cannot be read');
  });
});

describe('a source by stock', () => {
  it('has each row once, those of a stock in their order, in whole chunks of one stretch', async () => {
    const request = { symbols: 20, years: 1, seed: 3, until: '2026-01-05T00:00:00.000Z' };
    const source = madeSource(
      request,
      trafficOf(request).listings.map((_, stock) => BigInt(stock + 1)),
    );
    const plain = (await all(source, 100)).flatMap(({ rows }) => rows);
    const chunks = await all(byStock(source, 1_050), 100);
    const rows = chunks.flatMap((chunk) => chunk.rows);
    const ordered = (of: readonly HistoryRow[]) =>
      of.toSorted((a, b) => Number(a.stockId - b.stockId)).map(({ stockId, startMs }) => `${stockId} ${startMs}`);
    expect(ordered(rows)).toEqual(ordered(plain));
    expect(chunks.slice(0, -1).every(({ read: count, rows: { length } }) => count === 100 && length === 100)).toBe(
      true,
    );
    expect(chunks.reduce((sum, { read: count }) => sum + count, 0)).toBe(plain.length);
    // A chunk is of few stocks, and no row has moved further than a stretch.
    expect(new Set(chunks[0]!.rows.map(({ stockId }) => stockId)).size).toBeLessThan(5);
    expect(ordered(rows.slice(0, 1_000))).toEqual(ordered(plain.slice(0, 1_000)));
    expect(await all(byStock(source, 1_050), 100)).toEqual(chunks);
  });

  it('counts every line, and tells those that are left out', async () => {
    const file = join(dir, 'by-stock.csv');
    const line = (symbol: string, day: number, open: number) => `${symbol},2026-01-0${day},${open},9,1,5,0`;
    const lines = [
      line('ACME', 5, 2),
      line('NIPPON', 5, 3),
      'NOBODY,2026-01-06,1,1,1,1,0',
      line('ACME', 6, 4),
      line('NIPPON', 5, 6),
    ];
    writeFileSync(file, [NAMES, ...lines].join('\n'));
    const chunks = await all(byStock(fileSource(file, STOCKS)), 2);
    expect(chunks.map(({ rows }) => rows.map(({ stockId, open }) => [stockId, open]))).toEqual([
      [
        [1n, '2'],
        [1n, '4'],
      ],
      [[2n, '6']],
    ]);
    expect(chunks.map(({ read: count, rejects }) => [count, rejects.length])).toEqual([
      [2, 0],
      [3, 1],
    ]);
    // Nothing but bad lines: they are told all the same.
    writeFileSync(file, [NAMES, 'NOBODY,2026-01-06,1,1,1,1,0'].join('\n'));
    expect(await all(byStock(fileSource(file, STOCKS)), 2)).toMatchObject([
      { read: 1, rows: [], rejects: [{ line: 2 }] },
    ]);
  });
});

it('made-up history comes in the same chunks each time, forward in time, without today', async () => {
  const request = { symbols: 7, years: 1, seed: 3, until: '2026-01-05T00:00:00.000Z' };
  const ids = trafficOf(request).listings.map((_, stock) => BigInt(stock + 100));
  const chunks = await all(madeSource(request, ids), 500);
  expect(chunks).toEqual(await all(madeSource(request, ids), 500));
  const rows = chunks.flatMap((chunk) => chunk.rows);
  expect(chunks.slice(0, -1).every(({ read: count }) => count === 500)).toBe(true);
  expect(Math.abs(rows.length / trafficOf(request).historySize(1) - 1)).toBeLessThan(0.02);
  const ofOne = rows.filter(({ stockId }) => stockId === 103n).map(({ startMs }) => startMs);
  expect(ofOne).toEqual(ofOne.toSorted((a, b) => a - b));
  expect(ofOne.at(-1)).toBeLessThan(Date.parse(request.until));
});
