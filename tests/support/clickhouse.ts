/** Starts a ClickHouse of its own for a test file: a temporary folder, a free port, gone when stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface TestClickHouse {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly pid: number;
  /** Kill -9, as a crash would; `restart` brings it back on the same port and folder. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface StartOptions {
  /** 0 (default) lets the system choose. */
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
}

const FRONT = fileURLToPath(new URL('../../infra/native/clickhouse-front.ts', import.meta.url));
const START_TIMEOUT_MS = 60_000;

function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/** Resolves with the process and its port when it has said that it is ready. */
async function launch(dataDir: string, port: number, env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [FRONT, dataDir, String(port)], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-8192);
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const match = /ready on http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
      if (match === null) continue;
      child.stdout.resume();
      return { child, port: Number(match[1]) };
    }
    throw new Error(`ClickHouse did not start: ${errors}`);
  } finally {
    clearTimeout(deadline);
  }
}

/** Up in under two seconds, about 250 MiB. Stop it in `afterAll`. */
export async function startClickHouse(options: StartOptions = {}): Promise<TestClickHouse> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-clickhouse-'));
  const env = options.env ?? {};
  let running = await launch(dataDir, options.port ?? 0, env).catch(async (error: unknown) => {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    running.child.kill(signal);
    await exited(running.child);
  };
  return {
    url: `http://127.0.0.1:${running.port}`,
    port: running.port,
    dataDir,
    get pid() {
      return running.child.pid!;
    },
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGKILL');
      running = await launch(dataDir, running.port, env);
    },
    async stop() {
      const deadline = setTimeout(() => running.child.kill('SIGKILL'), 30_000);
      await end('SIGTERM');
      clearTimeout(deadline);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
