/** The whole stack without Docker: real servers on loopback, as supervised children of the process that called `startStack`. */
import { readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { clickhouse } from './clickhouse.ts';
import { connect } from './connect.ts';
import { StackError } from './error.ts';
import { jarsAreReady, jarsFolder, resolveJars } from './jars.ts';
import { kafka } from './kafka.ts';
import { environmentOf, layoutOf, type Ports, SERVICES, type Service } from './layout.ts';
import { isRunning, lockHolder, takeLock } from './lock.ts';
import { postgres } from './postgres.ts';
import { removeOutside } from './postgres-files.ts';
import { checkDisk, checkPorts, endLeftovers } from './preflight.ts';
import { poll } from './probe.ts';
import { type ProcessStatus, SupervisedProcess } from './process.ts';
import { type Reaper, startReaper } from './reaper.ts';
import { holderOf, readRecord, type ServiceRecord, writeEnvironment, writeRecord } from './record.ts';
import { redis } from './redis.ts';
import { registry } from './registry.ts';
import type { Place, ServerDeclaration } from './service.ts';
import { onPath, provideJava } from './tools.ts';

const SERVERS: Readonly<Record<Service, ServerDeclaration>> = {
  postgres,
  kafka,
  registry,
  connect,
  redis,
  clickhouse,
};

export type StackEvent =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'service'; readonly status: ProcessStatus };

export interface StackOptions {
  /** The stack's folder; made when it is not there. */
  readonly home: string;
  /** See `portsOf`; left out: the default ports. */
  readonly portBase?: number;
  /** Only these servers (and no check that what they need is among them). */
  readonly services?: readonly Service[];
  /** These start with the others, and `startStack` returns without them: whoever needs one waits for it with `untilUp`. */
  readonly unawaited?: readonly Service[];
  readonly onEvent?: (event: StackEvent) => void;
  /** Aborted while the stack comes up, what is up is stopped and `startStack` throws INTERRUPTED; later it does nothing. */
  readonly signal?: AbortSignal;
}

export interface Stack {
  readonly home: string;
  readonly ports: Ports;
  /** The `SLUICE_*` variables for workers and clients. */
  readonly env: Readonly<Record<string, string>>;
  status(): readonly ProcessStatus[];
  pids(): Readonly<Record<Service, number | null>>;
  /** Sends the signal to the server's process. After SIGKILL it resolves when the process has gone; it is then restarted with backoff. */
  kill(service: Service, signal: NodeJS.Signals): Promise<void>;
  /** Resolves when the server is up (again). Throws SERVICE_FAILED after the timeout. */
  untilUp(service: Service, timeoutMs?: number): Promise<void>;
  /** Stops one server and leaves it down until `up`. */
  down(service: Service): Promise<void>;
  up(service: Service): Promise<void>;
  /** A clean stop and start of one server. */
  restart(service: Service): Promise<void>;
  /** Stops everything and gives the lock back; with `remove` the home goes too. */
  stop(options?: { readonly remove?: boolean }): Promise<void>;
}

const lockOf = (home: string) => join(home, 'stack.lock');

/**
 * Brings the servers up, all at the same time, and keeps them up. When the calling process ends in any way, so do they.
 * Throws StackError: ALREADY_RUNNING, DISK_FULL, PORT_TAKEN, TOOL_MISSING, JARS_UNRESOLVED, SERVICE_FAILED, INTERRUPTED.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { signal } = options;
  const home = resolve(options.home);
  const say = (text: string) => options.onEvent?.({ kind: 'progress', text });
  const servers = (options.services ?? SERVICES).map((service) => SERVERS[service]);
  checkDisk(home);
  const layout = layoutOf(home, options.portBase);
  const release = await takeLock(lockOf(home), 'A stack in this folder');
  const undo: (() => Promise<void> | void)[] = [release];
  try {
    await endLeftovers(home);
    await checkPorts(layout, servers);
    const place: Place = { ...layout, ...(await findPrograms(servers, say)) };
    if (signal?.aborted === true) throw new Error('interrupted');
    const reaper = startReaper(lockOf(home));
    undo.push(() => reaper.close());
    const running = new RunningStack(place, servers, reaper, options.onEvent ?? (() => undefined), release);
    const { unawaited = [] } = options;
    undo.push(() => running.stop());
    const interrupt = () => void running.stop();
    signal?.addEventListener('abort', interrupt);
    await running.start(unawaited).finally(() => {
      void running.whole().finally(() => signal?.removeEventListener('abort', interrupt));
    });
    return running;
  } catch (error) {
    for (const step of undo.reverse()) await step();
    if (signal?.aborted === true) throw new StackError('INTERRUPTED', 'Interrupted.', 'Start it again.', error);
    throw error;
  }
}

const ON_JAVA: readonly Service[] = ['kafka', 'registry', 'connect'];

/** The java and the jars, looked for only when a wanted server needs them. */
async function findPrograms(
  servers: readonly ServerDeclaration[],
  say: (text: string) => void,
): Promise<{ readonly java: string; readonly jars: string }> {
  const needsJava = servers.some(({ service }) => ON_JAVA.includes(service));
  const java = needsJava ? await provideJava(say) : '';
  const needsJars = needsJava || (servers.includes(redis) && onPath('redis-server') === undefined);
  if (needsJars && !jarsAreReady()) say('Fetching the servers with Maven (once)');
  return { java, jars: needsJars ? await resolveJars(say) : jarsFolder() };
}

