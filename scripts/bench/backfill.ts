/** `bench backfill`: rows that nobody captured are read beside live traffic, and the script is killed twice on the way. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CONNECTOR_NAME } from '../../connectors/debezium/config.ts';
import { ConnectApi } from '../../connectors/debezium/connect-api.ts';
import { registerConnector } from '../../connectors/debezium/register.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { SluiceError } from '../../engine/errors.ts';
import { REPOSITORY } from '../../infra/native/layout.ts';
import { loadConfig } from '../../pipelines/config.ts';
import { Ledger } from '../../pipelines/operations/backfill/ledger.ts';
import { Children } from '../start/children.ts';
import { deploy } from '../start/deploy.ts';
import { mustRun } from '../start/task.ts';
import { redisReader, summaryOf } from './freshness.ts';
import type { LatencySummary } from './latency.ts';
import { type OwnStack, startOwnStack } from './own-stack.ts';
import { type Machine, machine } from './proc.ts';
import { round } from './rates.ts';
import { startTraffic } from './traffic-child.ts';

export interface BackfillBenchOptions {
  /** That nobody captured. */
  readonly rows: number;
  /** Rows a second at most. */
  readonly rate: number;
  /** Live events a second. */
  readonly liveRate: number;
  /** Of live traffic alone, to compare with. */
  readonly aloneSeconds: number;
  readonly contents: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

export interface BackfillBenchResult {
  /** Read by the run: all that nobody had captured. */
  readonly rows: number;
  readonly liveRate: number;
  /** From the first start of the script until every row was in the topic, the kills included. */
  readonly seconds: number;
  readonly rowsPerSecond: number;
  readonly kills: number;
  /** Commit to Redis: live traffic alone, and while the backfill ran. */
  readonly alone: LatencySummary;
  readonly beside: LatencySummary;
  /** What the script's comparison said at the end. */
  readonly compared: string;
  readonly machine: Machine;
}

const WORKERS = ['engagement.enrich', 'engagement.leaderboard', 'engagement.sink.clickhouse', 'engagement.sink.redis'];
const WARM_UP_MS = 15_000;
const STEP_MS = 120_000;
const FILL_ROWS = 50_000;
const LOOK_MS = 200;
/** At this slow a rate something is wrong. */
const MIN_ROWS_PER_SECOND = 200;
const FINISH_MS = 900_000;

