import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import { identify, newToken, parseTokens } from '../../../connectors/websocket/tokens.ts';
import { sessionTokenFile } from '../../../scripts/gateway/session-token.ts';
import { parseContainers } from '../../../scripts/start/docker.ts';
import { openFeedSession } from '../../../scripts/start/feed.ts';
import { lastJson, overall, problemsOf, verdictOf } from '../../../scripts/start/finish.ts';
import { connectionsOf } from '../../../scripts/start/gather.ts';
import { parseDuration, parseOptions } from '../../../scripts/start/options.ts';
import { shownOf } from '../../../scripts/start/pipelines.ts';
import type { ProcessRow, ScreenState } from '../../../scripts/start/state.ts';
import { cpuTime, parsePs, UsageMeter } from '../../../scripts/start/usage.ts';
import { figuresOf, samples } from '../../../scripts/start/worker-metrics.ts';

describe('options', () => {
  it('sends traffic and shows the screen by default', () => {
    expect(parseOptions([])).toEqual({ rate: 200, forSeconds: null, json: false, docker: false, pipelines: null });
  });

  it('reads what scripts ask for', () => {
    expect(parseOptions(['--for', '60s', '--json', '--rate', '1000'])).toEqual({
      rate: 1_000,
      forSeconds: 60,
      json: true,
      docker: false,
      pipelines: null,
    });
    expect(parseOptions(['--no-traffic']).rate).toBeNull();
  });

  it.each([
    ['90', 90],
    ['60s', 60],
    ['5m', 300],
    ['1h', 3_600],
  ])('reads %s as %d seconds', (text, seconds) => expect(parseDuration(text)).toBe(seconds));

  it.each(['', '0', '-5s', '5 minutes', '1d'])('refuses the time "%s"', (text) => {
    expect(() => parseDuration(text)).toThrow(InvalidArgumentError);
  });
});

const PAGE = `# HELP sluice_records_total Input records
# TYPE sluice_records_total counter
sluice_records_total{worker="engagement.enrich"} 1500
sluice_records_total_other{worker="x"} 9
sluice_lag_records{worker="engagement.enrich",partition="0"} 3
sluice_lag_records{worker="engagement.enrich",partition="1"} 4
sluice_stream_time_seconds{worker="engagement.enrich",partition="0"} 99.5
sluice_stream_time_seconds{worker="engagement.enrich",partition="1"} 98
sluice_dead_letters_total{worker="engagement.enrich",reason="a } brace"} 2
process_open_fds 30
`;

describe('worker metrics', () => {
  it('finds the samples of a name and of no longer name', () => {
    expect(samples(PAGE, 'sluice_records_total')).toEqual([1_500]);
    expect(samples(PAGE, 'process_open_fds')).toEqual([30]);
    expect(samples(PAGE, 'sluice_nothing')).toEqual([]);
  });

  it('sums lag, takes the stalest partition, and the rate from two scrapes', () => {
    const first = figuresOf(PAGE, 100_000, undefined);
    expect(first.figures).toEqual({ recordsPerSecond: null, lagRecords: 7, freshnessSeconds: 2, deadLetters: 2 });
    const second = figuresOf(PAGE.replace('1500', '1900'), 102_000, first);
    expect(second.figures.recordsPerSecond).toBe(200);
  });

  it('has no rate across a restart', () => {
    const before = figuresOf(PAGE, 100_000, undefined);
    expect(figuresOf(PAGE.replace('1500', '10'), 101_000, before).figures.recordsPerSecond).toBeNull();
  });
});

describe('usage', () => {
  it.each([
    ['00:00:07', 7],
    ['01:02:03', 3_723],
    ['2-00:00:01', 172_801],
    ['12:34.56', 754.56],
  ])('reads the CPU time %s', (text, seconds) => expect(cpuTime(text)).toBeCloseTo(seconds));

  it('adds up a process and its descendants', () => {
    const at = (seconds: number) =>
      parsePs(
        `  10     1  1024 00:00:0${seconds}\n  11    10  2048 00:00:01\n  12    11  1024 00:00:00\n  99     1  4096 00:01:00\n`,
      );
    const meter = new UsageMeter();
    expect(meter.add(at(1), [10], 0).get(10)).toEqual({ cpuPercent: null, memoryMiB: 4 });
    expect(meter.add(at(3), [10], 4_000).get(10)).toEqual({ cpuPercent: 50, memoryMiB: 4 });
    expect(meter.add(at(3), [13], 5_000).has(13)).toBe(false);
  });

  it('measures CPU over the last seconds, not since the start', () => {
    const meter = new UsageMeter(10_000);
    const at = (seconds: number) => [{ pid: 1, parent: 0, rssKiB: 0, cpuSeconds: seconds }];
    for (let second = 0; second <= 60; second += 1) meter.add(at(0), [1], second * 1_000);
    expect(meter.add(at(5), [1], 61_000).get(1)?.cpuPercent).toBe(50);
  });
});

