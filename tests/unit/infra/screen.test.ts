import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { render, summaryLine } from '../../../scripts/start/screen.ts';
import type { Board, PipelineState, ProcessRow, ScreenState } from '../../../scripts/start/state.ts';

const row = (name: string, more: Partial<ProcessRow> = {}): ProcessRow => ({
  name,
  kind: 'server',
  state: 'up',
  ready: null,
  pid: 4_321,
  restarts: 0,
  cpuPercent: 3.2,
  memoryMiB: 145.4,
  figures: null,
  detail: null,
  ...more,
});
const worker = (name: string, ok: boolean): ProcessRow =>
  row(name, {
    kind: 'worker',
    ready: { ok, reason: ok ? '4 partitions' : 'partition 2 is opening' },
    figures: { recordsPerSecond: 1_234.6, lagRecords: 17, freshnessSeconds: 0.42, deadLetters: 0 },
  });
const BOARD: Board = {
  title: 'Most events in the last 10 minutes',
  entries: [
    { key: 'a', name: 'The daily brief', score: 1_520, text: '1,520' },
    { key: 'b', name: 'Deep water', score: 38, text: '38' },
  ],
  asOfMs: Date.UTC(2026, 0, 2, 3, 4, 5),
};
const engagement = (more: Partial<PipelineState> = {}): PipelineState => ({
  name: 'engagement',
  unit: 'events',
  rate: 200,
  perSecond: 198.3,
  board: BOARD,
  ...more,
});
const state = (more: Partial<ScreenState> = {}): ScreenState => ({
  upSeconds: 133,
  rows: [row('postgres'), row('kafka'), worker('engagement.sink.clickhouse', true)],
  pipelines: [engagement()],
  connections: [{ name: 'Redis', try: 'redis-cli -p 16379 ZREVRANGE lb:{engagement:10m}:events 0 4 WITHSCORES' }],
  notices: [],
  logs: '/x/.sluice/logs',
  ...more,
});
const wide = { columns: 100, rows: 60, color: false };

describe('render', () => {
  it('shows each process, the board and where to connect', () => {
    expect(render(state(), wide)).toEqual([
      '  Sluice   up 2 min 13 s   engagement 198 events/s                                       all healthy',
      '',
      '  process                         health     cpu    memory restarts    rec/s      lag    fresh',
      '  postgres                            up     3 %   145 MiB        –        –        –        –',
      '  kafka                               up     3 %   145 MiB        –        –        –        –',
      '  engagement.sink.clickhouse       ready     3 %   145 MiB        –    1,235       17    0.4 s',
      '',
      '  Most events in the last 10 minutes as of 03:04:05 UTC',
      '  1  The daily brief                                   1,520  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇',
      '  2  Deep water                                           38  ▇',
      '',
      '  Redis      redis-cli -p 16379 ZREVRANGE lb:{engagement:10m}:events 0 4 WITHSCORES',
      '',
      '  Logs: /x/.sluice/logs    Ctrl-C stops everything.',
    ]);
  });

  it('shows the process ids where there is room, and no name is cut', () => {
    const long = 'prices.sink.clickhouse-indicators';
    const lines = render(state({ rows: [worker(long, true)] }), { ...wide, columns: 150 });
    expect(lines[3]).toContain(`${long} `);
    expect(lines[3]).toContain(' 4321 ');
    expect(render(state({ rows: [worker(long, true)] }), wide)[3]).toContain('0.4 s');
  });

  it('tells of servers that are well in a line where there is no room for all', () => {
    const rows = [row('postgres'), row('kafka', { state: 'failed' }), row('redis'), worker('engagement.enrich', true)];
    const lines = render(state({ rows }), { ...wide, rows: 14 });
    expect(lines).toContain('  2 servers up: postgres, redis');
    expect(lines.some((line) => line.startsWith('  kafka  '))).toBe(true);
    expect(lines.some((line) => line.includes('Deep water'))).toBe(true);
  });

  it('says what is not healthy, and colours it', () => {
    const rows = [row('kafka', { state: 'backoff', restarts: 3, pid: null }), worker('engagement.enrich', false)];
    const lines = render(state({ rows, notices: ['03:04:05 kafka: backoff (ended by SIGKILL)'] }), {
      ...wide,
      color: true,
    });
    expect(lines[0]).toContain('\x1b[33m2 not healthy\x1b[0m');
    const line = (name: string) => lines.find((text) => text.includes(name));
    expect(line('kafka')).toContain('\x1b[33m    backoff\x1b[0m');
    expect(line('engagement.enrich')).toContain('\x1b[33m  not ready\x1b[0m');
    expect(lines.at(-1)).toContain('kafka: backoff (ended by SIGKILL)');
  });

  it('is calm about an empty start', () => {
    const empty = engagement({ board: { ...BOARD, entries: [], asOfMs: null }, rate: null, perSecond: null });
    const lines = render(state({ rows: [], pipelines: [empty] }), wide);
    expect(lines[0]).toContain('engagement – events/s, no traffic');
    expect(lines).toContain('  nothing yet');
  });

  it('lets no text of the data move the cursor', () => {
    const board = { ...BOARD, entries: [{ key: 'x', name: 'evil\x1b[2J\r\nnext', score: 1, text: '\x1b[2J' }] };
    const text = render(state({ pipelines: [engagement({ board })] }), wide).join('');
    expect(text).not.toContain('\x1b');
    expect(text).toContain('evil [2J  next');
  });

  it('fits any terminal, whatever there is to show', () => {
    const texts = fc.string({ unit: 'grapheme-ascii', maxLength: 200 });
    const numbers = fc.option(fc.double({ min: 0, max: 1e9, noNaN: true }));
    const rows = fc.array(
      fc.record({
        name: texts,
        cpuPercent: numbers,
        memoryMiB: numbers,
        rate: numbers,
        age: numbers,
        restarts: fc.nat(),
      }),
      { maxLength: 15 },
    );
    const sizes = fc.record({ columns: fc.integer({ min: 30, max: 150 }), rows: fc.integer({ min: 1, max: 60 }) });
    fc.assert(
      fc.property(rows, sizes, texts, (made, size, title) => {
        const shown = made.map(({ rate, age, ...one }) =>
          row(one.name, {
            ...one,
            figures: { recordsPerSecond: rate, lagRecords: rate, freshnessSeconds: age, deadLetters: 0 },
          }),
        );
        const board = { title, entries: [{ key: title, name: title, score: 5, text: title }], asOfMs: 0 };
        const pipelines = [engagement({ board, unit: title }), engagement({ name: title, board })];
        const connections = [{ name: 'Redis', try: title }];
        const lines = render(state({ rows: shown, pipelines, connections, notices: [title], logs: title }), {
          ...size,
          color: false,
        });
        expect(lines.length).toBeLessThanOrEqual(size.rows);
        for (const line of lines) expect([...line].length).toBeLessThanOrEqual(size.columns);
      }),
      { seed: 7, numRuns: 200 },
    );
  });
});

it('puts a run without a terminal into one line', () => {
  expect(summaryLine(state())).toBe(
    'up 2 min 13 s | all healthy | engagement.sink.clickhouse 1,235/s lag 17 | top "The daily brief" 1,520',
  );
  expect(summaryLine(state({ rows: [row('kafka', { state: 'failed' })] }))).toContain('not healthy: kafka failed');
});