/** Runs it. Throws what the servers, the workers, the traffic and the script throw. */
export async function backfillBench(options: BackfillBenchOptions): Promise<BackfillBenchResult> {
  const own = await startOwnStack(options);
  const undo: (() => Promise<void> | void)[] = [() => own.stack.stop({ remove: true })];
  try {
    const { env } = own;
    await deploy({ env, signal: options.signal, say: options.say, warn: options.say });
    const children = new Children({
      home: own.home,
      env,
      metricsPort: own.stack.ports.metrics,
      workers: WORKERS,
      onChange: () => {},
    });
    undo.push(() => children.stop());
    await children.startWorkers();
    const { SLUICE_POSTGRES_URL: url } = loadConfig(env);
    const pool = new PostgresPool({ url, applicationName: 'sluice-bench', statementTimeoutMs: STEP_MS });
    undo.push(() => pool.close());
    await fillUnheard(options, own, pool);
    return await measured(options, own, pool, undo);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/** Rows from before capture began. */
async function fillUnheard(options: BackfillBenchOptions, { env }: OwnStack, pool: PostgresPool): Promise<void> {
  const api = new ConnectApi(loadConfig(env).SLUICE_CONNECT_URL);
  const config = await api.config(CONNECTOR_NAME);
  await mustRun('connector.ts', ['delete', '--forget'], { env, timeoutMs: STEP_MS });
  options.say(`Writing ${options.rows} rows that nobody captures`);
  await pool.query(
    `INSERT INTO content SELECT md5('c' || n)::uuid, 'unheard-' || n, 'Unheard ' || n, 'video', 60 + n % 3600, now()
     FROM generate_series(1, $1) AS n`,
    [options.contents],
  );
  for (let from = 0; from < options.rows; from += FILL_ROWS) {
    await pool.query(
      `INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)
       SELECT md5('c' || 1 + n % $1)::uuid, md5('u' || n % 5000)::uuid, 'play', now() - interval '1 second' * (n % 432000), n % 90000, 'web'
       FROM generate_series($2::bigint, $3::bigint) AS n`,
      [options.contents, from + 1, Math.min(from + FILL_ROWS, options.rows)],
    );
  }
  await pool.query('ANALYZE engagement_events');
  await registerConnector(api, { name: CONNECTOR_NAME, config: { ...config, 'snapshot.mode': 'no_data' } });
}

async function measured(
  options: BackfillBenchOptions,
  own: OwnStack,
  pool: PostgresPool,
  undo: (() => Promise<void> | void)[],
): Promise<BackfillBenchResult> {
  const { rows, rate, liveRate, say, signal } = options;
  const config = loadConfig(own.env);
  say(`Traffic: ${liveRate} events/s`);
  const traffic = startTraffic(
    ['--rate', String(liveRate), '--seconds', '0', '--seed', String(options.seed), '--updates', '4', '--deletes', '1'],
    own.env,
  );
  undo.push(() => traffic.stop());
  await delay(WARM_UP_MS, undefined, { signal });
  const reader = () => redisReader(config.SLUICE_REDIS_URL, config.SLUICE_PARTITIONS);
  const timed = async (work: () => Promise<void>): Promise<LatencySummary> => {
    const redis = reader();
    try {
      redis.tracker.begin(Date.now());
      await work();
      redis.tracker.end(Date.now());
      return summaryOf(redis.tracker.latencies);
    } finally {
      await redis.close();
    }
  };
  say('Measuring the traffic alone');
  const alone = await timed(async () => await delay(options.aloneSeconds * 1_000, undefined, { signal }));
  say(`Backfill at up to ${rate} rows/s, killed after a third and after two thirds`);
  // Live rows are captured as they come: to read them too would be another measurement.
  const script = new Script(own.env, ['--rate', String(rate), '--where', `id <= ${rows}`]);
  undo.push(() => script.kill());
  const ledger = new Ledger(pool);
  const startedMs = performance.now();
  let seconds = 0;
  const beside = await timed(async () => {
    for (const part of [1 / 3, 2 / 3, null]) {
      script.start();
      const wanted = part === null ? null : rows * part;
      await untilRead(ledger, {
        rows: wanted,
        deadlineMs: 60_000 + (rows / MIN_ROWS_PER_SECOND) * 1_000,
        script,
        signal,
      });
      if (part !== null) await script.kill();
    }
    seconds = round((performance.now() - startedMs) / 1_000, 1);
  });
  say('Everything is read: the traffic ends, and the script looks for rows to take off and compares');
  const [run] = await ledger.newest(1);
  await traffic.stop();
  const compared = await script.end(FINISH_MS);
  const read = run!.progress.rowsRead;
  return {
    rows: read,
    liveRate,
    seconds,
    rowsPerSecond: Math.round(read / seconds),
    kills: 2,
    alone,
    beside,
    compared,
    machine: machine(),
  };
}

interface Wait {
  /** null: all. */
  readonly rows: number | null;
  readonly deadlineMs: number;
  readonly script: Script;
  readonly signal: AbortSignal;
}

async function untilRead(ledger: Ledger, { rows, deadlineMs, script, signal }: Wait): Promise<void> {
  const sinceMs = performance.now();
  for (;;) {
    const [run] = await ledger.newest(1);
    const progress = run?.progress;
    if (progress !== undefined) {
      const all = progress.step >= progress.steps.length;
      if (all || (rows !== null && progress.rowsRead >= rows)) return;
    }
    if (script.failure !== null || performance.now() - sinceMs > deadlineMs) {
      throw new SluiceError(`The backfill does not come on: ${script.failure ?? 'it is too slow'}`, {
        code: 'BENCH_TIMEOUT',
        action: 'fatal',
      });
    }
    await delay(LOOK_MS, undefined, { signal });
  }
}

/** The operator's command, as a process that can be killed. */
class Script {
  readonly #env: NodeJS.ProcessEnv;
  readonly #options: readonly string[];
  #child: ChildProcess | null = null;
  #output = '';

  constructor(env: NodeJS.ProcessEnv, options: readonly string[]) {
    this.#env = env;
    this.#options = options;
  }

  /** What it said when it ended by itself too early. */
  get failure(): string | null {
    const code = this.#child?.exitCode ?? null;
    return code === null || code === 0 ? null : this.#output.slice(-2_000);
  }

  start(): void {
    const args = ['--table', 'engagement_events', ...this.#options, '--yes', '--json'];
    this.#output = '';
    this.#child = spawn(process.execPath, [join(REPOSITORY, 'scripts', 'backfill.ts'), ...args], {
      cwd: REPOSITORY,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString('utf8')).slice(-100_000);
      });
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  /** The verdict of its comparison. */
  async end(deadlineMs: number): Promise<string> {
    const child = this.#child;
    if (child !== null && child.exitCode === null) {
      await once(child, 'close', { signal: AbortSignal.timeout(deadlineMs) });
    }
    const last = this.#output.split('\n').findLast((line) => line.startsWith('{'));
    const report = last === undefined ? null : (JSON.parse(last) as { result?: { compared?: { result?: string } } });
    return report?.result?.compared?.result ?? `no report: ${this.#output.slice(-500)}`;
  }
}
