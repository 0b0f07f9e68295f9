/** prices.candles, crashed at any step of any history, against a model that computes every candle from all rows. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperatorGuard } from '../../../pipelines/operations/operator-guard.ts';
import { candlesStage, listingOf, type StockVersion, sameListing } from '../../../pipelines/prices/candles-stage.ts';
import { candleDecoder, candleKeyDecoder, candleV1Decoder } from '../../../pipelines/prices/codec/candle.ts';
import { priceChangeDecoder, stockChangeDecoder } from '../../../pipelines/prices/codec/cdc.ts';
import { zoneOf } from '../../../pipelines/prices/exchanges.ts';
import { CANDLES, CANDLES_V1, CDC_PRICES, CDC_STOCKS, DLQ } from '../../../pipelines/prices/topics.ts';
import { type Candle, type CandlesAsOf, candleRecordSchema } from '../../../schemas/prices/candle.ts';
import { candleKeySchema } from '../../../schemas/prices/candle-key.ts';
import { type CandleV1, candleV1Schema } from '../../../schemas/prices/candle-v1.ts';
import { type DriveOptions, driveStage } from '../../support/drive.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';
import { crashes, ticks } from '../engagement/histories.ts';
import { bucketName, type ModelCandle, modelCandles } from './model.ts';
import { PRICE_SCHEMA, PRICE_SCHEMA_ID, STOCK_SCHEMA, STOCK_SCHEMA_ID } from './price-rows.ts';
import { type Op, PriceSource, type Prices, type Step, type StockRow } from './source.ts';

const SEED = 20_260_102;
const IDS = { key: 1, candle: 2, candleV1: 3 };
const registry = schemasById({
  [IDS.key]: candleKeySchema,
  [IDS.candle]: candleRecordSchema,
  [IDS.candleV1]: candleV1Schema,
  [PRICE_SCHEMA_ID]: PRICE_SCHEMA,
  [STOCK_SCHEMA_ID]: STOCK_SCHEMA,
});
const LATENESS_MS = 300_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Runs the stage until it has passed the last heartbeat. */
async function drive(
  options: DriveOptions<Step> & { readonly pieceCandles?: number; readonly latenessMs?: number },
): Promise<number> {
  const { log, pieceCandles, latenessMs = LATENESS_MS } = options;
  const decoder = priceChangeDecoder(registry);
  const stocks = stockChangeDecoder(registry);
  const stored = candleDecoder(registry);
  await stored.load([IDS.candle]);
  await stocks.load([STOCK_SCHEMA_ID]);
  const operators = new OperatorGuard({ client: log, reader: log.reader(), topic: CDC_PRICES });
  return await driveStage<StockVersion, Step>(options, {
    stage: (rows) => candlesStage({ stocks: rows, decoder, stored, ids: IDS, operators, latenessMs, pieceCandles }),
    table: {
      topic: CDC_STOCKS,
      decode: ({ value }) => listingOf(stocks.decode(value!))!,
      same: sameListing,
    },
    prepare: async (records, at) => {
      await operators.prepare(records, at);
      await decoder.prepare(records.map(({ value }) => value));
    },
    passed: () => {
      const last = log.records(CANDLES, 0).at(-1);
      const body = last?.value == null ? undefined : stored.decode(last.value).body;
      return body?.kind === 'CandlesAsOf' ? body.source_lsn : null;
    },
  });
}

interface Came {
  readonly candles: readonly Candle[];
  readonly v1: readonly CandleV1[];
  readonly asOf: CandlesAsOf;
}

/** What compaction leaves. */
async function cameOut(log: MemoryLog): Promise<Came> {
  const [keys, decoder, v1] = [candleKeyDecoder(registry), candleDecoder(registry), candleV1Decoder(registry)];
  await keys.load([IDS.key]);
  await decoder.load([IDS.candle]);
  await v1.load([IDS.candleV1]);
  const bodies = [...log.compacted(CANDLES, 0)].map(([key, value]) => {
    const { body } = decoder.decode(value);
    const named = keys.decode(Buffer.from(key, 'latin1'));
    if (body.kind === 'Candle')
      expect(named).toEqual({ stock_id: body.stock_id, interval: body.interval, start: body.start });
    else expect(named).toEqual({ stock_id: -1n, interval: 'asof', start: 0 });
    return body;
  });
  return {
    candles: bodies.filter((body) => body.kind === 'Candle'),
    v1: [...log.compacted(CANDLES_V1, 0).values()].map((value) => v1.decode(value)),
    asOf: bodies.find((body) => body.kind === 'CandlesAsOf')!,
  };
}

