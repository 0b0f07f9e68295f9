/** prices.scanner, crashed at any step of any history, against a model that sorts all rows. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { type RawStock, stockChangeDecoder } from '../../../pipelines/prices/codec/cdc.ts';
import { encodeIndicators, indicatorsDecoder } from '../../../pipelines/prices/codec/indicators.ts';
import { asOfKey, candleKey } from '../../../pipelines/prices/codec/indicators-key.ts';
import { moversAsOfKey, moversDecoder } from '../../../pipelines/prices/codec/movers.ts';
import { Series } from '../../../pipelines/prices/indicators/series.ts';
import { scannerStage } from '../../../pipelines/prices/scanner-stage.ts';
import { CDC_STOCKS, DLQ, INDICATORS, MOVERS } from '../../../pipelines/prices/topics.ts';
import { type Indicators, type IndicatorsRecord, indicatorsRecordSchema } from '../../../schemas/prices/indicators.ts';
import { type Mover, moversRecordSchema } from '../../../schemas/prices/movers.ts';
import { type DriveOptions, driveStage } from '../../support/drive.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';
import { crashes, ticks } from '../engagement/histories.ts';
import { STOCK_SCHEMA, STOCK_SCHEMA_ID, stockEnvelope } from './price-rows.ts';

const IDS = { indicators: 1, movers: 2 };
const registry = schemasById({
  [IDS.indicators]: indicatorsRecordSchema,
  [IDS.movers]: moversRecordSchema,
  [STOCK_SCHEMA_ID]: STOCK_SCHEMA,
});
const DAY = 86_400_000;
/** A Monday, 1970-01-05. Stocks of exchange X count their days in UTC. */
const MONDAY = 4 * DAY;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-scanner-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Figures {
  readonly close: number;
  readonly previous: number;
  readonly volume: number;
  readonly ratio: number | null;
  readonly level: number | null;
}

const e6 = (price: number) => BigInt(price) * 1_000_000n;
const empty = new Series({ stock_id: 0n, interval: '1d' }).add({
  ...{ symbol: '', start: 0, end: 0, open_e6: 1n, high_e6: 1n, low_e6: 1n, close_e6: 1n, volume: 0n, final: false },
});

function row(stock: number, period: '1d' | '1w', start: number, figures: Figures): Indicators {
  const { close, previous, volume, ratio, level } = figures;
  return {
    ...empty,
    ...{ stock_id: BigInt(stock), symbol: `S${stock}`, interval: period, start },
    end: start + (period === '1d' ? DAY : 7 * DAY),
    ...{
      high_e6: e6(close + 1),
      low_e6: e6(close - 1),
      close_e6: e6(close),
      volume: BigInt(volume),
      volume_ratio: ratio,
    },
    ...{ previous_close_e6: e6(previous), previous_high_e6: e6(previous + 2), previous_low_e6: e6(previous - 1) },
    ...{ high_20d_e6: level === null ? null : e6(level), low_20d_e6: null, high_52w_e6: null },
    low_52w_e6: level === null ? null : e6(level),
  };
}

/** What happens in front of the stage. */
type Step =
  | {
      readonly do: 'row';
      readonly stock: number;
      readonly weekly: boolean;
      /** Counted from today. */
      readonly day: number;
      /** null: the candle is gone. */
      readonly figures: Figures | null;
    }
  /** Stream time goes on, and a stamp says so. */
  | { readonly do: 'time'; readonly hours: number }
  | { readonly do: 'sector'; readonly stock: number; readonly sector: string | null }
  /** Every row, or the newest state of every stock, once more. */
  | { readonly do: 'again'; readonly what: 'rows' | 'stocks' };

const STOCKS = 12;

class Source {
  readonly log = new MemoryLog();
  readonly rows = new Map<string, Indicators>();
  readonly sectors = new Map<number, string | null>();
  readonly beats: { readonly lsn: bigint; readonly timeMs: number }[] = [];
  readonly #writer = new ByteWriter();
  timeMs = MONDAY;
  #lsn = 0n;

  constructor() {
    for (let stock = 0; stock < STOCKS; stock++) this.classify(stock, null);
  }

