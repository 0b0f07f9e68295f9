/** `npm start`: servers, deployment, workers, sample traffic, and one live screen. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeTargets } from '../infra/native/alerting.ts';
import { describe, StackError } from '../infra/native/error.ts';
import { stackPlace } from '../infra/native/layout.ts';
import type { ProcessStatus } from '../infra/native/process.ts';
import { loadConfig } from '../pipelines/config.ts';
import { MARKET_GATEWAY } from '../pipelines/prices/gateway/create.ts';
import { processesOf } from '../pipelines/processes.ts';
import { Children } from './start/children.ts';
import { deploy } from './start/deploy.ts';
import { startDocker } from './start/docker.ts';
import { type FeedSession, openFeedSession } from './start/feed.ts';
import { finish, type Summary } from './start/finish.ts';
import { Gatherer } from './start/gather.ts';
import { parseOptions, type StartOptions } from './start/options.ts';
import { shownOf } from './start/pipelines.ts';
import { render, summaryLine } from './start/screen.ts';
import { type Servers, startNative } from './start/servers.ts';
import type { ShownPipeline } from './start/shown.ts';
import type { ScreenState } from './start/state.ts';
import { Terminal } from './start/terminal.ts';
import { endForCertain } from './support/ending.ts';

const SCREEN_EVERY_MS = 1_000;
const LINE_EVERY_MS = 5_000;
const MAX_NOTICES = 20;

/** Where progress goes: with --json only the summary belongs on standard output. */
class Reporter {
  readonly notices: string[] = [];
  readonly terminal: Terminal | null;
  readonly #toStderr: boolean;
  #drawing = false;

  constructor({ json }: StartOptions) {
    this.#toStderr = json;
    this.terminal = !json && process.stdout.isTTY ? new Terminal(process.stdout) : null;
  }

  say(text: string): void {
    if (this.#drawing) return;
    if (this.#toStderr) console.error(text);
    else console.log(text);
  }

  /** A process changed: on a terminal what is of interest becomes a notice, elsewhere every change is a line. */
  changed({ name, state, detail }: ProcessStatus): void {
    const line = `${name}: ${state}${detail === null || state === 'up' ? '' : ` (${detail})`}`;
    if (state === 'backoff' || state === 'failed') this.warn(line);
    else this.say(line);
  }

  /** Something to know about: a line, and on the screen for as long as nothing newer takes its place. */
  warn(text: string): void {
    this.say(text);
    this.notices.push(`${new Date().toISOString().slice(11, 19)} ${text}`);
    if (this.notices.length > MAX_NOTICES) this.notices.shift();
  }

  draw(state: ScreenState): void {
    if (this.terminal === null) {
      this.say(summaryLine(state));
      return;
    }
    this.#drawing = true;
    this.terminal.draw(render(state, { ...this.terminal.size, color: true }));
  }

  /** Back to plain lines. */
  end(): void {
    this.#drawing = false;
    this.terminal?.close();
  }
}

/** Aborts on the first signal, or when who started us is gone; a second signal does not wait: the reapers clean up. */
function stopSignal(reporter: Reporter): AbortSignal {
  const stopping = new AbortController();
  const stop = () => {
    if (stopping.signal.aborted) process.exit(130);
    stopping.abort();
    reporter.end();
    reporter.say('Stopping …');
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent && !stopping.signal.aborted) stop();
  }, 1_000).unref();
  return stopping.signal;
}

interface Running {
  readonly servers: Servers;
  readonly children: Children;
  readonly env: NodeJS.ProcessEnv;
  readonly pipelines: readonly ShownPipeline[];
  readonly feed: FeedSession | null;
}