describe('the end of a bounded run', () => {
  it('takes a verdict only together with a report', () => {
    const report = lastJson('comparing…\n{"equal":true}\n');
    expect(report).toEqual({ equal: true });
    expect([0, 1, 2].map((code) => verdictOf(code, report))).toEqual(['equal', 'different', 'unknown']);
    const crash = lastJson('Error: Cannot find module\n{ code: 1 }\n');
    expect([0, 1].map((code) => verdictOf(code, crash))).toEqual(['unknown', 'unknown']);
  });

  it('is equal when every pipeline is, and different when one is', () => {
    expect(overall(['equal', 'equal'])).toBe('equal');
    expect(overall(['equal', 'unknown'])).toBe('unknown');
    expect(overall(['unknown', 'different', 'equal'])).toBe('different');
    expect(overall([])).toBe('unknown');
  });

  it('finds nothing wrong with what is up, ready and never restarted', () => {
    const row = (more: Partial<ProcessRow>): ProcessRow => ({
      name: 'kafka',
      kind: 'server',
      state: 'up',
      ready: null,
      pid: 1,
      restarts: 0,
      cpuPercent: null,
      memoryMiB: null,
      figures: null,
      detail: null,
      ...more,
    });
    const problems = (...rows: readonly ProcessRow[]) => problemsOf({ rows } as unknown as ScreenState);
    expect(problems(row({}), row({ ready: { ok: true, reason: '4 partitions' } }))).toEqual([]);
    expect(problems(row({ state: 'backoff', detail: 'exit code 1' }))).toEqual(['kafka is backoff: exit code 1']);
    expect(problems(row({ ready: { ok: false, reason: 'opening' } }))).toEqual(['kafka is not ready: opening']);
    expect(problems(row({ restarts: 2 }))).toEqual(['kafka was restarted 2 times: ']);
  });
});

it('reads the containers of old and new versions of docker compose', () => {
  const one = { Service: 'kafka', State: 'running', Health: 'healthy' };
  const two = { Service: 'redis', State: 'exited', Health: '' };
  expect(parseContainers(JSON.stringify([one, two]))).toEqual([one, two]);
  expect(parseContainers(`${JSON.stringify(one)}\n${JSON.stringify(two)}\n`)).toEqual([one, two]);
  expect(parseContainers('\n')).toEqual([]);
});

it('shows where to connect by the ports in use, and what to ask for', () => {
  const env = {
    SLUICE_CLICKHOUSE_URL: 'http://127.0.0.1:21006',
    SLUICE_CLICKHOUSE_DATABASE: 'sluice',
    SLUICE_REDIS_URL: 'redis://127.0.0.1:21005',
    SLUICE_KAFKA_BROKERS: '127.0.0.1:21000',
    SLUICE_POSTGRES_URL: 'postgres://postgres:x@127.0.0.1:21004/sluice',
    SLUICE_REGISTRY_URL: 'http://127.0.0.1:21002/apis/ccompat/v7',
  };
  const pipelines = shownOf(['engagement', 'prices']);
  const commands = connectionsOf(pipelines, env, [null, 'ACME']).map((connection) => connection.try);
  for (const port of ['21006', '21005', '21000', '21004', '21002']) {
    expect(commands.some((command) => command.includes(port))).toBe(true);
  }
  expect(commands.filter((command) => command.includes('ACME'))).toHaveLength(2);
  for (const command of commands) expect(command.length).toBeLessThanOrEqual(87);
});

it('lets the token of a run into the market feed for as long as it runs, and leaves others alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-feed-'));
  try {
    const file = join(folder, 'tokens');
    const other = newToken('desk-1');
    writeFileSync(file, other.line);
    const names = () => parseTokens(readFileSync(file, 'utf8')).map(({ name }) => name);
    const env = { SLUICE_PRICES_GATEWAY_TOKENS_FILE: file, SLUICE_PRICES_GATEWAY_PORT: '21009' };
    openFeedSession(env); // killed: it takes nothing back
    const session = openFeedSession(env);
    expect(names()).toEqual(['desk-1', 'npm-start']);
    const token = readFileSync(sessionTokenFile(file), 'utf8');
    expect(identify(parseTokens(readFileSync(file, 'utf8')), token, 0)?.name).toBe('npm-start');
    expect(session.connections[0]?.try).toBe(`ws://127.0.0.1:21009/ws/market  token ${token}`);
    session.close();
    expect(names()).toEqual(['desk-1']);
    expect(existsSync(sessionTokenFile(file))).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
