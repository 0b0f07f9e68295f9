/** How a script of ours ends. */
import { flushCompileCache } from 'node:module';

/** Node writes these while it takes itself down. */
const WRITTEN_AT_THE_END = /^--(cpu|heap)-prof/;

/**
 * Lets the process end for certain. Taking itself down, Node waits for the threads of its compiler, and one of those may wait for memory that only the main
 * thread could free: a script that had said its last word then stays for ever (https://github.com/nodejs/node/issues/54918). So
 * the last listener of `exit` puts a shell in the place of Node, which ends with the same code: nothing is left to wait for.
 */
export function endForCertain(): void {
  if (process.execve === undefined || process.execArgv.some((flag) => WRITTEN_AT_THE_END.test(flag))) return;
  let unexpected = false;
  // Node tells such an error behind the last listener.
  process.once('uncaughtExceptionMonitor', () => {
    unexpected = true;
  });
  process.once('exit', (code) => {
    if (unexpected) return;
    // Those that were added later: nothing comes behind this one.
    for (const listener of process.listeners('exit')) listener.call(process, code);
    flushCompileCache();
    process.execve!('/bin/sh', ['sh', '-c', 'exit "$0"', String(code)], {});
  });
}