async function watch(
  running: Running,
  options: StartOptions,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<Summary | null> {
  const { servers, children, env, pipelines, feed } = running;
  const logs = join(servers.env.SLUICE_HOME ?? '', 'logs');
  const gatherer = new Gatherer({
    servers,
    children,
    pipelines,
    env,
    rate: options.rate,
    moreConnections: feed?.connections ?? [],
    logs,
    notices: () => reporter.notices,
  });
  const endsAt = options.forSeconds === null ? Number.POSITIVE_INFINITY : Date.now() + options.forSeconds * 1_000;
  const everyMs = reporter.terminal === null ? LINE_EVERY_MS : SCREEN_EVERY_MS;
  try {
    while (!signal.aborted) {
      const state = await gatherer.state();
      if (signal.aborted) return null;
      reporter.draw(state);
      if (Date.now() >= endsAt) {
        reporter.end();
        reporter.say('Comparing everything with Postgres');
        return await finish(children, state, { env, signal, pipelines });
      }
      await delay(Math.min(everyMs, Math.max(0, endsAt - Date.now())), undefined, { signal }).catch(() => undefined);
    }
    return null;
  } finally {
    await gatherer.close();
  }
}

function report(summary: Summary, json: boolean): void {
  if (json) console.log(JSON.stringify(summary));
  else {
    for (const problem of summary.problems) console.log(problem);
    console.log(`healthy: ${summary.healthy ? 'yes' : 'no'}, compared with Postgres: ${summary.reconcile}`);
    for (const [name, { reconcile, details }] of Object.entries(summary.pipelines)) {
      if (reconcile !== 'equal') console.log(`${name}: ${reconcile}`, details);
    }
  }
  process.exitCode = summary.ok ? 0 : 1;
}

function workersOf(pipelines: readonly ShownPipeline[], env: NodeJS.ProcessEnv): readonly string[] {
  const names = pipelines.map(({ name }) => name);
  const workers = processesOf(names).filter((name) => name !== 'engagement.mirror' || env.SLUICE_MIRROR_KAFKA_BROKERS);
  return names.includes('prices') ? [...workers, MARKET_GATEWAY] : workers;
}

async function startTraffic(children: Children, pipelines: readonly ShownPipeline[], rate: number): Promise<void> {
  const now = Date.now();
  await Promise.all(pipelines.map(({ name, traffic }) => children.startTraffic(`${name}.traffic`, traffic(rate, now))));
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  const reporter = new Reporter(options);
  const signal = stopSignal(reporter);
  const say = (text: string) => reporter.say(text);
  const onChange = (status: ProcessStatus) => reporter.changed(status);
  const undo: (() => Promise<void>)[] = [];
  let summary: Summary | null = null;
  try {
    const start = options.docker ? startDocker : startNative;
    const servers = await start({ ...stackPlace(process.env), signal, say, onChange });
    undo.push(() => servers.stop());
    const chosen = options.pipelines === null ? {} : { SLUICE_PIPELINES: options.pipelines };
    const env: NodeJS.ProcessEnv = { ...process.env, ...servers.env, ...chosen };
    const pipelines = shownOf(loadConfig(env).SLUICE_PIPELINES);
    const untilConnect = () => servers.untilConnect();
    await deploy({ env, untilConnect, signal, say, warn: (text) => reporter.warn(text) });
    const workers = workersOf(pipelines, env);
    const home = servers.env.SLUICE_HOME ?? '';
    const feed = workers.includes(MARKET_GATEWAY) ? openFeedSession(env) : null;
    if (feed !== null) undo.push(async () => feed.close());
    const children = new Children({ home, env, metricsPort: servers.metricsPort, workers, onChange });
    undo.push(() => children.stop());
    writeTargets(
      home,
      children.workers.map(({ name, port }) => ({ worker: name, port })),
    );
    await children.startWorkers();
    if (options.rate !== null) await startTraffic(children, pipelines, options.rate);
    summary = await watch({ servers, children, env, pipelines, feed }, options, reporter, signal);
  } catch (error) {
    // What fails because we are stopping is no news.
    if (!signal.aborted) throw error;
  } finally {
    reporter.end();
    for (const step of undo.reverse()) await step().catch((error: unknown) => say(describe(error)));
  }
  if (summary !== null) return report(summary, options.json);
  if (options.forSeconds !== null)
    throw new StackError('INTERRUPTED', 'Interrupted before the end.', 'Start it again.');
  say('Stopped.');
}

endForCertain();
try {
  await main();
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
}
// Whatever a library left open must not hold the terminal; the exit code is set above.
process.exit();
