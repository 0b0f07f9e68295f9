/** A recorded history of bars: the sample traffic as the changes that Debezium would have captured, without a database. */
import { MINUTE_MS } from '../../pipelines/prices/intervals.ts';
import type { Listing } from '../../pipelines/prices/traffic/listings.ts';
import { PriceTraffic } from '../../pipelines/prices/traffic/traffic.ts';
import type { PriceRow } from '../../pipelines/prices/traffic/walk.ts';
import type { Op, Source } from './envelope.ts';

export const GRAINS = ['minute', 'day'] as const;
export type Grain = (typeof GRAINS)[number];

export interface PriceRecordingOptions {
  /** Changes at least; the last transaction is whole. */
  readonly records: number;
  readonly symbols: number;
  /** Of a minute, as live: with corrections, deletions and late bars. Of a day, as when history is loaded: nothing but new bars. */
  readonly grain: Grain;
  readonly seed: number;
  /** Commit time of the last transaction, about. */
  readonly endMs: number;
}

export interface PriceChange {
  readonly op: Op;
  readonly before: PriceRow | null;
  readonly after: PriceRow | null;
  readonly source: Source;
}

export interface PriceTransaction {
  readonly source: Source;
  readonly changes: readonly PriceChange[];
}

const MAX_ROWS = 5_000;
/** Between two transactions of daily bars. */
const MS_PER_TRANSACTION = 250;
const TRADING_DAYS = 260;
/** As `npm run generate` writes them. */
const MINUTES = { corrections: 8, duplicates: 1, deletes: 2, late: 3 } as const;
const CHANGES_PER_BAR = 1.1;
const FIRST_LSN = 0x1_6000_0000n;
const FIRST_XID = 1_000_000;
/** Bytes of WAL between two changes. */
const LSN_STEP = 176n;

export class PriceRecording {
  readonly #options: PriceRecordingOptions;
  readonly #traffic: PriceTraffic;
  readonly #startMs: number;
  /** What updates and deletes find. */
  readonly #rows = new Map<string, PriceRow>();
  #lsn = FIRST_LSN;
  #xid = FIRST_XID;

  constructor(options: PriceRecordingOptions) {
    const { records, symbols, grain, seed, endMs } = options;
    this.#options = options;
    const minutes = Math.ceil(records / symbols / CHANGES_PER_BAR);
    const span = grain === 'minute' ? minutes * MINUTE_MS : Math.ceil(records / MAX_ROWS) * MS_PER_TRANSACTION;
    this.#startMs = Math.floor((endMs - span) / MINUTE_MS) * MINUTE_MS;
    const others = { gaps: 0.5, bad: 0, splits: 0.02, alwaysOpen: true };
    this.#traffic = new PriceTraffic({ seed, symbols, ...MINUTES, ...others }, this.#startMs);
  }

  get listings(): readonly Listing[] {
    return this.#traffic.listings;
  }

  /** Of the transaction that added the stocks. */
  get listingSource(): Source {
    return { lsn: FIRST_LSN - 1n, commitLsn: FIRST_LSN - 1n, xid: FIRST_XID - 1, commitMs: this.#startMs };
  }

  *transactions(): Generator<PriceTransaction> {
    let made = 0;
    for (const transaction of this.#options.grain === 'minute' ? this.#minutes() : this.#days()) {
      made += transaction.changes.length;
      yield transaction;
      if (made >= this.#options.records) return;
    }
  }

  *#days(): Generator<PriceTransaction> {
    const years = Math.ceil(this.#options.records / this.#options.symbols / TRADING_DAYS);
    let commitMs = this.#startMs;
    for (const rows of this.#traffic.history(years)) {
      for (let at = 0; at < rows.length; at += MAX_ROWS) {
        commitMs += MS_PER_TRANSACTION;
        yield this.#transaction(rows.slice(at, at + MAX_ROWS), [], commitMs);
      }
    }
  }

  *#minutes(): Generator<PriceTransaction> {
    for (let commitMs = this.#startMs + MINUTE_MS; ; ) {
      const { upserts, deletes, counts } = this.#traffic.next(MAX_ROWS, commitMs);
      if (counts.bars === 0) commitMs += MINUTE_MS;
      else yield this.#transaction(upserts, deletes, commitMs);
    }
  }

  #transaction(
    upserts: readonly PriceRow[],
    deletes: readonly Pick<PriceRow, 'stock' | 'startMs'>[],
    commitMs: number,
  ): PriceTransaction {
    const commitLsn = this.#lsn;
    this.#xid += 1;
    const changes: PriceChange[] = [];
    const add = (op: Op, before: PriceRow | null, after: PriceRow | null): void => {
      this.#lsn += LSN_STEP;
      changes.push({ op, before, after, source: { lsn: this.#lsn, commitLsn, xid: this.#xid, commitMs } });
    };
    for (const row of upserts) {
      const name = nameOf(row);
      const before = this.#rows.get(name) ?? null;
      if (this.#options.grain === 'minute') this.#rows.set(name, row);
      add(before === null ? 'c' : 'u', before, row);
    }
    for (const key of deletes) {
      const before = this.#rows.get(nameOf(key));
      if (before === undefined) continue;
      this.#rows.delete(nameOf(key));
      add('d', before, null);
    }
    return { source: { lsn: this.#lsn, commitLsn, xid: this.#xid, commitMs }, changes };
  }
}

const nameOf = ({ stock, startMs }: Pick<PriceRow, 'stock' | 'startMs'>): string => `${stock} ${startMs}`;
