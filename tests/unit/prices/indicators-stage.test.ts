/** prices.indicators, crashed at any step of any history, against one pass over each series. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import {
  encodeCandle,
  encodeCandleKey,
  seriesCandleDecoder,
  seriesKeyDecoder,
} from '../../../pipelines/prices/codec/candle.ts';
import { indicatorsDecoder, signalsV1Decoder } from '../../../pipelines/prices/codec/indicators.ts';
import { decodeIndicatorsKey } from '../../../pipelines/prices/codec/indicators-key.ts';
import { Series, type SeriesCandle } from '../../../pipelines/prices/indicators/series.ts';
import { indicatorsStage } from '../../../pipelines/prices/indicators-stage.ts';
import type { Interval } from '../../../pipelines/prices/intervals.ts';
import { CANDLES, DLQ, INDICATORS, SIGNALS_V1 } from '../../../pipelines/prices/topics.ts';
import { candleRecordSchema } from '../../../schemas/prices/candle.ts';
import { candleKeySchema } from '../../../schemas/prices/candle-key.ts';
import { type Indicators, indicatorsRecordSchema } from '../../../schemas/prices/indicators.ts';
import { signalsV1Schema } from '../../../schemas/prices/signals-v1.ts';
import { type DriveOptions, driveStage } from '../../support/drive.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';
import { crashes, ticks } from '../engagement/histories.ts';

const IDS = { candleKey: 1, candle: 2, indicators: 3, signalsKey: 1, signals: 4 };
const registry = schemasById({
  [IDS.candleKey]: candleKeySchema,
  [IDS.candle]: candleRecordSchema,
  [IDS.indicators]: indicatorsRecordSchema,
  [IDS.signals]: signalsV1Schema,
});
const DAY = 86_400_000;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-indicators-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Edit {
  readonly stock: number;
  readonly interval: Interval;
  readonly day: number;
  /** null: the candle is gone. */
  readonly close: number | null;
}

type Step = Edit | 'stamp';

/** The source of the test: what `prices.candles` says, and the same as a plain map. */
class Candles {
  readonly log = new MemoryLog();
  readonly present = new Map<string, Map<number, SeriesCandle>>();
  readonly beats: { readonly lsn: bigint; readonly timeMs: number }[] = [];
  readonly #writer = new ByteWriter();
  #lsn = 0n;

  apply(step: Step): void {
    if (step === 'stamp') this.stamp();
    else this.edit(step);
  }

