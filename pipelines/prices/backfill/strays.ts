/** What the prices pipeline holds of its rows: what looking for strays (operations/backfill/strays.ts) is told. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { Candle } from '../../../schemas/prices/candle.ts';
import type { RowRange } from '../../operations/backfill/condition.ts';
import type { HeldRows } from '../../operations/backfill/strays.ts';
import { CANDLES_STAGE } from '../candles-stage.ts';
import { PRICES_TABLE } from '../capture.ts';
import { candleDecoder, candleKeyDecoder } from '../codec/candle.ts';
import { decimalText } from '../codec/decimal-text.ts';
import { BAR } from '../intervals.ts';
import { CANDLES, CDC_PRICES } from '../topics.ts';

/** Rows of stock_prices are the bars among the candles. */
export function heldBars(schemas: SchemaSource): HeldRows<Candle> {
  const keys = candleKeyDecoder(schemas);
  const candles = candleDecoder(schemas);
  return {
    stage: CANDLES_STAGE,
    captured: CDC_PRICES,
    topic: CANDLES,
    table: PRICES_TABLE.name,
    key: PRICES_TABLE.key,
    identity: PRICES_TABLE.key,
    select: PRICE_COLUMNS,
    prepare: async (records) => {
      await keys.prepare(records.map(({ key }) => key));
      await candles.prepare(records.map(({ value }) => value));
    },
    state: ({ key, value }) => {
      if (key === null) return undefined;
      const { stock_id: stockId, interval, start } = keys.decode(key);
      if (interval !== BAR) return undefined;
      const body = value === null ? null : candles.decode(value).body;
      return { name: `${stockId}/${start}`, row: body?.kind === 'Candle' ? body : null };
    },
    mayBeIn,
    columns: (bar) => ({
      stock_id: bar.stock_id,
      ts: microsText(bar.start),
      open: decimalText(bar.open_e6),
      high: decimalText(bar.high_e6),
      low: decimalText(bar.low_e6),
      close: decimalText(bar.close_e6),
      volume: bar.volume,
      source: bar.source,
    }),
    // A row of another stock is another row.
    partition: (_, held) => held,
  };
}

/** Of a row `r` of stock_prices, as a record has them: the time is part of its key, which must be what Debezium writes to the letter. */
export const PRICE_COLUMNS = `r.*, to_char(r.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ts`;

/** As Debezium writes a time of whole milliseconds. */
export const microsText = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

function mayBeIn({ from, to, groups }: RowRange, { stock_id: stockId, start }: Candle): boolean {
  return (
    (from === null || start >= from.getTime()) &&
    (to === null || start < to.getTime()) &&
    (groups.length === 0 || groups.includes(String(stockId)))
  );
}
