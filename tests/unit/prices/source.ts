/** A small Postgres with its capture: what is done to its tables appears in the topics of a log, and stays here in plain form. */
import { operatorHeaders } from '../../../pipelines/operations/operator-record.ts';
import { CDC_PRICES, CDC_STOCKS } from '../../../pipelines/prices/topics.ts';
import type { MemoryLog } from '../../support/memory-log.ts';
import { framed } from '../codec/debezium.ts';
import { type Block, type PriceColumns, priceEnvelope, priceKey, stockEnvelope } from './price-rows.ts';

export interface StockRow {
  readonly id: bigint;
  readonly symbol: string;
  readonly exchange: string;
}

export interface Prices {
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

/** What happens at the source. `stock` and `slot` name a row. */
export type Op =
  | {
      readonly op: 'write';
      readonly stock: number;
      readonly slot: number;
      readonly source: string;
      readonly prices: Prices;
    }
  /** Makes it what no bar may be. */
  | { readonly op: 'spoil'; readonly stock: number; readonly slot: number; readonly with: Partial<PriceColumns> }
  | { readonly op: 'delete'; readonly stock: number; readonly slot: number }
  /** Reads all rows again. */
  | { readonly op: 'snapshot' }
  /** The newest record of a row once more, byte by byte. */
  | { readonly op: 'redeliver'; readonly stock: number; readonly slot: number }
  | { readonly op: 'garbage' }
  /** Deletes the row of a stock, which Postgres refuses while it has bars; or inserts it again. */
  | { readonly op: 'unlist'; readonly stock: number }
  | { readonly op: 'list'; readonly stock: number }
  | { readonly op: 'heartbeat' };

export interface Step {
  readonly do: Op;
  readonly waitMs: number;
}

/** A row as it stands, and whether what its newest record says is a bar. */
interface Row {
  readonly columns: PriceColumns;
  readonly wellFormed: boolean;
  readonly good: boolean;
}

export class PriceSource {
  readonly beats: { readonly lsn: bigint; readonly timeMs: number }[] = [];
  /** Rows that count, by stock and slot. */
  readonly rows = new Map<string, Row>();
  /** Every record, and whether it gets a letter. */
  readonly letters: { readonly offset: bigint; readonly bad: boolean }[] = [];
  readonly #log: MemoryLog;
  readonly #stocks: readonly StockRow[];
  /** Times of the slots of a stock. */
  readonly #slots: readonly (readonly number[])[];
  readonly #newest = new Map<string, Buffer>();
  readonly #unlisted = new Set<number>();
  #lsn = 26_738_368n;
  #xid = 700n;
  timeMs: number;