  edit({ stock, interval, day, close }: Edit): void {
    const name = `${stock}|${interval}`;
    const series = this.present.get(name) ?? new Map<number, SeriesCandle>();
    this.present.set(name, series);
    const start = day * DAY;
    const key = encodeCandleKey(this.#writer, IDS.candleKey, { stock_id: BigInt(stock), interval, start });
    if (close === null) {
      series.delete(start);
      this.log.append(CANDLES, 0, { key, value: null });
      return;
    }
    const e6 = (price: number) => BigInt(price) * 1_000_000n;
    const figures = { open_e6: e6(close), high_e6: e6(close + 1), low_e6: e6(close - 1), close_e6: e6(close) };
    const candle = {
      symbol: `S${stock}`,
      start,
      end: start + DAY,
      ...figures,
      volume: BigInt(close * 10),
      final: day % 2 === 0,
    };
    series.set(start, candle);
    const value = encodeCandle(this.#writer, IDS.candle, {
      body: {
        kind: 'Candle',
        ...{
          stock_id: BigInt(stock),
          interval,
          ...candle,
          price_volume: Buffer.from([0]),
          vwap_e6: null,
          bars: 1,
          source: null,
        },
        ...{ source_lsn: ++this.#lsn, source_xid: 1n, source_commit_ts: 1_000 + Number(this.#lsn) },
      },
    });
    this.log.append(CANDLES, 0, { key, value });
  }

  stamp(): bigint {
    const key = encodeCandleKey(this.#writer, IDS.candleKey, { stock_id: -1n, interval: 'asof', start: 0 });
    const stamp = { partition: 0, stream_time: 1_000 + Number(++this.#lsn), source_lsn: this.#lsn, final_to: 0 };
    const value = encodeCandle(this.#writer, IDS.candle, { body: { kind: 'CandlesAsOf', ...stamp } });
    this.log.append(CANDLES, 0, { key, value });
    this.beats.push({ lsn: this.#lsn, timeMs: stamp.stream_time });
    return this.#lsn;
  }

  /** All rows as one pass over each series gives them. */
  wanted(): Map<string, Indicators> {
    const rows = new Map<string, Indicators>();
    for (const [name, candles] of this.present) {
      const [stock, interval] = name.split('|') as [string, Interval];
      const series = new Series({ stock_id: BigInt(stock), interval });
      for (const start of [...candles.keys()].sort((a, b) => a - b)) {
        rows.set(`${name}|${start}`, series.add(candles.get(start)!));
      }
    }
    return rows;
  }
}

const decoder = indicatorsDecoder(registry);
const keys = seriesKeyDecoder(registry);
const candles = seriesCandleDecoder(registry);

/** What the topic says by now: rows, series that are behind, and the stamp. */
function seen(log: MemoryLog) {
  const rows = new Map<string, Indicators>();
  const behind: string[] = [];
  let lsn = 0n;
  for (const [name, value] of log.compacted(INDICATORS, 0)) {
    const key = decodeIndicatorsKey(Buffer.from(name, 'latin1'));
    const { body } = decoder.decode(value);
    if (body.kind === 'IndicatorsAsOf') lsn = body.source_lsn;
    else if (body.kind === 'IndicatorsBehind') behind.push(`${body.stock_id}|${body.interval}|${body.from}`);
    else if (key.kind === 'candle') {
      const { kind: _, ...row } = body;
      rows.set(`${key.stockId}|${key.interval}|${key.start}`, row);
    }
  }
  return { rows, behind, lsn };
}

interface RunOptions extends Partial<DriveOptions<Step>> {
  readonly limits?: { readonly repairRows: number; readonly series: number };
  /** After each transaction. */
  readonly meanwhile?: () => void;
}

const QUIET = { crashes: [], ticks: [{ steps: 0, rows: 1, clock: false }], maxRecords: 10_000, steps: [] };

/** The stamp that came out last. */
function passed(log: MemoryLog): bigint | null {
  const stamp = log.records(INDICATORS, 0).findLast(({ key }) => decodeIndicatorsKey(key!).kind === 'asof');
  const body = stamp === undefined ? undefined : decoder.decode(stamp.value!).body;
  return body?.kind === 'IndicatorsAsOf' ? body.source_lsn : null;
}

/** Runs the stage until the source's last stamp is out. Returns how many transactions were made. */
async function run(source: Candles, options: RunOptions = {}): Promise<number> {
  const { limits = { repairRows: 3_000, series: 100 }, meanwhile, ...rest } = options;
  let transactions = 0;
  const probe = (step: string) => {
    if (step !== 'applied') return;
    transactions++;
    meanwhile?.();
  };
  await decoder.load([IDS.indicators]);
  await driveStage<never, Step>(
    { log: source.log, source, partition: 0, dir, ...QUIET, probe, ...rest },
    {
      stage: () => indicatorsStage({ keys, candles, stored: decoder, ids: IDS, limits }),
      prepare: async (records) => {
        await Promise.all([
          keys.prepare(records.map(({ key }) => key)),
          candles.prepare(records.map(({ value }) => value)),
        ]);
      },
      passed: () => passed(source.log),
    },
  );
  expect(source.log.records(DLQ, 0)).toEqual([]);
  return transactions;
}

/** The public topic says the same, without what is private. */
async function expectPublic(log: MemoryLog, rows: ReadonlyMap<string, Indicators>): Promise<void> {
  const signals = signalsV1Decoder(registry);
  await signals.load([IDS.signals]);
  const shown = new Map<string, unknown>();
  for (const [name, value] of log.compacted(SIGNALS_V1, 0)) {
    const { stock_id, interval, start } = keys.decode(Buffer.from(name, 'latin1'));
    shown.set(`${stock_id}|${interval}|${start}`, signals.decode(value));
  }
  expect([...shown.keys()].sort()).toEqual([...rows.keys()].sort());
  for (const [name, row] of shown) expect(rows.get(name)).toMatchObject(row as object);
}

describe('prices.indicators', () => {
  it('says after any history, crash and split what one pass over the candles says', async () => {
    const edit = fc.record({
      stock: fc.integer({ min: 1, max: 3 }),
      interval: fc.constantFrom<Interval>('1d', '5m'),
      day: fc.oneof(
        { weight: 3, arbitrary: fc.integer({ min: 30, max: 45 }) },
        { weight: 1, arbitrary: fc.integer({ min: -20, max: 60 }) },
      ),
      close: fc.option(fc.integer({ min: 2, max: 90 }), { nil: null, freq: 5 }),
    });
    let run_ = 0;
    const root = dir;
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { minLength: 1, maxLength: 150, size: 'max' }),
        fc.record({ crashes, ticks, maxRecords: fc.integer({ min: 1, max: 40 }) }),
        fc.record({ repairRows: fc.integer({ min: 1, max: 60 }), series: fc.integer({ min: 1, max: 6 }) }),
        async (edits, life, limits) => {
          dir = join(root, String(run_++));
          const source = new Candles();
          const steps = edits.flatMap((one, index): Step[] => (index % 20 === 19 ? [one, 'stamp'] : [one]));
          await run(source, { ...life, limits, steps: [...steps, 'stamp'] });
          const { rows, behind } = seen(source.log);
          expect(rows).toEqual(source.wanted());
          expect(behind).toEqual([]);
          await expectPublic(source.log, rows);
        },
      ),
      { seed: 21, numRuns: 60 },
    );
    dir = root;
  });

  it('computes live candles at once while a correction far back is in work, and loses neither in a crash', async () => {
    const source = new Candles();
    const history = 1_200;
    for (let day = 0; day < history; day++) source.edit({ stock: 1, interval: '1d', day, close: 50 + (day % 17) });
    for (let day = 0; day < 30; day++) source.edit({ stock: 2, interval: '1d', day, close: 20 + (day % 5) });
    source.stamp();
    await run(source);
    source.edit({ stock: 1, interval: '1d', day: 3, close: 99 });
    source.edit({ stock: 1, interval: '1d', day: 700, close: null });
    source.stamp();
    const stages: { readonly behind: readonly string[]; readonly live: boolean }[] = [];
    let day = 30;
    await run(source, {
      limits: { repairRows: 100, series: 10 },
      crashes: [
        { after: 5, at: 'committed', leaves: 'log' },
        { after: 5, at: 'processed', leaves: 'folder' },
      ],
      meanwhile: () => {
        const { rows, behind } = seen(source.log);
        const live = rows.get(`2|1d|${(day - 1) * DAY}`);
        stages.push({ behind, live: live !== undefined && live.sma_20 !== null });
        if (behind.length > 0 && day < 36) {
          source.edit({ stock: 2, interval: '1d', day: day++, close: 40 });
          source.stamp();
        }
      },
    });
    expect(stages.filter(({ behind }) => behind.length > 0).length).toBeGreaterThan(5);
    // Each live candle is there a transaction later, though the other series is behind all the time.
    expect(stages.slice(0, 6).filter(({ live }) => live).length).toBeGreaterThanOrEqual(4);
    expect(day).toBe(36);
    expect(seen(source.log)).toMatchObject({ rows: source.wanted(), behind: [] });
  });

  it('passes no stamp on while a series is behind', async () => {
    const source = new Candles();
    for (let day = 0; day < 600; day++) source.edit({ stock: 1, interval: '1d', day, close: 50 + (day % 7) });
    const loaded = source.stamp();
    await run(source);
    source.edit({ stock: 1, interval: '1d', day: 0, close: 77 });
    source.stamp();
    const before: bigint[] = [];
    const transactions = await run(source, {
      limits: { repairRows: 150, series: 10 },
      meanwhile: () => {
        const { behind, lsn } = seen(source.log);
        if (behind.length > 0) before.push(lsn);
      },
    });
    expect(transactions).toBeGreaterThan(2);
    expect(before.length).toBeGreaterThan(1);
    expect(new Set(before)).toEqual(new Set([loaded]));
    expect(seen(source.log).rows).toEqual(source.wanted());
  });

  it('tells again what is told again, and takes off again what is not there, and computes nothing behind it', async () => {
    const source = new Candles();
    const edits: Edit[] = Array.from({ length: 40 }, (_, day) => ({ stock: 1, interval: '1h', day, close: 10 + day }));
    for (const one of edits) source.edit(one);
    source.stamp();
    await run(source);
    const before = seen(source.log).rows;
    const written = source.log.records(INDICATORS, 0).length;
    // One in the past, the newest, and one that nobody knows.
    for (const one of [edits[7]!, edits.at(-1)!, { ...edits[0]!, day: -3, close: null }]) source.edit(one);
    source.stamp();
    await run(source);
    const told = source.log.records(INDICATORS, 0).slice(written);
    const starts = told.map(({ key, value }) => {
      const at = decodeIndicatorsKey(key!);
      return [at.kind === 'candle' ? at.start / DAY : at.kind, value === null];
    });
    expect(starts).toEqual([
      [-3, true],
      [7, false],
      [39, false],
      ['asof', false],
    ]);
    const signals = source.log.records(SIGNALS_V1, 0).slice(-3);
    expect(signals.map(({ value }) => value === null)).toEqual([true, false, false]);
    expect(seen(source.log)).toMatchObject({ rows: before, behind: [] });
    await expectPublic(source.log, before);
  });
});