  apply(step: Step): void {
    const today = Math.floor(this.timeMs / DAY);
    if (step.do === 'row') {
      const day = today + step.day;
      const start = step.weekly ? (Math.floor((day - 4) / 7) * 7 + 4) * DAY : day * DAY;
      this.put(step.stock, step.weekly ? '1w' : '1d', start, step.figures);
    } else if (step.do === 'time') {
      this.timeMs += step.hours * 3_600_000;
      this.stamp();
    } else if (step.do === 'sector') this.classify(step.stock, step.sector);
    else if (step.what === 'stocks') for (const [stock, sector] of this.sectors) this.classify(stock, sector);
    else for (const value of this.rows.values()) this.#row(value);
  }

  put(stock: number, period: '1d' | '1w', start: number, figures: Figures | null): void {
    const name = `${stock}|${period}|${start}`;
    if (figures === null) {
      this.rows.delete(name);
      this.log.append(INDICATORS, 0, { key: candleKey(BigInt(stock), period, start), value: null });
      return;
    }
    const value = row(stock, period, start, figures);
    this.rows.set(name, value);
    this.#row(value);
  }

  stamp(): void {
    const body = { kind: 'IndicatorsAsOf', partition: 0, stream_time: this.timeMs, source_lsn: ++this.#lsn } as const;
    this.beats.push({ lsn: this.#lsn, timeMs: this.timeMs });
    this.#append(asOfKey(0), { body });
  }

  classify(stock: number, sector: string | null): void {
    this.sectors.set(stock, sector);
    const block = { lsn: ++this.#lsn, xid: 1n, commitTsMs: this.timeMs };
    const listing = { id: BigInt(stock), symbol: `S${stock}`, exchange: exchangeOf(stock), sector };
    this.log.append(CDC_STOCKS, 0, { value: stockEnvelope(listing, 'u', block) });
  }

  #row(value: Indicators): void {
    const { stock_id, interval, start } = value;
    this.#append(candleKey(stock_id, interval as '1d' | '1w', start), { body: { kind: 'Indicators', ...value } });
  }

  #append(key: Buffer, value: IndicatorsRecord): void {
    this.log.append(INDICATORS, 0, { key, value: encodeIndicators(this.#writer, IDS.indicators, value) });
  }
}

const exchangeOf = (stock: number): string => (stock % 2 === 0 ? 'X' : 'Y');

const decoder = indicatorsDecoder(registry);
const stored = moversDecoder(registry);

/** What a test leaves to chance otherwise. */
const QUIET = { crashes: [], ticks: [{ steps: 0, rows: 1, clock: false }], maxRecords: 1_000, steps: [] };

/** Runs the stage until it has passed the source's last stamp. */
async function run(
  source: Source,
  options: Partial<DriveOptions<Step>> & { readonly limit?: number } = {},
): Promise<void> {
  const { limit = 3, ...rest } = options;
  await stored.load([IDS.movers]);
  const stocks = stockChangeDecoder(registry);
  await stocks.load([STOCK_SCHEMA_ID]);
  const steps: Step[] = [...(options.steps ?? []), { do: 'time', hours: 0 }];
  await driveStage<RawStock, Step>(
    { log: source.log, source, partition: 0, dir, ...QUIET, ...rest, steps },
    {
      stage: (rows) =>
        scannerStage({ stocks: rows, decoder, stored, schemaId: IDS.movers, rules: { limit, reserve: 2 } }),
      table: {
        topic: CDC_STOCKS,
        decode: ({ value }) => {
          const { after, lsn } = stocks.decode(value!);
          return { key: String(after!.id), lsn: lsn!, value: after! };
        },
        same: (a, b) => a.sector === b.sector,
      },
      prepare: async (records) => await decoder.prepare(records.map(({ value }) => value)),
      passed: () => {
        const stamp = source.log.records(MOVERS, 0).findLast(({ key }) => key!.toString() === moversAsOfKey(0));
        const body = stamp === undefined ? undefined : stored.decode(stamp.value!).body;
        return body?.kind === 'MoversAsOf' ? body.source_lsn : null;
      },
    },
  );
  expect(source.log.records(DLQ, 0)).toEqual([]);
}

function bodies(source: Source) {
  return [...source.log.compacted(MOVERS, 0).values()].map((value) => stored.decode(value).body);
}

/** Boards as the topic has them: universe and board to symbols. */
function seen(source: Source): Map<string, string[]> {
  const boards = new Map<string, string[]>();
  for (const body of bodies(source)) {
    if (body.kind !== 'Mover') continue;
    for (const board of body.boards) {
      const name = `${body.period} ${body.universe} ${board}`;
      boards.set(
        name,
        [...(boards.get(name) ?? []), `${body.symbol}@${body.candle.start}:${body.candle.close_e6}`].sort(),
      );
    }
  }
  return boards;
}

/** The same from all rows by sorting. */
function wanted(source: Source, limit: number): Map<string, string[]> {
  const current = new Map<string, Indicators>();
  for (const one of source.rows.values()) {
    let next = Math.floor(one.start / DAY) + 1;
    while ([2, 3].includes(next % 7)) next++; // 1970-01-01, day 0, was a Thursday
    const until = one.interval === '1w' ? one.end : next * DAY;
    if (one.start > source.timeMs || until <= source.timeMs) continue;
    const name = `${one.stock_id}|${one.interval}`;
    if ((current.get(name)?.start ?? Number.NEGATIVE_INFINITY) < one.start) current.set(name, one);
  }
  const boards = new Map<string, { readonly text: string; readonly symbol: string; readonly score: number }[]>();
  for (const one of current.values()) {
    const stock = Number(one.stock_id);
    const sector = source.sectors.get(stock)!;
    const change = Math.floor(
      ((2 * 10_000 * (Number(one.close_e6) - Number(one.previous_close_e6))) / Number(one.previous_close_e6) + 1) / 2,
    );
    const over = (price: bigint, level: bigint | null) =>
      level === null ? 0 : Math.floor(((20_000 * (Number(price) - Number(level))) / Number(level) + 1) / 2);
    const scores: Record<string, number | false> = {
      gainers: change > 0 && change,
      losers: change < 0 && -change,
      most_active: one.volume > 0n && Number(one.volume),
      unusual_volume: one.volume_ratio !== null && one.volume_ratio >= 2 && one.volume_ratio,
      high_20d: one.high_20d_e6 !== null && one.high_e6 > one.high_20d_e6 && over(one.high_e6, one.high_20d_e6),
      low_52w: one.low_52w_e6 !== null && one.low_e6 < one.low_52w_e6 && -over(one.low_e6, one.low_52w_e6),
    };
    const [high, low, close] = [one.previous_high_e6, one.previous_low_e6, one.previous_close_e6].map(Number);
    const pivot = (high! + low! + close!) / 3;
    const at = (...prices: readonly number[]) => {
      const [nearest] = prices
        .map((price) =>
          Math.abs(Math.floor((20_000 * (Math.round(price) - Number(one.close_e6))) / Number(one.close_e6) / 2 + 0.5)),
        )
        .sort((a, b) => a - b);
      return nearest! < 100 && 100 - nearest!;
    };
    scores.at_resistance = at(2 * pivot - low!, pivot + high! - low!);
    scores.at_support = at(2 * pivot - high!, pivot - high! + low!);
    const universes = ['all', `exchange:${exchangeOf(stock)}`, ...(sector === null ? [] : [`sector:${sector}`])];
    for (const [board, score] of Object.entries(scores)) {
      if (score === false) continue;
      for (const universe of universes) {
        const name = `${one.interval} ${universe} ${board}`;
        const text = `${one.symbol}@${one.start}:${one.close_e6}`;
        boards.set(name, [...(boards.get(name) ?? []), { text, symbol: one.symbol, score }]);
      }
    }
  }
  const top = (places: { readonly text: string; readonly symbol: string; readonly score: number }[]) =>
    places
      .sort((a, b) => b.score - a.score || (a.symbol < b.symbol ? 1 : -1))
      .slice(0, limit)
      .map(({ text }) => text)
      .sort();
  return new Map([...boards].map(([name, places]) => [name, top(places)]));
}

const calm: Figures = { close: 100, previous: 100, volume: 0, ratio: null, level: null };

describe('prices.scanner', () => {
  it('keeps the boards that sorting everything gives', async () => {
    const figures = fc.record({
      close: fc.integer({ min: 90, max: 110 }),
      previous: fc.constantFrom(80, 100, 125),
      volume: fc.nat(5),
      ratio: fc.constantFrom(null, 0.5, 2, 3.25),
      level: fc.constantFrom(null, 95, 100, 105),
    });
    const stock = fc.nat(STOCKS - 1);
    const step: fc.Arbitrary<Step> = fc.oneof(
      {
        weight: 12,
        arbitrary: fc.record({
          do: fc.constant('row' as const),
          stock,
          weekly: fc.boolean(),
          day: fc.integer({ min: -3, max: 2 }),
          figures: fc.option(figures, { nil: null, freq: 5 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant('time' as const), hours: fc.constantFrom(1, 1, 5, 24, 60) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('sector' as const), stock, sector: fc.constantFrom(null, 'A', 'B') }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('again' as const), what: fc.constantFrom('rows', 'stocks') }),
      },
    );
    const life = fc.record({
      crashes,
      ticks,
      maxRecords: fc.integer({ min: 1, max: 30 }),
      limit: fc.integer({ min: 1, max: 4 }),
    });
    const root = dir;
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 50, size: 'max' }), { minLength: 1, maxLength: 3 }),
        life,
        async (rounds, one) => {
          dir = join(root, String(runs++));
          const source = new Source();
          for (const steps of rounds) {
            await run(source, { ...one, steps });
            expect(Object.fromEntries(seen(source))).toEqual(Object.fromEntries(wanted(source, one.limit)));
          }
        },
      ),
      { seed: 31, numRuns: 60 },
    );
    dir = root;
  });

  it('fills a board again when a bar is retracted', async () => {
    const source = new Source();
    for (let stock = 1; stock <= 5; stock++) source.put(stock, '1d', MONDAY, { ...calm, close: 100 + stock });
    await run(source, { limit: 2 });
    const gainers = () =>
      seen(source)
        .get('1d all gainers')!
        .map((text) => text.split('@')[0]);
    expect(gainers()).toEqual(['S4', 'S5']);
    source.put(5, '1d', MONDAY, null);
    await run(source, { limit: 2 });
    expect(gainers()).toEqual(['S3', 'S4']);
    source.put(3, '1d', MONDAY, calm);
    await run(source, { limit: 2 });
    expect(gainers()).toEqual(['S2', 'S4']);
  });

  it('takes a high off when a correction shows that it was none', async () => {
    const source = new Source();
    source.put(1, '1d', MONDAY, { ...calm, level: 100 });
    await run(source);
    expect([...seen(source).keys()]).toContain('1d all high_20d');
    source.put(1, '1d', MONDAY, { ...calm, level: 101 });
    await run(source);
    expect([...seen(source).keys()]).not.toContain('1d all high_20d');
  });

  it('clears the boards when the next weekday begins, and forgets what has left', async () => {
    const source = new Source();
    const friday = MONDAY + 4 * DAY;
    source.timeMs = friday;
    source.put(1, '1d', friday, { ...calm, volume: 9 });
    await run(source);
    source.timeMs = friday + 3 * DAY - 1;
    await run(source);
    expect(seen(source).get('1d all most_active')).toEqual([`S1@${friday}:${e6(100)}`]);
    source.timeMs++;
    await run(source);
    expect(bodies(source).map(({ kind }) => kind)).toEqual(['MoversAsOf']);
  });

  it('shows the pivots of the period before with each mover', async () => {
    const source = new Source();
    source.put(1, '1d', MONDAY, { ...calm, volume: 9 });
    await run(source);
    const movers = bodies(source).filter((body): body is { kind: 'Mover' } & Mover => body.kind === 'Mover');
    expect(movers.map(({ universe }) => universe).sort()).toEqual(['all', 'exchange:Y']);
    for (const mover of movers) {
      expect(mover).toMatchObject({
        change_bp: 0n,
        pivot_e6: 100_333_333n,
        resistance_1_e6: 101_666_667n,
        support_1_e6: 98_666_667n,
      });
    }
  });
});