const plain = (candle: CandleV1): ModelCandle => ({
  open: candle.open_e6,
  high: candle.high_e6,
  low: candle.low_e6,
  close: candle.close_e6,
  volume: candle.volume,
  vwap: candle.vwap_e6,
  bars: candle.bars,
});

/** All that is promised of the partition, after the last heartbeat. */
async function check(log: MemoryLog, source: PriceSource, stocks: readonly StockRow[]): Promise<Came> {
  const came = await cameOut(log);
  const { candles, v1, asOf } = came;
  const shown = candles.filter(({ interval }) => interval !== 'bar');
  const good = [...source.rows.values()].filter((row) => row.good).map(({ columns }) => columns);
  for (const stock of stocks) {
    const zone = zoneOf(stock.exchange);
    const of = ({ stock_id }: { readonly stock_id: bigint }) => stock_id === stock.id;
    const named = shown.filter(of).map((one) => [bucketName(one.interval, one.start, zone), plain(one)] as const);
    expect(new Map(named)).toEqual(modelCandles(good.filter(of), zone));
    expect(named.length).toBe(new Set(named.map(([name]) => name)).size);
    expect(new Set(candles.filter(of).map(({ symbol }) => symbol)).size).toBeLessThan(2);
  }
  const bars = candles.filter(({ interval }) => interval === 'bar');
  expect(
    new Set(bars.map(({ stock_id, start, source, close_e6 }) => `${stock_id} ${start} ${source} ${close_e6}`)),
  ).toEqual(
    new Set(
      good.map(
        (row) => `${row.stock_id} ${Date.parse(row.ts)} ${row.source} ${row.close.replace('.', '').replace(/^0+/, '')}`,
      ),
    ),
  );
  const beat = source.beats.at(-1)!;
  expect(asOf).toMatchObject({
    partition: 0,
    stream_time: beat.timeMs,
    source_lsn: beat.lsn,
    final_to: beat.timeMs - LATENESS_MS,
  });
  for (const { interval, end, final } of candles) expect(final).toBe(interval === 'bar' || end <= asOf.final_to);
  // The public topic says the same.
  const byKey = (one: CandleV1) => `${one.stock_id} ${one.interval} ${one.start}`;
  const contract = (one: CandleV1) =>
    [byKey(one), { ...plain(one), end: one.end, final: one.final, lsn: one.source_lsn }] as const;
  expect(new Map(v1.map(contract))).toEqual(new Map(shown.map(contract)));
  const letters = log.records(DLQ, 0).map(({ headers }) => {
    return String(headers.find(({ key }) => key === 'sluice.offset')!.value);
  });
  expect(letters).toEqual(source.letters.filter(({ bad }) => bad).map(({ offset }) => String(offset)));
  return came;
}

const STOCKS: readonly StockRow[] = [
  { id: 7n, symbol: 'NY', exchange: 'NYSE' },
  { id: 2n ** 60n + 1n, symbol: 'IN', exchange: 'NSE' },
];
/** 1 November 2026: the clock in New York goes back at 06:00 UTC. */
const SUNDAY = Date.UTC(2026, 10, 1);
const MIDNIGHT = [4 * HOUR_MS, -5.5 * HOUR_MS];
const MINUTES = [0, 1, 2, 4, 5, 14, 15, 59, 60, 61, 75, 119, 120, 121, 180, 24 * 60, 25 * 60, 25 * 60 + 1];
/** Minutes from midnight, over the hour that comes twice and the night behind it, then the midnights of a few days and weeks. */
const SLOTS = STOCKS.map((_, stock) => {
  const midnight = SUNDAY + MIDNIGHT[stock]!;
  const wrong = stock === 0 ? HOUR_MS : 0; // New York is an hour nearer after that Sunday
  const minutes = MINUTES.map((minute) => midnight + minute * MINUTE_MS);
  const days = [-8, -7, -1].map((day) => midnight + day * DAY_MS);
  return [...minutes, ...days, midnight + 2 * DAY_MS + wrong];
});
/** Slots that are a midnight of the exchange, at which a daily bar may be. */
const MIDNIGHTS = [0, ...Array.from({ length: 4 }, (_, day) => MINUTES.length + day)];

