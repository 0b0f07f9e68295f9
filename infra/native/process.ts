/**
 * One supervised server process.
 *
 *   stopped ──start──► starting ──ready──► up ──exit──► backoff ──timer──► starting
 *                         │  └──exit──► backoff                             │
 *                         └─ too many exits in a row ─► failed ◄────────────┘
 *   any ──stop──► stopping ──exit──► stopped
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { StackError } from './error.ts';
import { poll } from './probe.ts';
import type { Reaper } from './reaper.ts';

export type ProcessState = 'stopped' | 'starting' | 'up' | 'backoff' | 'stopping' | 'failed';

export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** The system user and group to run as, when not our own. */
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly logFile: string;
  /** Whether the server answers; asked until it does. */
  readonly ready: () => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  /** It holds more than its folder (shared memory), and must end by itself even where its data is thrown away. */
  readonly endsByItself?: boolean;
}

export interface ProcessStatus {
  readonly name: string;
  readonly state: ProcessState;
  readonly pid: number | null;
  readonly restarts: number;
  /** Milliseconds since the epoch, of the last change of state. */
  readonly since: number;
  /** Why it last went down, for the screen. */
  readonly detail: string | null;
}

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** Up for this long, a process counts as healthy again and its backoff starts over. */
const STEADY_MS = 30_000;
/** Exits in a row, before it was ever up and after, until we give up and say so. */
const MAX_EXITS_BEFORE_UP = 4;
const MAX_EXITS_IN_A_ROW = 30;
const MAX_LOG_BYTES = 32 * 1024 * 1024;

export class SupervisedProcess {
  readonly spec: ProcessSpec;
  readonly #reaper: Reaper;
  readonly #onChange: (status: ProcessStatus) => void;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #state: ProcessState = 'stopped';
  #since = Date.now();
  #restarts = 0;
  #exitsInARow = 0;
  #everUp = false;
  #detail: string | null = null;
  /** Ends the loop of the present start; a later start has another. */
  #run = new AbortController();

  constructor(spec: ProcessSpec, reaper: Reaper, onChange: (status: ProcessStatus) => void) {
    this.spec = spec;
    this.#reaper = reaper;
    this.#onChange = onChange;
  }

  get status(): ProcessStatus {
    return {
      name: this.spec.name,
      state: this.#state,
      pid: this.#child?.pid ?? null,
      restarts: this.#restarts,
      since: this.#since,
      detail: this.#detail,
    };
  }

