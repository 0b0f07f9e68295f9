/** `npm start` as it is typed, in a home and on ports of its own, and what it leaves behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../../infra/native/layout.ts';
import { poll, portIsFree } from '../../infra/native/probe.ts';
import { removeStack } from '../../infra/native/stack.ts';
import { freePortBase } from './ports.ts';

/** Ten ports for servers, ten for the workers' metrics. */
const TENS = 2;

export class StartHome {
  readonly home = mkdtempSync(join(tmpdir(), 'sluice-start-'));
  readonly #portBase: number;
  readonly #started: NpmStart[] = [];

  private constructor(portBase: number) {
    this.#portBase = portBase;
  }

  static async make(): Promise<StartHome> {
    return new StartHome(await freePortBase(TENS));
  }

  start(...args: readonly string[]): NpmStart {
    const env = { ...process.env, SLUICE_HOME: this.home, SLUICE_PORT_BASE: String(this.#portBase) };
    const started = new NpmStart(args, env);
    this.#started.push(started);
    return started;
  }

  /** What is still there of it: processes (after a moment for those that are about to go), locks, ports in use. */
  async left(): Promise<{
    readonly processes: readonly string[];
    readonly locks: readonly string[];
    readonly ports: readonly number[];
  }> {
    await poll(() => this.#processes().length === 0, { timeoutMs: 20_000 });
    const ports: number[] = [];
    for (let port = this.#portBase; port < this.#portBase + TENS * 10; port++) {
      if (!(await portIsFree(port))) ports.push(port);
    }
    const locks = readdirSync(this.home).filter((name) => name.endsWith('.lock'));
    return { processes: this.#processes(), locks, ports };
  }

  async remove(): Promise<void> {
    for (const one of this.#started) await one.end();
    removeStack(this.home);
  }

  /** All of them have the home in their environment. Elsewhere than on Linux locks and ports have to do. */
  #processes(): readonly string[] {
    if (!existsSync('/proc')) return [];
    const mark = `SLUICE_HOME=${this.home}\0`;
    return readdirSync('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid)) return [];
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        // Gone meanwhile.
        return [];
      }
    });
  }
}

/** One run, with its output so far. */
export class NpmStart {
  stdout = '';
  stderr = '';
  readonly closed: Promise<unknown>;
  readonly #child: ChildProcess;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    const child = spawn('npm', ['start', '--', ...args], { cwd: REPOSITORY, env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.closed = once(child, 'close');
    this.#child = child;
  }

  /** Null while it runs. */
  get code(): number | null {
    return this.#child.exitCode;
  }

  /** As a supervisor does it. */
  async end(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    await this.closed;
  }
}
