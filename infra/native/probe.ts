/** Small readiness probes: each says whether a server answers, and never throws. */
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const PROBE_TIMEOUT_MS = 2_000;

/** Sends `request` and hands the first bytes of the answer to `accept`. False when nothing answers in time. */
export function answers(port: number, request: Uint8Array, accept: (reply: Buffer) => boolean): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (ok: boolean) => {
      socket.destroy();
      done(ok);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => socket.write(request));
    socket.once('data', (reply) => finish(accept(reply)));
  });
}

/** Whether a GET answers 2xx. */
export async function httpOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** Whether this machine lets us listen on the port, that is, nobody else does. */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => done(true)));
  });
}

/** Repeats the probe until it says yes, the deadline passes or the signal fires; true when it said yes. */
export async function poll(
  probe: () => boolean | Promise<boolean>,
  options: { readonly timeoutMs: number; readonly everyMs?: number; readonly signal?: AbortSignal },
): Promise<boolean> {
  const deadline = performance.now() + options.timeoutMs;
  while (options.signal?.aborted !== true) {
    if (await probe()) return true;
    if (performance.now() >= deadline) return false;
    await delay(options.everyMs ?? 100);
  }
  return false;
}
