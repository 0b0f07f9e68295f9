/** What the pipeline and its ClickHouse sink have put aside: which bars, in which state, and why. */
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { type Projected, record } from '../../../engine/avro/projection.ts';
import type { LogClient } from '../../../engine/log.ts';
import { type RowChange, rowChangeDecoder } from '../../capture/envelope.ts';
import type { Letter as Put } from '../../operations/dlq/letter.ts';
import { decodable, LettersByRow, type NewestLetter, readNewestLetters } from '../../operations/reconcile/letters.ts';
import { candleKeyDecoder } from '../codec/candle.ts';
import { decodeIndicatorsKey } from '../codec/indicators-key.ts';
import { CANDLES, CANDLES_SINK, CDC_PRICES, DLQ, INDICATORS, INDICATORS_CLICKHOUSE_SINK } from '../topics.ts';
import { keyOf, startOf, stockOf } from './key.ts';
import { type Scope, scopedStocks } from './scope.ts';

const rowShape = record({
  stockId: { from: 'stock_id', read: 'bigint' },
  micros: { from: 'ts', read: 'micros' },
  open: { from: 'open', read: 'string' },
  high: { from: 'high', read: 'string' },
  low: { from: 'low', read: 'string' },
  close: { from: 'close', read: 'string' },
  volume: { from: 'volume', read: 'bigint' },
  source: { from: 'source', read: 'string' },
});

const keyShape = record({
  stockId: { from: 'stock_id', read: 'bigint' },
  micros: { from: 'ts', read: 'micros' },
});

/** A row of stock_prices; decimals are text. */
export type BarState = Projected<typeof rowShape>;
export type BarLetter = NewestLetter<BarState>;

export interface PriceLetters {
  /** Of captured bars, by `stock micros`: no sink has what they say. */
  readonly bars: ReadonlyMap<string, BarLetter>;
  /** Of what ClickHouse alone refused, by `kind stock start`: the offset in prices.candles. */
  readonly warehouse: ReadonlyMap<string, NewestLetter<bigint>>;
  /** The same of prices.indicators. */
  readonly indicators: ReadonlyMap<string, NewestLetter<bigint>>;
}

export const NO_LETTERS: PriceLetters = { bars: new Map(), warehouse: new Map(), indicators: new Map() };

/** Those of bars that are compared. */
export function lettersOf(letters: PriceLetters, scope: Scope): PriceLetters {
  const isScoped = scopedStocks(scope);
  const [from, to] = [
    scope.since?.getTime() ?? Number.NEGATIVE_INFINITY,
    scope.until?.getTime() ?? Number.POSITIVE_INFINITY,
  ];
  const within = [...letters.bars].filter(([key]) => {
    const start = startOf(key) / 1_000;
    return isScoped(stockOf(key)) && start >= from && start < to;
  });
  return { ...letters, bars: new Map(within) };
}

/** The reason for which ClickHouse does not show what it refused; null when the version that it shows is no older. */
export function refusal(letter: NewestLetter<bigint> | undefined, shown: string | undefined): string | null {
  if (letter === undefined || typeof letter.state !== 'bigint') return null;
  return letter.state > BigInt(shown ?? -1) ? letter.reason : null;
}

/** Reads the whole topic. Throws as `readNewestLetters`. */
export async function readPriceLetters(client: LogClient, schemas: SchemaSource): Promise<PriceLetters> {
  const bars = new LettersByRow<string, BarState>();
  const warehouse = new LettersByRow<string, bigint>();
  const indicators = new LettersByRow<string, bigint>();
  const values = rowChangeDecoder(schemas, rowShape);
  const keys = new FramedDecoder({ source: schemas, compile: (writer) => compileReader(writer, keyShape) });
  const candleKeys = candleKeyDecoder(schemas);
  await readNewestLetters(client, {
    topic: DLQ,
    books: [bars, warehouse, indicators],
    prepare: async (letters) => {
      const captured = letters.filter(({ topic }) => topic === CDC_PRICES);
      await values.prepare(captured.map(({ value }) => value));
      await keys.prepare(captured.map(({ key }) => key));
      await candleKeys.prepare(letters.filter(isOfWarehouse).map(({ key }) => key));
    },
    put: (letter) => {
      if (letter.topic === CDC_PRICES) {
        const change = decodable(() => values.decode(letter.value ?? Buffer.alloc(0)));
        const row = change === null ? null : (change.after ?? change.before);
        const at = row ?? decodable(() => keys.decode(letter.key ?? Buffer.alloc(0)));
        bars.put(letter, at === null || at.micros === null ? null : keyOf(at.stockId, at.micros), stateOf(change));
      } else if (isOfWarehouse(letter)) {
        const at = decodable(() => candleKeys.decode(letter.key ?? Buffer.alloc(0)));
        warehouse.put(letter, at === null ? null : `${at.interval} ${keyOf(at.stock_id, at.start)}`, letter.offset);
      } else if (letter.topic === INDICATORS && letter.stage === INDICATORS_CLICKHOUSE_SINK) {
        const at = decodable(() => decodeIndicatorsKey(letter.key ?? Buffer.alloc(0)));
        const name = at?.kind === 'candle' ? `${at.interval} ${keyOf(at.stockId, at.start)}` : null;
        indicators.put(letter, name, letter.offset);
      }
    },
  });
  return { bars: bars.byRow, warehouse: warehouse.byRow, indicators: indicators.byRow };
}

function isOfWarehouse({ topic, stage }: Put): boolean {
  return topic === CANDLES && stage === CANDLES_SINK;
}

function stateOf(change: RowChange<BarState> | null): BarLetter['state'] {
  if (change === null) return 'unknown';
  return change.op === 'd' ? null : (change.after ?? 'unknown');
}
