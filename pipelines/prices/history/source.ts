/** Where history comes from: a file of daily bars, or the sample traffic. In chunks that are the same each time. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { SluiceError } from '../../../engine/errors.ts';
import { PriceTraffic } from '../traffic/traffic.ts';
import { priceText } from '../traffic/walk.ts';
import { type Header, type HistoryRow, headerOf, type KnownStock, type Reject, rowOf } from './rows.ts';

export interface HistoryChunk {
  /** Lines or rows that it is made of, rejected ones counted. */
  readonly read: number;
  readonly rows: readonly HistoryRow[];
  readonly rejects: readonly Reject[];
}

/** Chunks of `size` lines or rows, the last one of fewer. The same request gives the same chunks. */
export type HistorySource = (size: number) => AsyncGenerator<HistoryChunk> | Generator<HistoryChunk>;

/** What the sample traffic is asked for. */
export interface MadeHistory {
  readonly symbols: number;
  readonly years: number;
  readonly seed: number;
  /** The bars are of days before this one: ISO 8601. */
  readonly until: string;
}

/** The traffic of a request; the same request is the same traffic. */
export function trafficOf({ symbols, seed, until }: MadeHistory): PriceTraffic {
  const none = { corrections: 0, duplicates: 0, deletes: 0, late: 0, bad: 0, alwaysOpen: false };
  return new PriceTraffic({ seed, symbols, ...none, gaps: 0.5, splits: 0.02 }, Date.parse(until));
}

/** @param ids of the stocks, in the order of the traffic's listings */
export function madeSource(request: MadeHistory, ids: readonly bigint[]): HistorySource {
  return function* (size) {
    let rows: HistoryRow[] = [];
    for (const day of trafficOf(request).history(request.years)) {
      for (const { stock, startMs, volume, ...prices } of day) {
        const [open, high, low, close] = [prices.open, prices.high, prices.low, prices.close].map(priceText);
        rows.push({
          ...{ stockId: ids[stock]!, startMs, volume: String(volume) },
          ...{ open: open!, high: high!, low: low!, close: close! },
        });
        if (rows.length < size) continue;
        yield { read: rows.length, rows, rejects: [] };
        rows = [];
      }
    }
    if (rows.length > 0) yield { read: rows.length, rows, rejects: [] };
  };
}

/** A file, plain or compressed by gzip, whose first line names the columns. Throws HISTORY_FILE_UNREADABLE (fatal). */
export function fileSource(file: string, stocks: ReadonlyMap<string, KnownStock>): HistorySource {
  return async function* (size) {
    let header: Header | null = null;
    let line = 0;
    let chunk = new Chunk();
    for await (const text of linesOf(file)) {
      line++;
      if (header === null) {
        header = headerOf(text.replace(/^\ufeff/, ''));
        continue;
      }
      if (text === '') continue;
      chunk.add(text, line, header, stocks);
      if (chunk.read < size) continue;
      yield chunk;
      chunk = new Chunk();
    }
    if (chunk.read > 0) yield chunk;
  };
}

class Chunk implements HistoryChunk {
  read = 0;
  readonly rejects: Reject[] = [];
  readonly #rows = new Map<string, HistoryRow>();

  get rows(): readonly HistoryRow[] {
    return [...this.#rows.values()];
  }

  add(text: string, line: number, header: Header, stocks: ReadonlyMap<string, KnownStock>): void {
    this.read++;
    try {
      const row = rowOf(text, header, stocks);
      // The last line of a day counts, as it would from chunk to chunk.
      this.#rows.set(`${row.stockId} ${row.startMs}`, row);
    } catch (error) {
      if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
      this.rejects.push({ line, reason: error.code, message: error.message });
    }
  }
}

/** Names what is in a file: the same bytes are the same history. Throws HISTORY_FILE_UNREADABLE (fatal). */
export async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await reading(file, async () => await pipeline(createReadStream(file), hash));
  return hash.digest('hex');
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const raw = createReadStream(file);
  const text: Readable & NodeJS.WritableStream = file.endsWith('.gz') ? createGunzip() : new PassThrough();
  let failure: unknown = null;
  const piped = pipeline(raw, text).catch((error: unknown) => {
    failure = error;
  });
  try {
    yield* createInterface({ input: text, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (error) {
    failure ??= error;
  } finally {
    raw.destroy();
    text.destroy();
    await piped;
  }
  if (failure !== null) throw unreadable(file, failure);
}

async function reading<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): SluiceError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SluiceError(`${file} cannot be read: ${reason}`, {
    code: 'HISTORY_FILE_UNREADABLE',
    action: 'fatal',
    cause,
  });
}