  /** Starts the process and keeps it running until `stop`; resolves when it is ready. Throws SERVICE_FAILED with the end of its log. */
  async start(): Promise<void> {
    if (this.#state !== 'stopped' && this.#state !== 'failed') return this.untilUp();
    this.#run = new AbortController();
    this.#exitsInARow = 0;
    this.#everUp = false;
    this.#enter('starting');
    void this.#supervise(this.#run.signal);
    await this.untilUp();
  }

  /** Resolves when the process is up. Throws SERVICE_FAILED when it is given up, stopped, or not up in time. */
  async untilUp(timeoutMs = this.spec.readyTimeoutMs + 5_000): Promise<void> {
    const settled = await poll(() => this.#state === 'up' || this.#state === 'failed' || this.#state === 'stopped', {
      timeoutMs,
      everyMs: 20,
    });
    if (settled && this.#state === 'up') return;
    throw new StackError(
      'SERVICE_FAILED',
      `${this.spec.name} did not come up (${this.#detail ?? this.#state}). The end of its log:\n${this.logTail()}`,
      `Read ${this.spec.logFile}; npm run stack -- reset starts over with empty data.`,
    );
  }

  /** Ends the process without a word where nothing of it is kept, else as `stop`. */
  async discard(): Promise<void> {
    if (this.spec.endsByItself === true) return await this.stop();
    this.#run.abort();
    const child = this.#child;
    if (child !== null) this.#signal(child, 'SIGKILL');
    await this.stop();
  }

  /** Ends the process, first politely, after its stop timeout with SIGKILL. */
  async stop(): Promise<void> {
    this.#run.abort();
    const child = this.#child;
    if (child !== null) {
      this.#enter('stopping');
      this.#signal(child, 'SIGCONT');
      this.#signal(child, this.spec.stopSignal);
      const gone = await Promise.race([
        this.#exited.then(() => true),
        delay(this.spec.stopTimeoutMs, false, { ref: false }),
      ]);
      if (!gone) this.#signal(child, 'SIGKILL');
      await this.#exited;
    }
    if (this.#state !== 'stopped') this.#enter('stopped');
  }

  /** Sends a signal to the process itself; after SIGKILL it resolves when the process has gone. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) return;
    const exited = this.#exited;
    process.kill(child.pid, signal);
    if (signal === 'SIGKILL') await exited;
  }

  logTail(lines = 15): string {
    try {
      return readFileSync(this.spec.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '(no log)';
    }
  }

  async #supervise(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#state !== 'starting') this.#enter('starting');
      const startedAt = Date.now();
      const exited = this.#spawn();
      const ready = await this.#waitReady(signal, exited);
      if (signal.aborted) return;
      if (ready) {
        this.#everUp = true;
        this.#enter('up');
      } else if (this.#child !== null) {
        this.#detail = `not ready after ${this.spec.readyTimeoutMs / 1000} s`;
        this.#signal(this.#child, 'SIGKILL');
      }
      await exited;
      if (signal.aborted) return;
      this.#exitsInARow = ready && Date.now() - startedAt > STEADY_MS ? 1 : this.#exitsInARow + 1;
      if (this.#exitsInARow >= (this.#everUp ? MAX_EXITS_IN_A_ROW : MAX_EXITS_BEFORE_UP)) return this.#enter('failed');
      this.#enter('backoff');
      const pauseMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (this.#exitsInARow - 1));
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      this.#restarts += 1;
    }
  }

  #spawn(): Promise<void> {
    const { command, args, env, cwd, user, logFile } = this.spec;
    rotate(logFile);
    const log = openSync(logFile, 'a');
    const child = spawn(command, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: env ?? process.env,
      cwd,
      ...user,
    });
    closeSync(log);
    if (child.pid !== undefined) this.#reaper.watch(child.pid);
    this.#child = child;
    this.#exited = new Promise((done) => {
      const gone = (why: string) => {
        if (child.pid !== undefined) this.#reaper.forget(child.pid);
        if (this.#child === child) this.#child = null;
        this.#detail ??= why;
        done();
      };
      child.once('error', (error) => gone(error.message));
      child.once('exit', (code, name) => gone(name === null ? `exit code ${code}` : `ended by ${name}`));
    });
    this.#detail = null;
    return this.#exited;
  }

  async #waitReady(signal: AbortSignal, exited: Promise<void>): Promise<boolean> {
    const stopped = new AbortController();
    void exited.then(() => stopped.abort());
    const ready = await poll(this.spec.ready, {
      timeoutMs: this.spec.readyTimeoutMs,
      signal: AbortSignal.any([signal, stopped.signal]),
    });
    // A probe may have met somebody else's server on our port: only a living child is ready.
    return ready && !stopped.signal.aborted && this.#child !== null;
  }

  #signal(child: ChildProcess, signal: NodeJS.Signals): void {
    if (child.pid === undefined) return;
    try {
      // The whole group on a kill; politely only the leader, which knows how to end its own children.
      process.kill(signal === 'SIGKILL' ? -child.pid : child.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** The one place that writes the state. */
  #enter(state: ProcessState): void {
    this.#state = state;
    this.#since = Date.now();
    this.#onChange(this.status);
  }
}

/** Keeps one earlier log of bounded size. */
function rotate(path: string): void {
  try {
    if (statSync(path).size > MAX_LOG_BYTES) renameSync(path, `${path}.1`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
