/** Keeps the promise that a dead launcher leaves no process behind: see reaper.sh. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';

export interface Reaper {
  readonly pid: number;
  /** Call at once after a spawn: the child must lead its own process group. */
  watch(pid: number): void;
  forget(pid: number): void;
  /** Ends the reaper; what it still watches is left alone. */
  close(): Promise<void>;
}

/** Starts the reaper, in a session of its own so that a Ctrl-C in the terminal does not reach it. */
export function startReaper(lockFile: string, graceMs = 5_000): Reaper {
  const args = [lockFile, String(process.pid), String(Math.ceil(graceMs / 100))];
  const child: ChildProcess = spawn('/bin/sh', [join(import.meta.dirname, 'reaper.sh'), ...args], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', () => undefined);
  const pid = child.pid;
  if (pid === undefined) throw new Error('/bin/sh could not be started');
  const input = child.stdin as Socket;
  input.on('error', () => undefined);
  child.unref();
  input.unref();
  // On an idle pipe libuv writes within the call: a launcher killed right after a spawn has already told.
  const tell = (line: string) => void input.write(line);
  return {
    pid,
    watch: (childPid) => tell(`+ ${childPid}\n`),
    forget: (childPid) => tell(`- ${childPid}\n`),
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.ref();
      tell('bye\n');
      input.end();
      await exited;
    },
  };
}
