/** Free ports for a test's own stack, so that it runs beside a started Sluice and beside another test run. */
import { createServer } from 'node:net';

const FIRST = 26_000;
const LAST = 31_000;
const SPAN = 10;
/** Files that run at the same time search in quarters of their own: what one has found free is bound only a moment later. */
const QUARTERS = 4;
const SLOTS = (LAST - FIRST) / SPAN / QUARTERS;
const QUARTER = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % QUARTERS) * SLOTS * SPAN;

const given = new Set<number>();

/** The first of consecutive free ports on loopback, ten or so many tens. The search starts at another place for each process. */
export async function freePortBase(tens = 1): Promise<number> {
  for (let step = 0; step < SLOTS; step++) {
    const base = QUARTER + ((process.pid + step * 7) % (SLOTS - tens + 1)) * SPAN;
    const bases = Array.from({ length: tens }, (_, ten) => base + ten * SPAN);
    if (bases.some((one) => given.has(one)) || !(await allFree(base, tens * SPAN))) continue;
    for (const one of bases) given.add(one);
    return base;
  }
  throw new Error(`No ${tens * SPAN} free ports between ${QUARTER} and ${QUARTER + SLOTS * SPAN}`);
}

async function allFree(base: number, count: number): Promise<boolean> {
  for (let port = base; port < base + count; port++) if (!(await isFree(port))) return false;
  return true;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