  constructor(log: MemoryLog, stocks: readonly StockRow[], slots: readonly (readonly number[])[], timeMs: number) {
    this.#log = log;
    this.#stocks = stocks;
    this.#slots = slots;
    this.timeMs = timeMs;
    for (const stock of stocks) log.append(CDC_STOCKS, 0, { value: stockEnvelope(stock, 'r', this.#block()) });
  }

  apply({ do: step, waitMs }: Step): void {
    this.timeMs += waitMs;
    this.#lsn += 8n;
    this.#xid++;
    if (step.op === 'heartbeat') this.beats.push({ lsn: this.#lsn, timeMs: this.timeMs });
    else if (step.op === 'garbage') this.#garbage();
    else if (step.op === 'unlist' || step.op === 'list') this.#list(step.stock, step.op === 'list');
    else if (step.op === 'snapshot') this.#snapshot();
    else if (step.op === 'redeliver') this.#redeliver(step.stock, step.slot);
    else if (step.op === 'delete') this.#delete(step.stock, step.slot);
    else if (step.op === 'spoil') this.#spoil(step.stock, step.slot, step.with);
    else this.#write(step);
  }

  /** What a command writes so that the candles of a bar are told again: the row as it is, or that it is not there. */
  force(stock: number, slot: number): void {
    const row = this.rows.get(`${stock}/${slot}`)?.columns ?? null;
    const none = { open: '0.000000', high: '0.000000', low: '0.000000', close: '0.000000', volume: 0n, source: '' };
    const columns = row ?? { ...this.#key(stock, slot), ...none };
    const value =
      row === null ? priceEnvelope('d', columns, null, this.#block()) : priceEnvelope('u', row, row, this.#block());
    const scannedTo = BigInt(this.#log.records(CDC_PRICES, 0).length);
    const headers = operatorHeaders({ origin: 'repair', runId: 'test', scannedTo, force: true });
    const offset = this.#log.append(CDC_PRICES, 0, {
      key: priceKey(columns),
      value,
      timestampMs: this.timeMs,
      headers,
    });
    this.letters.push({ offset, bad: false });
  }

  #write({ stock, slot, source, prices }: Extract<Op, { readonly op: 'write' }>): void {
    const text = (price: number) => (price / 100).toFixed(6);
    const { open, high, low, close, volume } = prices;
    const columns: PriceColumns = {
      ...this.#key(stock, slot),
      ...{ open: text(open), high: text(high), low: text(low), close: text(close) },
      volume: BigInt(volume),
      source,
    };
    this.#put(stock, slot, columns, true);
  }

  #spoil(stock: number, slot: number, change: Partial<PriceColumns>): void {
    const before = this.rows.get(`${stock}/${slot}`);
    if (before !== undefined) this.#put(stock, slot, { ...before.columns, ...change }, false);
  }

  #list(stock: number, listed: boolean): void {
    if (listed !== this.#unlisted.has(stock)) return;
    if (!listed && [...this.rows.keys()].some((name) => name.startsWith(`${stock}/`))) return;
    if (listed) this.#unlisted.delete(stock);
    else this.#unlisted.add(stock);
    const value = stockEnvelope(this.#stocks[stock]!, listed ? 'c' : 'd', this.#block());
    this.#log.append(CDC_STOCKS, 0, { value });
  }

  #put(stock: number, slot: number, columns: PriceColumns, wellFormed: boolean): void {
    const name = `${stock}/${slot}`;
    const before = this.rows.get(name)?.columns ?? null;
    const good = wellFormed && !this.#unlisted.has(stock);
    this.rows.set(name, { columns, wellFormed, good });
    this.#emit(name, priceEnvelope(before === null ? 'c' : 'u', before, columns, this.#block()), columns, good);
  }

  #delete(stock: number, slot: number): void {
    const name = `${stock}/${slot}`;
    const before = this.rows.get(name)?.columns;
    if (before === undefined) return;
    this.rows.delete(name);
    this.#emit(name, priceEnvelope('d', before, null, this.#block()), before, true);
  }

  #snapshot(): void {
    for (const [name, { columns, wellFormed }] of this.rows) {
      const good = wellFormed && !this.#unlisted.has(Number(name.split('/')[0]));
      this.rows.set(name, { columns, wellFormed, good });
      this.#emit(name, priceEnvelope('r', null, columns, this.#block()), columns, good);
    }
  }

  #redeliver(stock: number, slot: number): void {
    const name = `${stock}/${slot}`;
    const newest = this.#newest.get(name);
    if (newest === undefined) return;
    const offset = this.#log.append(CDC_PRICES, 0, { key: priceKey(this.#key(stock, slot)), value: newest });
    this.letters.push({ offset, bad: this.rows.get(name)?.good === false });
  }

  #garbage(): void {
    const offset = this.#log.append(CDC_PRICES, 0, { value: framed(99, Buffer.from([1])), timestampMs: this.timeMs });
    this.letters.push({ offset, bad: true });
  }

  #emit(name: string, value: Buffer, columns: PriceColumns, good: boolean): void {
    const offset = this.#log.append(CDC_PRICES, 0, { key: priceKey(columns), value, timestampMs: this.timeMs });
    this.#newest.set(name, value);
    this.letters.push({ offset, bad: !good });
  }

  #key(stock: number, slot: number): Pick<PriceColumns, 'stock_id' | 'ts'> {
    const row = this.#stocks[stock]!;
    return { stock_id: row.id, ts: new Date(this.#slots[stock]![slot]!).toISOString().replace('Z', '000Z') };
  }

  #block(): Block {
    return { lsn: this.#lsn, xid: this.#xid, commitTsMs: this.timeMs };
  }
}
