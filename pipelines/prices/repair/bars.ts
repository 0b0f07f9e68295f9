/** Bars that the pipeline holds otherwise than Postgres has them, and candles that are to be told again: told by operator records. */
import { PostgresPool, type Sql } from '../../../connectors/postgres/pool.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { Candle } from '../../../schemas/prices/candle.ts';
import type { OperatorRow } from '../../capture/operator-envelope.ts';
import { inPaced } from '../../operations/paced.ts';
import { type TellingOptions, type ToldRow, tellTruth } from '../../operations/tell-truth.ts';
import { microsText, PRICE_COLUMNS } from '../backfill/strays.ts';
import { candleDecoder } from '../codec/candle.ts';
import { keyOf, startOf, stockOf } from '../reconcile/key.ts';
import type { BarState } from '../reconcile/letters.ts';
import { CANDLE_KINDS, PricesSource } from '../reconcile/source.ts';
import { CDC_PRICES } from '../topics.ts';
import { newestRecords } from './newest-records.ts';
import { keyedCandles } from './topics.ts';

export interface BarsRepair extends Omit<TellingOptions, 'topic' | 'origin' | 'schemas'> {
  readonly schemas: TellingOptions['schemas'] & SchemaSource;
  /** Rows a second. */
  readonly rate: number;
  readonly signal: AbortSignal;
  readonly progress: (told: number) => void;
}

export interface BarToTell {
  readonly stockId: bigint;
  /** ms */
  readonly start: number;
  readonly partition: number;
  /** Its candles are told again, whatever is known of it. */
  readonly force: boolean;
}

export interface BarsToTell {
  readonly tell: readonly BarToTell[];
  /** Names of those of which nobody can say where they belong: the pipeline knows nothing of their stock. */
  readonly left: readonly string[];
}

type Reading = Pick<BarsRepair, 'postgresUrl' | 'log' | 'schemas'>;

const EVERYTHING = { since: null, until: null, stocks: [] } as const;

/** Of these bars, those that the pipeline itself holds otherwise than Postgres. Throws as the servers' clients. */
export async function missedBars(
  { postgresUrl, log, schemas }: Reading,
  names: readonly string[],
): Promise<BarsToTell> {
  if (names.length === 0) return { tell: [], left: [] };
  const { records, partitions } = await newestRecords(log, keyedCandles(schemas), new Set(names));
  const decoder = candleDecoder(schemas);
  await decoder.prepare([...records.values()].map(({ record }) => record.value));
  const asked = names.map((name) => ({ name, key: name.slice(name.indexOf(' ') + 1) }));
  const valid = await withSource(postgresUrl, async (source) =>
    source.bars(asked.map(({ key }) => ({ stockId: stockOf(key), micros: startOf(key) * 1_000 }))),
  );
  const wrong = asked.filter(({ name, key }) => {
    const value = records.get(name)?.record.value ?? null;
    const body = value === null ? null : decoder.decode(value).body;
    return !isSame(valid.get(keyOf(stockOf(key), startOf(key) * 1_000)) ?? null, body?.kind === 'Candle' ? body : null);
  });
  return placed(
    wrong.map(({ name, key }) => ({ name, stockId: stockOf(key), start: startOf(key), force: false })),
    partitions,
  );
}

/** Bars by which the stages are made to tell these candles again: one that is in the candle, or that there is none where it begins. */
export async function barsToForce(
  { postgresUrl, log, schemas }: Reading,
  names: readonly string[],
): Promise<BarsToTell> {
  if (names.length === 0) return { tell: [], left: [] };
  const { partitions } = await newestRecords(log, keyedCandles(schemas), new Set(names));
  const forced = await withSource(postgresUrl, async (source) => {
    const bars: (Omit<BarToTell, 'partition'> & { readonly name: string })[] = [];
    for (const kind of CANDLE_KINDS) {
      const keys = names.filter((name) => name.startsWith(`${kind} `)).map((name) => name.slice(kind.length + 1));
      const within = keys.length === 0 ? new Map<string, number>() : await source.barsIn(kind, keys);
      for (const key of keys) {
        bars.push({
          name: `${kind} ${key}`,
          stockId: stockOf(key),
          start: within.get(key) ?? startOf(key),
          force: true,
        });
      }
    }
    return bars;
  });
  return placed(forced, partitions);
}

/** Telling one twice changes nothing. Throws as `tellTruth`. */
export async function tellBars(options: BarsRepair, bars: readonly BarToTell[]): Promise<void> {
  // Several candles may have the same bar.
  const once = [...new Map(bars.map((bar) => [keyOf(bar.stockId, bar.start), bar])).values()];
  const telling = { ...options, topic: CDC_PRICES, origin: 'repair' } as const;
  await inPaced(once, options, async (piece) => {
    await tellTruth(telling, async (sql) => await truthOf(sql, piece));
  });
}

/** Rows of a stock that is not there count for nobody. */
async function truthOf(sql: Sql, bars: readonly BarToTell[]): Promise<readonly ToldRow[]> {
  const asked = bars.map(({ stockId, start }, n) => ({ n, stock_id: String(stockId), ms: start }));
  const { rows } = await sql.query<OperatorRow & { asked_n: number }>(
    `SELECT ${PRICE_COLUMNS}, o.n AS asked_n FROM jsonb_to_recordset($1::jsonb) AS o(n int, stock_id bigint, ms bigint)
     JOIN stock_prices r ON r.stock_id = o.stock_id AND r.ts = timestamptz 'epoch' + o.ms * interval '1 millisecond'
     JOIN stocks s ON s.id = r.stock_id`,
    [JSON.stringify(asked)],
  );
  const present = new Map(rows.map((row) => [row.asked_n, row]));
  return bars.map(({ stockId, start, partition, force }, n): ToldRow => {
    const row = present.get(n);
    if (row !== undefined) return { op: 'upsert', row, partition, force };
    const none = {
      open: '0.000000',
      high: '0.000000',
      low: '0.000000',
      close: '0.000000',
      volume: 0n,
      source: 'minute',
    };
    return { op: 'delete', row: { stock_id: stockId, ts: microsText(start), ...none }, partition, force };
  });
}

async function withSource<T>(url: string, work: (source: PricesSource) => Promise<T>): Promise<T> {
  const pool = new PostgresPool({ url, applicationName: 'sluice-repair', maxConnections: 1 });
  try {
    return await work(new PricesSource(pool, EVERYTHING));
  } finally {
    await pool.close();
  }
}

function placed(
  bars: readonly (Omit<BarToTell, 'partition'> & { readonly name: string })[],
  partitions: ReadonlyMap<bigint, number>,
): BarsToTell {
  return {
    tell: bars.flatMap(({ name: _, ...bar }) => {
      const partition = partitions.get(bar.stockId);
      return partition === undefined ? [] : [{ ...bar, partition }];
    }),
    left: bars.flatMap(({ name, stockId }) => (partitions.has(stockId) ? [] : [name])),
  };
}

/** Decimals of Postgres have six places. */
const e6 = (decimal: string): bigint => BigInt(decimal.replace('.', ''));

function isSame(row: BarState | null, candle: Candle | null): boolean {
  if (row === null || candle === null) return row === candle;
  return (
    e6(row.open) === candle.open_e6 &&
    e6(row.high) === candle.high_e6 &&
    e6(row.low) === candle.low_e6 &&
    e6(row.close) === candle.close_e6 &&
    row.volume === candle.volume &&
    row.source === candle.source
  );
}
