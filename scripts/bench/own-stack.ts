/** A stack that lives as long as the benchmark: a folder of its own, free ports, nothing left behind. */
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SluiceError } from '../../engine/errors.ts';
import type { Service } from '../../infra/native/layout.ts';
import { stackPlace } from '../../infra/native/layout.ts';
import { removeStack, type Stack, startStack } from '../../infra/native/stack.ts';

const FIRST = 31_000;
const LAST = 32_000;
/** The servers' ports and those of the workers' metrics. */
const SPAN = 20;

export interface OwnStack {
  readonly stack: Stack;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Starts it. `stack.stop({ remove: true })` removes the folder. Throws what `startStack` throws. */
export async function startOwnStack(options: {
  readonly services?: readonly Service[];
  /** Beside what the stack says. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}): Promise<OwnStack> {
  const home = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  const { portBase = await freePortBase() } = stackPlace(process.env);
  options.say(`Starting servers on ports from ${portBase}, data in ${home}`);
  const stack = await startStack({
    home,
    portBase,
    services: options.services,
    signal: options.signal,
    onEvent: (event) => {
      if (event.kind === 'progress') options.say(event.text);
      else if (event.status.state === 'backoff' || event.status.state === 'failed')
        options.say(`${event.status.name}: ${event.status.state} (${event.status.detail ?? ''})`);
    },
  }).catch((error: unknown) => {
    removeStack(home);
    throw error;
  });
  return { stack, home, env: { ...process.env, ...stack.env, SLUICE_LOG_LEVEL: 'warn', ...options.env } };
}

/** The first of consecutive free ports on loopback. */
async function freePortBase(): Promise<number> {
  for (let base = FIRST; base + SPAN <= LAST; base += SPAN) {
    const free = await Promise.all(Array.from({ length: SPAN }, (_, index) => isFree(base + index)));
    if (free.every(Boolean)) return base;
  }
  throw new SluiceError(`No ${SPAN} free ports between ${FIRST} and ${LAST}; set SLUICE_PORT_BASE`, {
    code: 'BENCH_NO_PORTS',
    action: 'fatal',
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