const prices: fc.Arbitrary<Prices> = fc
  .record({
    low: fc.integer({ min: 1, max: 5 }),
    up: fc.nat(4),
    a: fc.nat(4),
    b: fc.nat(4),
    volume: fc.constantFrom(0, 1, 2, 7, 2 ** 40),
  })
  .map(({ low, up, a, b, volume }) => {
    return { low, high: low + up, open: low + Math.min(a, up), close: low + Math.min(b, up), volume };
  });
const stock = fc.nat(STOCKS.length - 1);
const slot = fc.nat(SLOTS[0]!.length - 1);
const bad = fc.constantFrom(
  { close: 'NaN' },
  { high: '0.000001', low: '0.000002' },
  { volume: -1n },
  { open: '-0.010000' },
  { close: '99.000000' },
);
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      stock,
      slot,
      source: fc.constantFrom('minute', 'vendor'),
      prices,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      ...{ stock, prices },
      slot: fc.constantFrom(...MIDNIGHTS),
      source: fc.constantFrom('daily', 'daily:vendor'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('delete' as const), stock, slot }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('spoil' as const), stock, slot, with: bad }) },
  { weight: 1, arbitrary: fc.constant({ op: 'snapshot' as const }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('redeliver' as const), stock, slot }) },
  { weight: 1, arbitrary: fc.constant({ op: 'garbage' as const }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('unlist' as const), stock }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('list' as const), stock }) },
  { weight: 3, arbitrary: fc.constant({ op: 'heartbeat' as const }) },
);
const step: fc.Arbitrary<Step> = fc.record({
  do: op,
  waitMs: fc.oneof(fc.nat(2_000), fc.nat(20 * MINUTE_MS), fc.nat(30 * HOUR_MS)),
});
const LAST: Step = { do: { op: 'heartbeat' }, waitMs: 1_000 };
const history = fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }).map((steps) => [...steps, LAST]);
const life = fc.record({
  crashes,
  ticks,
  maxRecords: fc.integer({ min: 1, max: 9 }),
  pieceCandles: fc.integer({ min: 1, max: 9 }),
});

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-candles-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('prices.candles, crashed at any step of any history', () => {
  it('keeps every candle equal to its rows', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(history, life, async (steps, one) => {
        const log = new MemoryLog();
        // Nothing is ahead of its time: a bar may be written a day before it begins, and no earlier.
        const source = new PriceSource(log, STOCKS, SLOTS, SUNDAY + 2.5 * DAY_MS);
        await drive({ log, source, steps: [...steps], partition: 0, dir: join(dir, String(run++)), ...one });
        await check(log, source, STOCKS);
      }),
      { seed: SEED, numRuns: 300, endOnFailure: true },
    );
  }, 120_000);
});

