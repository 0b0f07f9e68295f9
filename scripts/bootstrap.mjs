/**
 * What every npm script goes through: makes sure that the packages are there, then runs the target on Node 24. Plain JavaScript
 * without a dependency, since it must run on any Node from 20 and before anything is installed.
 *
 *   node scripts/bootstrap.mjs scripts/start.ts [arguments]     a script of ours
 *   node scripts/bootstrap.mjs vitest run                       a program of node_modules/.bin
 *
 * Scripts read what the environment does not say from the file that a running stack writes (`.sluice/env`). The servers
 * (Java, Maven, jars) are fetched by who starts them: see infra/native/tools.ts.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BIN = join(ROOT, 'node_modules', '.bin');
const NODE_MAJOR = 24;
const LOCK_TIMEOUT_MS = 600_000;
/** A lock folder without its owner's file for this long was left by a crash between two instructions. */
const OWNERLESS_MS = 10_000;

const [target, ...args] = process.argv.slice(2);

function fail(message, wayOut) {
  console.error(`${message}\n  → ${wayOut}`);
  process.exit(1);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Whether node_modules holds what the lockfile asks for. npm writes its own record at the very end of an installation. */
function packagesAreReady() {
  const wanted = readJson(join(ROOT, 'package-lock.json'))?.packages ?? {};
  const installed = readJson(join(ROOT, 'node_modules', '.package-lock.json'))?.packages;
  if (installed === undefined || node24() === undefined) return false;
  return Object.entries(wanted).every(
    ([path, { optional, version }]) => path === '' || optional === true || installed[path]?.version === version,
  );
}

/** Node 24 or newer: the one from npm, else the one we run on. */
function node24() {
  const ours = join(BIN, 'node');
  if (existsSync(ours)) return ours;
  return Number(process.versions.node.split('.')[0]) >= NODE_MAJOR ? process.execPath : undefined;
}

function run(command, commandArgs, options = {}) {
  return new Promise((done) => {
    const child = spawn(command, commandArgs, { cwd: ROOT, stdio: 'inherit', ...options });
    child.once('error', () => done(127));
    child.once('exit', (code) => done(code ?? 1));
  });
}

async function installPackages() {
  console.error('Installing the npm packages (once, about a minute) …');
  const npm = process.env.npm_execpath;
  // Not `npm ci`: it refuses a lockfile that lacks the optional packages of a platform that nobody here runs. This one installs
  // the lockfile's versions, checks their hashes and writes nothing back.
  const npmArgs = [
    'install',
    '--no-save',
    '--ignore-scripts',
    '--loglevel=error',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
  ];
  // Progress and errors belong to standard error: the output of `--json` scripts must stay clean.
  const options = { stdio: ['ignore', process.stderr, process.stderr] };
  const code =
    npm === undefined || !npm.endsWith('.js')
      ? await run('npm', npmArgs, options)
      : await run(process.execPath, [npm, ...npmArgs], options);
  if (code !== 0)
    fail(`npm install failed (exit code ${code}).`, 'Read its message above; check the network, then run it again.');
  if (node24() === undefined) {
    const how =
      'Install Node 24 and run this again:\n    Debian, Fedora: see nodejs.org, or nvm install 24\n    macOS: brew install node@24';
    fail(`npm has no Node 24 for ${process.platform}-${process.arch}, and this one is ${process.version}.`, how);
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Whether the lock folder was left behind by a process that is gone. */
function isAbandoned(lock) {
  try {
    const owner = Number(readFileSync(join(lock, 'pid'), 'utf8'));
    return !isAlive(owner);
  } catch {
    const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
    return made !== undefined && Date.now() - made > OWNERLESS_MS;
  }
}

/** Removes an abandoned lock. Two waiters may come to it at once: the fresh lock of the faster one is put back. */
function takeAway(lock) {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    if (!isAbandoned(aside)) renameSync(aside, lock);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  rmSync(aside, { recursive: true, force: true });
}

/** Runs `work` while no other bootstrap of this clone does. */
async function alone(work) {
  const lock = join(ROOT, '.sluice', 'setup.lock');
  mkdirSync(dirname(lock), { recursive: true });
  const deadline = Date.now() + LOCK_TIMEOUT_MS;
  for (let said = false; ; said = true) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (Date.now() > deadline) fail('Another setup of this folder does not end.', `Stop it, or remove ${lock}`);
    if (isAbandoned(lock)) takeAway(lock);
    else {
      if (!said) console.error('Another process is installing the packages: waiting …');
      await delay(200);
    }
  }
  const release = () => {
    rmSync(join(lock, 'pid'), { force: true });
    if (existsSync(lock)) rmdirSync(lock);
  };
  process.once('exit', release);
  writeFileSync(join(lock, 'pid'), String(process.pid));
  await work();
  process.removeListener('exit', release);
  release();
}

/** Runs the target in our place: same terminal, signals passed on, its exit code ours. */
function handOver() {
  const home = resolve(ROOT, process.env.SLUICE_HOME ?? '.sluice');
  const env = {
    // Compiled code is kept between runs, for the target and every process it starts: that halves the work of a start.
    NODE_COMPILE_CACHE: join(ROOT, 'node_modules', '.cache', 'node'),
    ...process.env,
    PATH: `${BIN}${delimiter}${process.env.PATH ?? ''}`,
  };
  const settings = join(home, 'env');
  const fromStack = existsSync(settings) ? [`--env-file=${settings}`] : [];
  const child = target.endsWith('.ts')
    ? spawn(node24(), [...fromStack, join(ROOT, target), ...args], {
        stdio: 'inherit',
        env,
      })
    : spawn(join(BIN, target), args, { stdio: 'inherit', env, cwd: ROOT });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal's Ctrl-C reaches the whole foreground group by itself; a second one would mean "now!" to the target.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  // npm that is told to end ends the shell between us, which passes nothing on; npm that was killed cannot.
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.env.npm_lifecycle_event === undefined || process.ppid === parent) return;
    clearInterval(watch);
    child.kill('SIGTERM');
  }, 500).unref();
  child.once('error', (error) =>
    fail(`${target} could not be started: ${error.message}`, 'Remove node_modules and try again.'),
  );
  child.once('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 1)));
}

if (target === undefined) fail('Nothing to run.', 'node scripts/bootstrap.mjs scripts/NAME.ts');
if (!packagesAreReady()) {
  await alone(async () => {
    if (!packagesAreReady()) await installPackages();
  });
}
handOver();
