/** What the parts of a stack say of themselves when a comparison could not be made: its folder is gone by the time somebody reads of it. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Stack } from '../../infra/native/stack.ts';
import type { Children } from '../../scripts/start/children.ts';

const run = promisify(execFile);

const LINES = 25;
/** A client says it at each attempt to reach a broker that is away. */
const NOISE = /NetworkClient:/;
/** Where Connect's threads hang when they do: the task, the herder, the readers of its own topics. */
const THREADS = /^"(?:task-thread|DistributedHerder|KafkaBasedLog|debezium)/;

export async function diagnosis(stack: Stack, workers: readonly Children[]): Promise<string> {
  const ofWorkers = workers.flatMap((set) =>
    set.workers.map(async ({ name, scraper, process: { spec } }) => {
      const { reason } = await scraper.ready();
      return `${name}: ${reason}\n${warnings(spec.logFile, /"level":(?:4|5|6)0/)}`;
    }),
  );
  const parts = await Promise.all([
    connectorStatus(stack),
    ...['connect', 'kafka'].map(async (server) => {
      return `${server}:\n${warnings(join(stack.home, 'logs', `${server}.log`), / (?:WARN|ERROR) /)}`;
    }),
    connectThreads(stack),
    ...ofWorkers,
  ]);
  return parts.join('\n');
}

/** The last lines of a log that matter. */
function warnings(file: string, matters: RegExp): string {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines
      .filter((line) => matters.test(line) && !NOISE.test(line))
      .slice(-LINES)
      .map((line) => `  ${line.slice(0, 500)}`)
      .join('\n');
  } catch (error) {
    return `  ${String(error)}`;
  }
}

async function connectorStatus({ env }: Stack): Promise<string> {
  const url = `${env.SLUICE_CONNECT_URL}/connectors?expand=status`;
  const answer = fetch(url, { signal: AbortSignal.timeout(10_000) });
  return `connectors: ${await answer.then(async (response) => await response.text(), String)}`;
}

async function connectThreads(stack: Stack): Promise<string> {
  const pid = stack.pids().connect;
  if (pid === null) return 'threads of Connect: it does not run';
  const dump = await run('jstack', [String(pid)], { timeout: 20_000, maxBuffer: 16 << 20 }).then(
    ({ stdout }) => stdout,
    String,
  );
  const threads = dump.split('\n\n').filter((thread) => THREADS.test(thread));
  return `threads of Connect:\n${threads.map((thread) => thread.split('\n').slice(0, 20).join('\n')).join('\n')}`;
}
