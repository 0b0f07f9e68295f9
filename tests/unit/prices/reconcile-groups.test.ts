/** Public topics compared some stocks at a time: read once, nothing of a stock lost or in two groups. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { candleKeyDecoder, encodeCandleKey } from '../../../pipelines/prices/codec/candle.ts';
import { CompactedTopic } from '../../../pipelines/prices/reconcile/compacted.ts';
import { groupsOf, partsOf } from '../../../pipelines/prices/reconcile/groups.ts';
import { CANDLE_KINDS, type PricesSource } from '../../../pipelines/prices/reconcile/source.ts';
import { Spill, type SpiltRecord } from '../../../pipelines/prices/reconcile/spill.ts';
import { Suspects } from '../../../pipelines/prices/reconcile/suspects.ts';
import { candleKeySchema } from '../../../schemas/prices/candle-key.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';

const TOPIC = 'public';
const registry = schemasById({ 1: candleKeySchema });
/** Stock 3 fills a group by itself, 1 and 2 fit into one, 4 and 5 do not. */
const BARS = new Map([
  [1n, { bars: 10, minutes: 0 }],
  [2n, { bars: 20, minutes: 1 }],
  [3n, { bars: 150_000, minutes: 0 }],
  [4n, { bars: 60_000, minutes: 0 }],
  [5n, { bars: 60_000, minutes: 0 }],
]);
const source = { stocks: async () => BARS } as unknown as PricesSource;
/** Values are keys here, so that one decoder reads both. */
const encoded = (stock_id: bigint, start: number) =>
  Buffer.from(encodeCandleKey(new ByteWriter(), 1, { stock_id, interval: '1d', start }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-groups-'));
  vi.stubEnv('TMPDIR', folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('groups of stocks', () => {
  it('have what fits together, and strays with the first', async () => {
    const { list, groupOf } = await groupsOf(source, null);
    expect(list.map(({ stocks }) => stocks)).toEqual([[1n, 2n], [3n], [4n], [5n]]);
    expect([1n, 2n, 3n, 4n, 5n, 99n].map(groupOf)).toEqual([0, 0, 1, 2, 3, 0]);
    const kinds = CANDLE_KINDS.map((kind) => list.map(({ mayHave }) => mayHave(kind)));
    const [byMinutes, all] = [
      [true, false, false, false],
      [true, true, true, true],
    ];
    expect(kinds).toEqual([byMinutes, byMinutes, byMinutes, all, all]);
  });

  it('are neighbours, in whatever order Postgres tells of them', async () => {
    const backwards = new Map([...BARS].reverse());
    const shuffled = { stocks: async () => backwards } as unknown as PricesSource;
    expect((await groupsOf(shuffled, null)).list.map(({ stocks }) => stocks)).toEqual([[1n, 2n], [3n], [4n], [5n]]);
    expect(partsOf([3n, 11n, 2n, 1n], BARS)).toEqual([[1n, 2n], [3n], [11n]]);
  });

  it('are those of open suspects, and nobody else', async () => {
    const suspects = new Suspects(1);
    expect((await groupsOf(source, [suspects])).list).toEqual([]);
    suspects.suspect({
      differing: new Map([['4 1000', { bucket: 'b', row: 'r', postgres: null, sink: null }]]),
      versionOf: () => '1',
    });
    const { list, groupOf } = await groupsOf(source, [suspects]);
    expect(list.map(({ stocks }) => stocks)).toEqual([[4n]]);
    expect([groupOf(4n), groupOf(1n)]).toEqual([0, -1]);
  });
});

describe('a compacted topic in groups', () => {
  it('gives the newest record of each key with its group, whatever came before, and leaves no file', async () => {
    const log = new MemoryLog();
    const expected = new Map<string, string>();
    for (let offset = 0; offset < 400; offset++) {
      const stock = BigInt((offset * 7) % 6);
      const start = (offset % 5) * 60_000;
      const value = offset % 11 === 0 ? null : encoded(stock, offset);
      log.append(TOPIC, 0, { key: encoded(stock, start), value });
      expected.set(`${stock} ${start}`, `${offset} ${value === null ? 'gone' : offset}`);
    }
    const opened: string[] = [];
    const client = {
      offsets: log.offsets.bind(log),
      reader: () => {
        const reader = log.reader();
        return {
          ...reader,
          open: (...at: Parameters<typeof reader.open>) => {
            opened.push(at[0]);
            return reader.open(...at);
          },
        };
      },
    } as unknown as MemoryLog;
    const decoders = { keys: candleKeyDecoder(registry), values: candleKeyDecoder(registry) };
    const topic = new CompactedTopic(client, TOPIC, decoders);
    const found = new Map<string, string>();
    for await (const { records, wants } of topic.groups(new Map([[0, 400n]]), await groupsOf(source, null))) {
      for (const { stockId, key, version, value } of records) {
        expect(wants(stockId)).toBe(true);
        expect(found.has(key)).toBe(false);
        found.set(key, `${version} ${value === null ? 'gone' : value.start}`);
      }
    }
    expect(found).toEqual(expected);
    expect(opened).toEqual([TOPIC]);
    expect(readdirSync(folder)).toEqual([]);
  });
});

const shown = ({ key, offset, value }: SpiltRecord) =>
  `${key.toString('hex')} ${offset} ${value?.toString('hex') ?? 'gone'}`;

it('puts records down and gives them back as they came', () => {
  const bytes = fc.uint8Array({ maxLength: 30 }).map((one) => Buffer.from(one));
  const large = fc.constant(Buffer.alloc(200_000, 3));
  const record = fc.record({
    group: fc.nat(2),
    key: bytes,
    offset: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    value: fc.oneof({ weight: 8, arbitrary: bytes }, large, fc.constant(null)),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 20 }), (records) => {
      const spill = new Spill(3);
      try {
        for (const { group, ...one } of records) spill.add(group, one);
        // Also while it is in use: whoever is killed leaves nothing.
        expect(readdirSync(folder)).toEqual([]);
        for (const group of [2, 0, 1]) {
          const wanted = records.filter((one) => one.group === group).map(({ group: _, ...one }) => one);
          expect([...spill.take(group)].map(shown)).toEqual(wanted.map(shown));
        }
      } finally {
        spill.close();
      }
    }),
    { seed: 2, numRuns: 25 },
  );
});
