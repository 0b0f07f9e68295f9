/** Writes bars of prices into Postgres: one transaction for a batch, at most two statements, on one connection. */
import pg from 'pg';
import { postgresError } from '../../connectors/postgres/errors.ts';
import { clientConfig, sqlOf } from '../../connectors/postgres/pool.ts';
import { LOAD_BARS, UPSERT_BARS } from '../../pipelines/prices/bars-sql.ts';
import { addStocks } from '../../pipelines/prices/history/stocks.ts';
import type { Listing } from '../../pipelines/prices/traffic/listings.ts';
import type { PriceBatch } from '../../pipelines/prices/traffic/traffic.ts';
import { type PriceRow, priceText } from '../../pipelines/prices/traffic/walk.ts';

/** No stock has it. */
const UNKNOWN_STOCK = 9_000_000_000_000n;

const DELETE_BARS = `DELETE FROM stock_prices
  USING unnest($1::int8[], $2::int8[]) AS b (stock_id, start_ms)
  WHERE stock_prices.stock_id = b.stock_id AND ts = timestamptz 'epoch' + start_ms * interval '1 millisecond'`;

export class PricesWriter {
  readonly #client: pg.Client;
  #ids: readonly bigint[] = [];

  constructor(url: string) {
    this.#client = new pg.Client(clientConfig({ url, applicationName: 'sluice-generate', statementTimeoutMs: 60_000 }));
    // A lost connection also rejects the statement under way, which is where it is reported.
    this.#client.on('error', () => undefined);
  }

  /** Connects, and adds the stocks that are not there yet. Others of the same symbols stay as they are. */
  async prepare(listings: readonly Listing[]): Promise<void> {
    await this.#guard('connect to Postgres', async () => await this.#client.connect());
    this.#ids = await addStocks(sqlOf(this.#client), listings);
  }

  /** Writes rows of which no two have one key; those that are there with the same values are left alone. Returns how many changed. */
  async load(rows: readonly PriceRow[]): Promise<number> {
    return await this.#guard('load bars', async () => {
      const result = await this.#client.query(LOAD_BARS, this.#columns(rows));
      return result.rowCount ?? 0;
    });
  }

  async write(batch: PriceBatch): Promise<void> {
    const { upserts, deletes } = batch;
    if (upserts.length === 0 && deletes.length === 0) return;
    await this.#guard('write a batch of bars', async () => {
      await this.#client.query('BEGIN');
      if (upserts.length > 0) await this.#client.query(UPSERT_BARS, this.#columns(upserts));
      if (deletes.length > 0) {
        await this.#client.query(DELETE_BARS, [
          deletes.map(({ stock }) => this.#idOf(stock)),
          deletes.map(({ startMs }) => startMs),
        ]);
      }
      await this.#client.query('COMMIT');
    });
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }

  #idOf(stock: number): bigint {
    return stock === -1 ? UNKNOWN_STOCK : this.#ids[stock]!;
  }

  #columns(rows: readonly PriceRow[]): unknown[][] {
    return [
      rows.map(({ stock }) => this.#idOf(stock)),
      rows.map(({ startMs }) => startMs),
      rows.map(({ open }) => priceText(open)),
      rows.map(({ high }) => priceText(high)),
      rows.map(({ low }) => priceText(low)),
      rows.map(({ close }) => priceText(close)),
      rows.map(({ volume }) => volume),
      rows.map(({ source }) => source),
    ];
  }

  async #guard<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw postgresError(error, doing);
    }
  }
}