describe('prices.candles', () => {
  const quiet = { partition: 0, crashes: [], ticks: [{ steps: 0, rows: 1, clock: true }], maxRecords: 100 };
  const at = (waitMs: number, one: Op): Step => ({ do: one, waitMs });
  const bar = (slotOf: number, close: number, source = 'minute'): Op => {
    const figures = { open: close, high: close, low: close, close, volume: 1 };
    return { op: 'write', stock: 0, slot: slotOf, source, prices: figures };
  };

  /** Every value of a candle in turn; null for a tombstone. */
  async function valuesOf(log: MemoryLog, interval: string, start: number): Promise<(Candle | null)[]> {
    const [keys, decoder] = [candleKeyDecoder(registry), candleDecoder(registry)];
    await keys.load([IDS.key]);
    await decoder.load([IDS.candle]);
    return log.records(CANDLES, 0).flatMap(({ key, value }) => {
      const named = keys.decode(key!);
      if (named.interval !== interval || named.start !== start) return [];
      return [value === null ? null : (decoder.decode(value).body as Candle)];
    });
  }

  it('makes a candle final once the allowed lateness has passed, and corrects it for a bar that still comes', async () => {
    const log = new MemoryLog();
    const start = SLOTS[0]![0]!;
    const source = new PriceSource(log, STOCKS, SLOTS, start);
    const wait = 5 * MINUTE_MS + LATENESS_MS;
    const steps = [at(0, bar(0, 3)), at(wait - 1, LAST.do), at(1, LAST.do), at(1_000, bar(1, 5)), at(1, LAST.do)];
    await drive({ log, source, steps, dir, ...quiet });
    const told = (await valuesOf(log, '5m', start)).map((one) => [one!.close_e6, one!.final]);
    expect(told).toEqual([
      [30_000n, false],
      [30_000n, true],
      [50_000n, true],
    ]);
    await check(log, source, STOCKS);
  });

  it('opens nothing again when the allowed lateness is raised', async () => {
    const log = new MemoryLog();
    const start = SLOTS[0]![0]!;
    const source = new PriceSource(log, STOCKS, SLOTS, start);
    await drive({ log, source, steps: [at(0, bar(0, 3)), at(HOUR_MS, LAST.do)], dir, ...quiet });
    const steps = [at(1, bar(1, 5)), at(1, LAST.do)];
    await drive({ log, source, steps, dir, ...quiet, latenessMs: 10 * HOUR_MS });
    expect((await valuesOf(log, '5m', start)).slice(-2).map((one) => one!.final)).toEqual([true, true]);
    expect((await cameOut(log)).asOf.final_to).toBe(start + HOUR_MS - LATENESS_MS);
  });

  it('says nothing of what is delivered again, and ends a transaction with its stamp', async () => {
    const log = new MemoryLog();
    const source = new PriceSource(log, STOCKS, SLOTS, SUNDAY + 3 * DAY_MS);
    const steps = [at(0, bar(0, 3)), at(1, LAST.do), at(1, { op: 'snapshot' }), at(1, LAST.do)];
    await drive({ log, source, steps, dir, ...quiet });
    expect(log.records(CANDLES_V1, 0)).toHaveLength(5);
    await check(log, source, STOCKS);
  });

  it('tells candles again that a command wants told, and takes off one that is not there', async () => {
    const log = new MemoryLog();
    const source = new PriceSource(log, STOCKS, SLOTS, SUNDAY + 3 * DAY_MS);
    await drive({ log, source, steps: [at(0, bar(1, 3)), at(1, LAST.do)], dir, ...quiet });
    const told = log.records(CANDLES_V1, 0).length;
    source.force(0, 1);
    // Of this bar nobody ever heard; it is in an hour of its own.
    source.force(0, 8);
    await drive({ log, source, steps: [at(1, LAST.do)], dir, ...quiet });
    const again = log.records(CANDLES_V1, 0).slice(told);
    const keys = candleKeyDecoder(registry);
    await keys.load([IDS.key]);
    const names = again.map(({ key, value }) => `${keys.decode(key!).interval}${value === null ? ' gone' : ''}`);
    expect(names).toEqual(['5m', '5m gone', '15m', '15m gone', '1h', '1h gone', '1d', '1w']);
    await check(log, source, STOCKS);
  });

  it('takes no bar of a stock that was deleted before, and takes off what it had of one', async () => {
    const log = new MemoryLog();
    const source = new PriceSource(log, STOCKS, SLOTS, SUNDAY + 3 * DAY_MS);
    const unlisted = [at(1, { op: 'unlist', stock: 0 }), at(1, bar(2, 4)), at(1, LAST.do)];
    const listed = [at(1, { op: 'list', stock: 0 }), at(1, { op: 'snapshot' }), at(1, LAST.do)];
    const steps = [at(0, bar(1, 3)), at(1, { op: 'delete', stock: 0, slot: 1 }), ...unlisted];
    await drive({ log, source, steps, dir, ...quiet });
    expect((await check(log, source, STOCKS)).candles).toEqual([]);
    expect(log.records(DLQ, 0)).toHaveLength(1);
    await drive({ log, source, steps: listed, dir, ...quiet });
    expect((await check(log, source, STOCKS)).v1).toHaveLength(5);
  });

  it('takes the daily bar of a day without bars of minutes, and of no other', async () => {
    const log = new MemoryLog();
    const source = new PriceSource(log, STOCKS, SLOTS, SUNDAY + 3 * DAY_MS);
    const midnight = SLOTS[0]![0]!;
    const steps = [
      at(0, bar(0, 3, 'daily')),
      at(1, bar(1, 5)),
      at(1, { op: 'delete', stock: 0, slot: 1 }),
      at(1, { op: 'delete', stock: 0, slot: 0 }),
      at(1, LAST.do),
    ];
    await drive({ log, source, steps, dir, ...quiet, maxRecords: 1 });
    const days = await valuesOf(log, '1d', midnight);
    expect(days.map((day) => day && [day.close_e6, day.source, day.end - day.start])).toEqual([
      [30_000n, 'daily', 25 * HOUR_MS],
      [50_000n, null, 25 * HOUR_MS],
      [30_000n, 'daily', 25 * HOUR_MS],
      null,
    ]);
    expect(log.compacted(CANDLES_V1, 0).size).toBe(0);
  });
});
