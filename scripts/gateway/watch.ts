/** A client of the market feed that prints what it is told: for a first look, and as an example of a client that behaves. */
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { backoffMs } from '../../engine/backoff.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { SeriesName } from '../../pipelines/prices/gateway/protocol.ts';

export interface WatchOptions {
  readonly url: string;
  /** Null: the gateway lets everybody in. */
  readonly token: string | null;
  readonly series: readonly SeriesName[];
  /** Ends after so many values; null never. */
  readonly count: number | null;
  readonly signal: AbortSignal;
  readonly print: (frame: Frame) => void;
  /** What is of interest beside the frames. */
  readonly say: (text: string) => void;
}

export interface Candle {
  readonly start: number;
  readonly open: string;
  readonly high: string;
  readonly low: string;
  readonly close: string;
  readonly volume: string;
  readonly final: boolean;
}

/** What the gateway sends, as far as it is looked at (docs/market-feed.md). */
export type Frame =
  | { readonly type: 'hello'; readonly heartbeatMs: number }
  | { readonly type: 'status'; readonly state: string; readonly asOf: number | null }
  | { readonly type: 'value'; readonly symbol: string; readonly interval: string; readonly candle: Candle | null }
  | { readonly type: 'error'; readonly code: string; readonly message: string }
  | { readonly type: 'subscribed' };

const RECONNECT = { firstMs: 500, maxMs: 30_000 } as const;
const CONNECT_MS = 10_000;
/** Statuses that the next try may not have. */
const PASSING: ReadonlySet<number> = new Set([429, 503]);

/** Until the signal or the count. Throws FEED_REFUSED, and FEED_UNREACHABLE when it was never connected. */
export async function watch(options: WatchOptions): Promise<void> {
  const { count, signal, say, url } = options;
  let left = count ?? Number.POSITIVE_INFINITY;
  let wasConnected = false;
  for (let failures = 0; left > 0 && !signal.aborted; ) {
    const end = await connection(options, (frame) => {
      if (frame.type === 'hello') [wasConnected, failures] = [true, 0];
      if (frame.type === 'value') left--;
      return left > 0;
    });
    if (end === null || signal.aborted) return;
    if (!wasConnected && !end.passing) {
      throw feedError(
        'FEED_UNREACHABLE',
        `${url}: ${end.why}. Does a gateway run there? npm start -- --pipelines prices`,
      );
    }
    const pauseMs = backoffMs(failures++, RECONNECT);
    say(`${end.why}; again in ${(pauseMs / 1_000).toFixed(1)} s`);
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}

interface Ended {
  readonly why: string;
  /** The gateway is there and will let us in. */
  readonly passing: boolean;
}

/** One connection to its end; null when there is nothing more to see. `goOn` is asked after each frame. */
function connection(
  { url, token, series, signal, print }: WatchOptions,
  goOn: (frame: Frame) => boolean,
): Promise<Ended | null> {
  return new Promise((resolve, reject) => {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const socket = new WebSocket(url, ['sluice.market.v1'], { headers, handshakeTimeout: CONNECT_MS });
    let why = 'the connection was closed';
    let silent: NodeJS.Timeout | undefined;
    let silenceMs: number | null = null;
    // A gateway whose machine has gone says nothing, not even goodbye.
    const heard = () => {
      clearTimeout(silent);
      if (silenceMs !== null) silent = setTimeout(() => socket.terminate(), silenceMs);
    };
    const stop = () => socket.close(1000);
    signal.addEventListener('abort', stop);
    const end = (ended: Ended | null) => {
      clearTimeout(silent);
      signal.removeEventListener('abort', stop);
      resolve(ended);
    };
    socket.on('unexpected-response', (request, response) => {
      const { statusCode = 0 } = response;
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body = (body + chunk.toString('utf8')).slice(0, 1_000);
      });
      response.on('close', () => {
        request.destroy();
        const text = `refused with ${statusCode}: ${body.trim()}`;
        if (PASSING.has(statusCode)) end({ why: text, passing: true });
        else reject(feedError('FEED_REFUSED', `${url} ${text}`));
      });
    });
    socket.on('open', () => socket.send(JSON.stringify({ type: 'subscribe', id: 1, series })));
    socket.on('ping', heard);
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as Frame;
      if (frame.type === 'hello') silenceMs = 2 * frame.heartbeatMs;
      heard();
      if (frame.type === 'error') {
        reject(feedError('FEED_REFUSED', `${frame.code}: ${frame.message}`));
        socket.close(1000);
        return;
      }
      print(frame);
      if (goOn(frame)) return;
      end(null);
      socket.close(1000);
    });
    socket.on('error', (error) => {
      why = error.message;
    });
    socket.on('close', (code, reason) => end({ why: reason.length > 0 ? `${code} ${reason}` : why, passing: false }));
  });
}

function feedError(code: string, message: string): SluiceError {
  return new SluiceError(message, { code, action: 'fatal' });
}
