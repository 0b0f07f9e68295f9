/** npm run stack: the servers alone, in the background. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, StackError } from '../infra/native/error.ts';
import { layoutOf, SERVICES, type Service, stackEnv, stackPlace } from '../infra/native/layout.ts';
import { isRunning } from '../infra/native/lock.ts';
import { poll } from '../infra/native/probe.ts';
import { holderOf } from '../infra/native/record.ts';
import { removeStack, runningStack, type StackEvent, startStack } from '../infra/native/stack.ts';
import { endForCertain } from './support/ending.ts';

const UP_TIMEOUT_MS = 600_000;
const DOWN_TIMEOUT_MS = 60_000;

const place = stackPlace(process.env);
const logOf = (service: string) => join(place.home, 'logs', `${service}.log`);

function parseServices(list: string): readonly Service[] {
  return list.split(',').map((name) => {
    const found = SERVICES.find((service) => service === name.trim());
    if (found === undefined) throw new RangeError(`no server "${name}"; there are ${SERVICES.join(', ')}`);
    return found;
  });
}

function printEvent(event: StackEvent): void {
  if (event.kind === 'progress') {
    console.log(event.text);
    return;
  }
  const { name, state, detail } = event.status;
  console.log(`${name} ${state}${detail === null ? '' : ` (${detail})`}`);
}

/** Runs the stack in this process until a signal comes. */
async function supervise(services?: readonly Service[]): Promise<void> {
  const stopping = new AbortController();
  // Handlers first: a signal during the start must not end us half-way.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  const stack = await startStack({ ...place, services, onEvent: printEvent, signal: stopping.signal });
  console.log('ready');
  const alive = setInterval(() => undefined, 60_000);
  if (!stopping.signal.aborted) await new Promise((done) => stopping.signal.addEventListener('abort', done));
  clearInterval(alive);
  await stack.stop();
}

async function up(options: { readonly services?: readonly Service[] }): Promise<void> {
  if (runningStack(place.home) !== undefined) return status({});
  layoutOf(place.home, place.portBase);
  const log = openSync(logOf('stack'), 'w');
  const args = ['supervise', ...(options.services === undefined ? [] : ['--services', options.services.join(',')])];
  const child: ChildProcess = spawn(process.execPath, [import.meta.filename, ...args], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let exited = false;
  child.once('exit', () => {
    exited = true;
  });
  let shown = 0;
  const ready = await poll(
    () => {
      const text = readFileSync(logOf('stack'), 'utf8');
      const complete = text.slice(0, text.lastIndexOf('\n') + 1);
      process.stdout.write(complete.slice(shown));
      shown = complete.length;
      return exited || runningStack(place.home)?.ready === true;
    },
    { timeoutMs: UP_TIMEOUT_MS },
  );
  child.unref();
  if (exited || !ready) throw new StackError('NOT_UP', 'The stack did not come up.', `Read ${logOf('stack')}`);
  await status({});
  console.log(`\nstop it: npm run stack -- down     environment: npm run stack -- env`);
}

async function down(): Promise<void> {
  const running = runningStack(place.home);
  if (running === undefined) return console.log('not running');
  const holder = holderOf(running.launcher);
  process.kill(running.launcher, 'SIGTERM');
  const gone = await poll(() => holder === null || !isRunning(holder), { timeoutMs: DOWN_TIMEOUT_MS });
  if (!gone) {
    throw new StackError('NOT_DOWN', `Process ${running.launcher} does not end.`, `kill -9 ${running.launcher}`);
  }
  console.log('stopped');
}

async function status(options: { readonly json?: boolean }): Promise<void> {
  const running = runningStack(place.home);
  const allUp = running?.ready === true && running.services.every(({ state }) => state === 'up');
  if (options.json === true) {
    console.log(JSON.stringify({ home: place.home, running: running !== undefined, healthy: allUp, ...running }));
  } else if (running === undefined) {
    console.log(`not running (${place.home})`);
  } else {
    for (const { service, state, port, pid, restarts, detail } of running.services) {
      const note = restarts === 0 ? '' : `  ${restarts} restarts${detail === null ? '' : `, last: ${detail}`}`;
      console.log(`${service.padEnd(12)}${state.padEnd(10)}127.0.0.1:${port}  pid ${pid ?? '-'}${note}`);
    }
  }
  if (!allUp) process.exitCode = 1;
}

async function logs(service: string | undefined, options: { readonly lines: string }): Promise<void> {
  for (const name of service === undefined ? [...SERVICES, 'stack'] : [service]) {
    if (!existsSync(logOf(name))) continue;
    const lines = readFileSync(logOf(name), 'utf8').trimEnd().split('\n').slice(-Number(options.lines));
    console.log(`── ${logOf(name)}\n${lines.join('\n')}`);
  }
}

const program = new Command('stack').description('the servers of Sluice on this machine, without Docker');
program
  .command('up')
  .description('start in the background and wait until everything answers')
  .option('--services <list>', 'only these, separated by commas', parseServices)
  .action(up);
program.command('down').description('stop').action(down);
program.command('status').option('--json', 'for scripts').description('each server and its health').action(status);
program
  .command('logs [service]')
  .option('-n, --lines <count>', 'how many of the last lines', '40')
  .description('the end of the logs')
  .action(logs);
program
  .command('reset')
  .description('stop, and delete all data')
  .action(async () => {
    await down();
    if (existsSync(place.home)) removeStack(place.home);
    console.log(`${place.home} is empty`);
  });
program
  .command('env')
  .description('print the environment of its clients, for a shell')
  .action(() => {
    for (const [name, value] of Object.entries(stackEnv(place.home, place.portBase)))
      console.log(`export ${name}='${value}'`);
  });
program
  .command('supervise', { hidden: true })
  .option('--services <list>', 'only these', parseServices)
  .action((options: { readonly services?: readonly Service[] }) => supervise(options.services));

endForCertain();
try {
  await program.parseAsync();
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
}
