/** The sample traffic as a process of its own, which ends by itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { SluiceError } from '../../engine/errors.ts';
import { REPOSITORY } from '../../infra/native/layout.ts';
import type { RunSummary } from '../generate/run.ts';
import { lastJson } from '../start/finish.ts';

export interface TrafficChild {
  readonly pid: number;
  /** What it has written. Rejects with BENCH_TRAFFIC_FAILED and what it said. */
  readonly done: Promise<RunSummary>;
  /** Ends it early. */
  stop(): Promise<void>;
}

const MAX_OUTPUT = 100_000;

/** Starts `scripts/generate.ts` with these arguments. */
export function startTraffic(args: readonly string[], env: NodeJS.ProcessEnv): TrafficChild {
  const child = spawn(process.execPath, [join(REPOSITORY, 'scripts', 'generate.ts'), ...args, '--json'], {
    cwd: REPOSITORY,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const done = finished(child);
  // Reported where it is awaited.
  done.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    done,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await done.catch(() => undefined);
    },
  };
}

function finished(child: ChildProcess): Promise<RunSummary> {
  return new Promise((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-MAX_OUTPUT);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    const failed = (why: string) =>
      reject(new SluiceError(`The traffic failed: ${why}`, { code: 'BENCH_TRAFFIC_FAILED', action: 'fatal' }));
    child.once('error', (error) => failed(error.message));
    child.once('close', (code) => {
      const summary = lastJson(output);
      if (code === 0 && typeof summary === 'object' && summary !== null) resolve(summary as RunSummary);
      else failed(output.trim() || `exit code ${code}`);
    });
  });
}
