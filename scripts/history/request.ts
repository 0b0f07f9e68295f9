/** What a load is asked for, on the command line and kept with the run. */
import { resolve } from 'node:path';
import { digestOf, type MadeHistory } from '../../pipelines/prices/history/source.ts';
import { MAX_LISTINGS } from '../../pipelines/prices/traffic/listings.ts';
import { badArgument } from '../support/arguments.ts';

export const KNOWN_SYMBOLS_MAX = MAX_LISTINGS;

export interface LoadFlags {
  readonly file?: string;
  readonly generate?: boolean;
  readonly symbols: number;
  readonly years: number;
  readonly seed: number;
  readonly until?: Date;
  readonly chunk: number;
  readonly maxLag: number;
  readonly rejects?: string;
}

/** What a run is about, as it is kept with it: the same asked again is the same text. */
export type Request = Chunks &
  ({ readonly kind: 'file'; readonly sha256: string } | { readonly kind: 'made'; readonly made: MadeHistory });

/** How the rows are cut: a run that was begun with other chunks cannot go on with these. */
interface Chunks {
  readonly chunkRows: number;
  readonly sorted: 'by-stock';
}

const DAY_MS = 86_400_000;

/** @param today of a load that is asked for without `--until` */
export async function requestOf(flags: LoadFlags, today = Date.now()): Promise<Request> {
  const { file, generate, symbols, years, seed, until } = flags;
  const chunks: Chunks = { chunkRows: flags.chunk, sorted: 'by-stock' };
  if ((file === undefined) === (generate !== true)) throw badArgument('give either --file or --generate');
  if (file !== undefined) return { kind: 'file', sha256: await digestOf(resolve(file)), ...chunks };
  const day = Math.floor((until?.getTime() ?? today) / DAY_MS) * DAY_MS;
  return { kind: 'made', made: { symbols, years, seed, until: new Date(day).toISOString() }, ...chunks };
}
