/** Free ports for a test's own stack, so that it runs beside a started Sluice and beside another test run. */
import { createServer } from 'node:net';

const FIRST = 26_000;
const LAST = 31_000;
const SPAN = 10;

/** The first of ten consecutive free ports on loopback. The search starts at another place for each process. */
export async function freePortBase(): Promise<number> {
  const slots = (LAST - FIRST) / SPAN;
  for (let step = 0; step < slots; step++) {
    const base = FIRST + ((process.pid + step * 7) % slots) * SPAN;
    if (await allFree(base)) return base;
  }
  throw new Error(`No ten free ports between ${FIRST} and ${LAST}`);
}

async function allFree(base: number): Promise<boolean> {
  for (let port = base; port < base + SPAN; port++) if (!(await isFree(port))) return false;
  return true;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