class RunningStack implements Stack {
  readonly home: string;
  readonly ports: Ports;
  readonly env: Readonly<Record<string, string>>;
  readonly #place: Place;
  readonly #servers: readonly ServerDeclaration[];
  readonly #reaper: Reaper;
  readonly #release: () => void;
  readonly #processes = new Map<Service, SupervisedProcess>();
  /** The first start of each that `start` does not wait for. */
  readonly #unawaited = new Map<Service, Promise<void>>();
  readonly #onEvent: (event: StackEvent) => void;
  #ready = false;
  #stopped: Promise<void> | null = null;

  constructor(
    place: Place,
    servers: readonly ServerDeclaration[],
    reaper: Reaper,
    onEvent: (event: StackEvent) => void,
    release: () => void,
  ) {
    this.home = place.home;
    this.ports = place.ports;
    this.env = environmentOf(place);
    this.#place = place;
    this.#servers = servers;
    this.#reaper = reaper;
    this.#onEvent = onEvent;
    this.#release = release;
  }

  async start(unawaited: readonly Service[]): Promise<void> {
    writeEnvironment(this.home, this.env);
    const failures: unknown[] = [];
    const started = this.#servers.map((server) => {
      const up = this.#startServer(server);
      if (unawaited.includes(server.service)) {
        this.#unawaited.set(server.service, up);
        // Told to whoever waits for it.
        up.catch(() => {});
        return Promise.resolve();
      }
      return up.catch((error: unknown) => {
        failures.push(error);
        // What one cannot do without, the others need not be waited for.
        return this.stop();
      });
    });
    await Promise.all(started);
    if (failures.length > 0) throw failures[0];
    if (this.#stopped !== null) throw new Error('stopped while starting');
    this.#ready = true;
    this.#record();
  }

  /** Resolves when those that were not waited for are up too, or are not coming up. */
  async whole(): Promise<void> {
    await Promise.allSettled(this.#unawaited.values());
  }

  async #startServer(server: ServerDeclaration): Promise<void> {
    await server.prepare(this.#place);
    if (this.#stopped !== null) throw new Error('stopped while starting');
    const process = new SupervisedProcess(server.spec(this.#place), this.#reaper, (status) => this.#changed(status));
    this.#processes.set(server.service, process);
    await process.start();
    await server.afterStart?.(this.#place);
  }

  status(): readonly ProcessStatus[] {
    return SERVICES.flatMap((service) => this.#processes.get(service)?.status ?? []);
  }

  pids(): Readonly<Record<Service, number | null>> {
    const pid = (service: Service) => this.#processes.get(service)?.status.pid ?? null;
    return Object.fromEntries(SERVICES.map((service) => [service, pid(service)])) as Record<Service, number | null>;
  }

  kill(service: Service, signal: NodeJS.Signals): Promise<void> {
    return this.#process(service).kill(signal);
  }

  async untilUp(service: Service, timeoutMs?: number): Promise<void> {
    await this.#unawaited.get(service);
    await this.#process(service).untilUp(timeoutMs);
  }

  down(service: Service): Promise<void> {
    return this.#process(service).stop();
  }

  up(service: Service): Promise<void> {
    return this.#process(service).start();
  }

  async restart(service: Service): Promise<void> {
    await this.down(service);
    await this.up(service);
  }

  stop({ remove = false }: { readonly remove?: boolean } = {}): Promise<void> {
    this.#stopped ??= this.#stopAll(remove).then(() => (remove ? removeStack(this.home) : undefined));
    return this.#stopped;
  }

  /** What is kept is closed in order, Connect first: it writes to the broker when it leaves. */
  async #stopAll(remove: boolean): Promise<void> {
    const processes = [...this.#processes.values()];
    if (remove) await Promise.all(processes.map((process) => process.discard()));
    await this.#processes.get('connect')?.stop();
    await Promise.all(processes.map((process) => process.stop()));
    await this.#reaper.close();
    this.#release();
  }

  #process(service: Service): SupervisedProcess {
    const process = this.#processes.get(service);
    if (process !== undefined) return process;
    throw new StackError('NOT_STARTED', `${service} is not part of this stack.`, 'Name it in `services`.');
  }

  #changed(status: ProcessStatus): void {
    this.#record();
    this.#onEvent({ kind: 'service', status });
  }

  #record(): void {
    const services = SERVICES.flatMap((service): readonly ServiceRecord[] => {
      const status = this.#processes.get(service)?.status;
      if (status === undefined) return [];
      return [{ ...status, service, port: this.ports[service], started: holderOf(status.pid)?.started ?? null }];
    });
    const launcher = holderOf(process.pid) ?? { pid: process.pid, started: '' };
    writeRecord(this.home, { launcher, reaper: holderOf(this.#reaper.pid), ready: this.#ready, services });
  }
}

/** What runs in `home` by another process; undefined when nothing does. */
export function runningStack(
  home: string,
): { readonly launcher: number; readonly ready: boolean; readonly services: readonly ServiceRecord[] } | undefined {
  const holder = lockHolder(lockOf(home));
  if (holder === undefined || !isRunning(holder)) return undefined;
  const record = readRecord(home);
  if (record?.launcher.pid !== holder.pid) return { launcher: holder.pid, ready: false, services: [] };
  return { launcher: holder.pid, ready: record.ready, services: record.services };
}

/** A stack that another process runs: its environment, and signals to its servers, which that process restarts. */
export interface AttachedStack {
  readonly env: Readonly<Record<string, string>>;
  pids(): Readonly<Partial<Record<Service, number | null>>>;
  kill(service: Service, signal: NodeJS.Signals): Promise<void>;
  untilUp(service: Service, timeoutMs?: number): Promise<void>;
}

/** Attaches to the stack that another process runs in `home` on `portBase`. Throws NOT_RUNNING. */
export function attachStack(options: { readonly home: string; readonly portBase?: number }): AttachedStack {
  const home = resolve(options.home);
  const find = (service: Service) => runningStack(home)?.services.find((entry) => entry.service === service);
  if (runningStack(home) === undefined) {
    throw new StackError('NOT_RUNNING', `No stack is running in ${home}.`, 'Start it: npm run stack -- up');
  }
  return {
    env: environmentOf(layoutOf(home, options.portBase)),
    pids: () => Object.fromEntries(runningStack(home)?.services.map(({ service, pid }) => [service, pid]) ?? []),
    async kill(service, signal) {
      const pid = find(service)?.pid;
      if (pid === null || pid === undefined) return;
      process.kill(pid, signal);
      if (signal === 'SIGKILL') await poll(() => find(service)?.pid !== pid, { timeoutMs: 10_000, everyMs: 20 });
    },
    async untilUp(service, timeoutMs = 60_000) {
      if (await poll(() => find(service)?.state === 'up', { timeoutMs, everyMs: 50 })) return;
      throw new StackError('SERVICE_FAILED', `${service} is not up.`, `Read ${join(home, 'logs', `${service}.log`)}`);
    },
  };
}

/** Removes a stack's data; the fetched jars stay. Throws ALREADY_RUNNING while it runs. */
export function removeStack(home: string): void {
  if (runningStack(home) !== undefined) {
    throw new StackError('ALREADY_RUNNING', `The stack in ${home} is running.`, 'Stop it: npm run stack -- down');
  }
  removeOutside(resolve(home));
  for (const name of readdirSync(home)) {
    if (name !== 'jars') rmSync(join(home, name), { recursive: true, force: true });
  }
  if (readdirSync(home).length === 0) rmSync(home, { recursive: true });
}
