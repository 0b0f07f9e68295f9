import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { priceChangeDecoder, stockChangeDecoder } from '../../../pipelines/prices/codec/cdc.ts';
import { decimalE6 } from '../../../pipelines/prices/codec/decimal.ts';
import { CDC_PRICES, CDC_STOCKS } from '../../../pipelines/prices/topics.ts';
import schemas from '../../../scripts/bench/captured-schemas.json' with { type: 'json' };
import { PricesHistory } from '../../../scripts/bench/prices-history.ts';
import { GRAINS, type Grain, PriceRecording } from '../../../scripts/bench/prices-recording.ts';
import { avscType, schemasById } from '../codec/debezium.ts';

type Schema = Parameters<typeof avscType>[0];
const IDS = { stocks: { key: 1, value: 2 }, bars: { key: 3, value: 4 } };
const registry = schemasById({
  [IDS.stocks.value]: schemas[CDC_STOCKS].value as unknown as Schema,
  [IDS.bars.value]: schemas[CDC_PRICES].value as unknown as Schema,
});
const ids = new Map([[CDC_STOCKS, IDS.stocks] as const, [CDC_PRICES, IDS.bars] as const]);
const options = (grain: Grain, records = 3_000) => ({
  ...{ records, symbols: 40, grain, seed: 7, endMs: Date.UTC(2026, 0, 5) },
});

describe.each(GRAINS)('a recorded history of bars of a %s', (grain) => {
  it('changes rows from what they were, in the order of their positions', () => {
    const rows = new Map<string, unknown>();
    const count = { c: 0, u: 0, d: 0 };
    let lsn = 0n;
    for (const { op, before, after, source } of [...new PriceRecording(options(grain)).transactions()].flatMap(
      ({ changes }) => changes,
    )) {
      const name = `${(after ?? before)!.stock} ${(after ?? before)!.startMs}`;
      count[op] += 1;
      expect(before).toEqual(op === 'c' ? null : rows.get(name));
      expect(source.lsn).toBeGreaterThan(lsn);
      lsn = source.lsn;
      if (after === null) rows.delete(name);
      else rows.set(name, after);
    }
    expect(count.c + count.u + count.d).toBeGreaterThanOrEqual(3_000);
    expect(count.u > 100 && count.d > 20).toBe(grain === 'minute');
  });

  it('is written as the captured schemas say, and read back by the pipeline', async () => {
    const recording = new PriceRecording(options(grain, 300));
    const wanted = [...recording.transactions()].flatMap(({ changes }) => changes);
    const bars = priceChangeDecoder(registry);
    const stocks = stockChangeDecoder(registry);
    await bars.load([IDS.bars.value]);
    await stocks.load([IDS.stocks.value]);
    const judge = {
      bar: avscType(schemas[CDC_PRICES].value as unknown as Schema),
      symbols: new Set<string>(),
      bars: 0,
    };
    const history = new PricesHistory({ ...options(grain, 300), partitions: 4 });
    for (const { records } of history.transactions(new ByteWriter(), ids)) {
      for (const { topic, value, partition } of records) {
        if (topic === CDC_STOCKS) {
          judge.symbols.add(stocks.decode(value).after!.symbol);
          continue;
        }
        const { op, after, before, source } = wanted[judge.bars++]!;
        expect(judge.bar.fromBuffer(value.subarray(5))).toMatchObject({ op });
        const change = bars.decode(value);
        const [read, row] = [change.after ?? change.before!, (after ?? before)!];
        expect([change.op, change.lsn, read.stockId, read.tsMicros]).toEqual([
          ...[op, source.lsn, BigInt(row.stock + 1), row.startMs * 1_000],
        ]);
        expect([decimalE6(value, read.closeAt), read.volume]).toEqual([BigInt(row.close), BigInt(row.volume)]);
        expect(partition).toBe(row.stock % 4);
      }
    }
    expect(judge.bars).toBe(wanted.length);
    expect(judge.symbols.size).toBe(40);
  });
});
