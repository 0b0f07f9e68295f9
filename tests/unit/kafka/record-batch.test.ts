import { gzipSync, zstdCompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecordBatchBuilder, SEQUENCES, SpareBuffers } from '../../../connectors/kafka/record-batch.ts';
import { type AbortedTransaction, decodeRecordSet } from '../../../connectors/kafka/record-set.ts';
import { random } from '../../support/random.ts';

const HEADER = 61;
const IDENTITY = { producerId: 7n, epoch: 1, sequence: 0, transactional: true };

interface Plain {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestampMs: number;
  readonly headers: readonly { readonly key: string; readonly value: Buffer }[];
}

const plain = (value: string, more: Partial<Plain> = {}): Plain => ({
  key: Buffer.from('k'),
  value: Buffer.from(value),
  timestampMs: 1_000,
  headers: [],
  ...more,
});

interface Place {
  readonly base: bigint;
  readonly producerId?: bigint;
  readonly transactional?: boolean;
}

/** The broker's part: base offset, and whatever else a test changes; the checksum is made right again. */
function placed(batch: Buffer, { base, producerId, transactional = true }: Place): Buffer {
  const copy = Buffer.from(batch);
  copy.writeBigInt64BE(base, 0);
  if (producerId !== undefined) copy.writeBigInt64BE(producerId, 43);
  if (!transactional) copy.writeInt16BE(copy.readInt16BE(21) & ~0x10, 21);
  return sealed(copy);
}

function sealed(batch: Buffer): Buffer {
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

function encode(records: readonly Plain[], chunkBytes?: number): Buffer[] {
  const builder = new RecordBatchBuilder('t', 0, new SpareBuffers(), chunkBytes);
  for (const { key, value, timestampMs, headers } of records) builder.append(key, value, timestampMs, headers);
  expect(builder.count).toBe(records.length);
  return builder.encode(IDENTITY);
}

const batchOf = (place: Place, ...values: readonly string[]) =>
  placed(encode(values.map((value) => plain(value)))[0]!, place);

/** The same batch with its records compressed in another way. */
function recoded(batch: Buffer, codec: number, compress: (records: Buffer) => Buffer): Buffer {
  const { records } = decodeRecordSet(batch, 0n, []);
  // One record of small fields: every varint is one byte.
  const value = records[0]!.value!;
  const body = Buffer.concat([Buffer.from([0, 0, 0, 1, value.length * 2]), value, Buffer.from([0])]);
  const set = Buffer.concat([
    batch.subarray(0, HEADER),
    compress(Buffer.concat([Buffer.from([body.length * 2]), body])),
  ]);
  set.writeInt16BE((set.readInt16BE(21) & ~0x07) | codec, 21);
  return sealed(set);
}

/** A control batch with one marker. */
function marker(place: Place & { readonly kind: 'abort' | 'commit' }): Buffer {
  const key = Buffer.from([0, 0, 0, place.kind === 'abort' ? 0 : 1]);
  const value = Buffer.alloc(6);
  const body = Buffer.concat([
    Buffer.from([0, 0, 0, key.length * 2]),
    key,
    Buffer.from([value.length * 2]),
    value,
    Buffer.from([0]),
  ]);
  const batch = Buffer.concat([encode([plain('x')])[0]!.subarray(0, HEADER), Buffer.from([body.length * 2]), body]);
  batch.writeInt16BE(0x30, 21);
  return placed(batch, place);
}

/** Gives the chunks of an output their offsets, as the broker does. */
function inLog(batches: readonly Buffer[], base = 0n): Buffer {
  let at = base;
  return Buffer.concat(
    batches.map((batch) => {
      const one = placed(batch, { base: at });
      at += BigInt(batch.readInt32BE(57));
      return one;
    }),
  );
}

const texts = (set: Buffer, from: bigint, aborted: readonly AbortedTransaction[] = []) => {
  const { records, next } = decodeRecordSet(set, from, aborted);
  return { values: records.map(({ value }) => value?.toString() ?? null), next };
};

describe('a record batch', () => {
  const bytes = (maxLength: number) => fc.option(fc.uint8Array({ maxLength }).map((raw) => Buffer.from(raw)));
  const record: fc.Arbitrary<Plain> = fc.record({
    key: bytes(40),
    value: bytes(400),
    timestampMs: fc.oneof(
      fc.integer({ min: 1_700_000_000_000, max: 1_800_000_000_000 }),
      fc.constantFrom(-1, 0, 2 ** 45),
    ),
    headers: fc.array(
      fc.record({
        key: fc.string({ unit: 'grapheme', maxLength: 8 }),
        value: fc.uint8Array({ maxLength: 9 }).map((raw) => Buffer.from(raw)),
      }),
      { maxLength: 3 },
    ),
  });

  it('gives back what was appended: nulls, headers, chunks, and timestamps in any order', () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 40 }),
        fc.constantFrom(200, 1_000, 100_000),
        fc.bigInt({ min: 0n, max: 2n ** 60n }),
        (records, chunkBytes, base) => {
          const decoded = decodeRecordSet(inLog(encode(records, chunkBytes), base), base, []);
          // A fetched record makes its fields when it is asked for them.
          const read = decoded.records.map(({ offset, timestampMs, key, value, headers }) => {
            return { offset, timestampMs, key, value, headers };
          });
          expect(read).toEqual(records.map((one, i) => ({ ...one, offset: base + BigInt(i) })));
          expect(decoded.next).toBe(base + BigInt(records.length));
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });

  it('keeps chunks about as large as asked, and a larger record alone', () => {
    const noise = random(2);
    const value = (size: number) => Buffer.from(Array.from({ length: size }, () => Math.floor(noise() * 256)));
    const records = [100, 100, 5_000, 100, 300_000, 100].map((size) => plain('', { value: value(size) }));
    const chunks = encode(records, 1_000);
    expect(chunks.map((chunk) => chunk.readInt32BE(57))).toEqual([2, 1, 1, 1, 1]);
    expect(decodeRecordSet(inLog(chunks), 0n, []).records.map((one) => one.value)).toEqual(
      records.map((one) => one.value),
    );
  });

  it('writes into memory that earlier batches have given back, whatever is left in it', () => {
    const spare = new SpareBuffers();
    const seed = [{ size: 40_000 }, { size: 10 }, { size: 90_000 }, { size: 2_000 }];
    const rounds = seed.map(({ size }, round) => Array.from({ length: 5 }, () => Buffer.alloc(size, round + 1)));
    const batches = rounds.map((values) => {
      const builders = [0, 1].map((partition) => new RecordBatchBuilder('t', partition, spare, 100_000));
      for (const value of values) for (const builder of builders) builder.append(null, value, 7);
      return builders.map((builder) => builder.encode(IDENTITY));
    });
    for (const [round, builders] of batches.entries()) {
      for (const chunks of builders) {
        expect(decodeRecordSet(inLog(chunks), 0n, []).records.map(({ value }) => value)).toEqual(rounds[round]);
      }
    }
  });

  it('carries the identity of its producer, and the sequences of its chunks follow on', () => {
    const builder = new RecordBatchBuilder('t', 0, new SpareBuffers(), 100);
    for (let i = 0; i < 6; i++) builder.append(null, Buffer.alloc(40), 5);
    const chunks = builder.encode({ producerId: 2n ** 40n, epoch: 12, sequence: SEQUENCES - 2, transactional: true });
    const heads = chunks.map((chunk) => ({
      producerId: chunk.readBigInt64BE(43),
      epoch: chunk.readInt16BE(51),
      sequence: chunk.readInt32BE(53),
      attributes: chunk.readInt16BE(21),
    }));
    expect(
      heads.every(
        ({ producerId, epoch, attributes }) => producerId === 2n ** 40n && epoch === 12 && attributes === 0x13,
      ),
    ).toBe(true);
    const counts = chunks.map((chunk) => chunk.readInt32BE(57));
    const expected = counts.map(
      (_, i) => (SEQUENCES - 2 + counts.slice(0, i).reduce((sum, n) => sum + n, 0)) % SEQUENCES,
    );
    expect(heads.map(({ sequence }) => sequence)).toEqual(expected);
    expect(expected.some((sequence) => sequence < 6)).toBe(true);
  });

  it('names the newest of its timestamps in the header', () => {
    const [batch] = encode([5_000, 9_000, 1_000].map((timestampMs) => plain('x', { timestampMs })));
    expect([batch!.readBigInt64BE(27), batch!.readBigInt64BE(35)]).toEqual([5_000n, 9_000n]);
  });

  it('takes the broker time where the topic says so (message.timestamp.type=LogAppendTime)', () => {
    const batch = Buffer.from(batchOf({ base: 0n }, 'a', 'b'));
    batch.writeInt16BE(batch.readInt16BE(21) | 0x08, 21);
    batch.writeBigInt64BE(77n, 35);
    expect(decodeRecordSet(sealed(batch), 0n, []).records.map(({ timestampMs }) => timestampMs)).toEqual([77, 77]);
  });

  it('reads none, gzip and zstd too, and says so of snappy', () => {
    const batch = batchOf({ base: 0n }, 'hello');
    expect(
      texts(
        recoded(batch, 0, (records) => records),
        0n,
      ).values,
    ).toEqual(['hello']);
    expect(texts(recoded(batch, 1, gzipSync), 0n).values).toEqual(['hello']);
    expect(texts(recoded(batch, 4, zstdCompressSync), 0n).values).toEqual(['hello']);
    const snappy = recoded(batch, 2, (records) => records);
    expect(() => decodeRecordSet(snappy, 0n, [])).toThrow(
      expect.objectContaining({ code: 'COMPRESSION_UNSUPPORTED', action: 'fatal' }),
    );
  });
});

describe('a fetched record set', () => {
  it('begins in the middle of a batch, and leaves a partial last batch for the next fetch', () => {
    const set = Buffer.concat([
      batchOf({ base: 10n }, 'a', 'b', 'c'),
      batchOf({ base: 13n }, 'd'),
      batchOf({ base: 14n }, 'e', 'f'),
    ]);
    expect(texts(set, 11n)).toEqual({ values: ['b', 'c', 'd', 'e', 'f'], next: 16n });
    const whole = set.length;
    const last = batchOf({ base: 14n }, 'e', 'f').length;
    for (const cut of [1, last - HEADER, last - 12, last - 1]) {
      expect(texts(set.subarray(0, whole - cut), 10n)).toEqual({ values: ['a', 'b', 'c', 'd'], next: 14n });
    }
    expect(texts(set.subarray(0, 30), 10n)).toEqual({ values: [], next: 10n });
    expect(texts(Buffer.alloc(0), 10n)).toEqual({ values: [], next: 10n });
  });

  it('passes the gap that compaction left at the end of a batch', () => {
    const batch = Buffer.from(batchOf({ base: 5n }, 'a'));
    batch.writeInt32BE(9, 23);
    expect(texts(sealed(batch), 5n)).toEqual({ values: ['a'], next: 15n });
  });

  it('passes control records, and never goes back', () => {
    const set = Buffer.concat([batchOf({ base: 0n }, 'a'), marker({ base: 1n, kind: 'commit', producerId: 7n })]);
    expect(texts(set, 0n)).toEqual({ values: ['a'], next: 2n });
    expect(texts(set, 1n)).toEqual({ values: [], next: 2n });
    expect(texts(set, 9n)).toEqual({ values: [], next: 9n });
  });

  it('shows what is not transactional whatever its producer has aborted', () => {
    const set = Buffer.concat([batchOf({ base: 0n, transactional: false }, 'plain'), batchOf({ base: 1n }, 'aborted')]);
    expect(texts(set, 0n, [{ producerId: 7n, firstOffset: 0n }]).values).toEqual(['plain']);
  });

  it('hides an aborted transaction that began before the fetch, and not the next one of its producer', () => {
    const set = Buffer.concat([
      batchOf({ base: 20n }, 'aborted'),
      marker({ base: 21n, kind: 'abort', producerId: 7n }),
      batchOf({ base: 22n }, 'committed'),
      marker({ base: 23n, kind: 'commit', producerId: 7n }),
    ]);
    expect(texts(set, 20n, [{ producerId: 7n, firstOffset: 3n }])).toEqual({ values: ['committed'], next: 24n });
  });

  it('agrees with a model: interleaved producers, an unsorted abort list, any point to begin at', () => {
    const step = fc.record({
      producer: fc.integer({ min: 1, max: 4 }),
      end: fc.constantFrom('go on', 'commit', 'abort'),
    });
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 60 }),
        fc.nat(),
        (steps, from, turn) => {
          const history = play(steps);
          // The broker lists what was aborted at or after the fetch offset, in an order it does not promise.
          const listed = history.aborted.filter(({ marker }) => marker >= BigInt(from));
          const turned = listed.map((_, i) => listed[(i + turn) % listed.length]!);
          const batches = history.batches.filter(({ last }) => last >= BigInt(from));
          const { values } = texts(Buffer.concat(batches.map(({ batch }) => batch)), BigInt(from), turned);
          expect(values).toEqual(history.visible.filter((offset) => offset >= BigInt(from)).map(String));
        },
      ),
      { seed: 9, numRuns: 400 },
    );
  });
});

interface History {
  readonly batches: readonly { readonly batch: Buffer; readonly last: bigint }[];
  readonly aborted: readonly (AbortedTransaction & { readonly marker: bigint })[];
  /** Offsets of committed records; a record's value is its offset. */
  readonly visible: readonly bigint[];
}

/** What the broker would hold of these steps; transactions left open are aborted at the end. */
function play(steps: readonly { readonly producer: number; readonly end: string }[]): History {
  const batches: { batch: Buffer; last: bigint }[] = [];
  const aborted: (AbortedTransaction & { readonly marker: bigint })[] = [];
  const visible: bigint[] = [];
  const open = new Map<number, bigint[]>();
  let offset = 0n;
  const finish = (producer: number, kind: 'abort' | 'commit') => {
    const offsets = open.get(producer)!;
    open.delete(producer);
    const producerId = BigInt(producer);
    if (kind === 'abort') aborted.push({ producerId, firstOffset: offsets[0]!, marker: offset });
    else visible.push(...offsets);
    batches.push({ batch: marker({ base: offset, kind, producerId }), last: offset });
    offset++;
  };
  for (const { producer, end } of steps) {
    const values = [offset, offset + 1n];
    const place = { base: offset, producerId: BigInt(producer) };
    batches.push({ batch: batchOf(place, ...values.map(String)), last: offset + 1n });
    open.set(producer, [...(open.get(producer) ?? []), ...values]);
    offset += 2n;
    if (end === 'commit' || end === 'abort') finish(producer, end);
  }
  for (const producer of [...open.keys()]) finish(producer, 'abort');
  return { batches, aborted, visible: visible.sort((a, b) => Number(a - b)) };
}

describe('corrupt bytes', () => {
  const set = Buffer.concat([
    batchOf({ base: 0n }, 'first', 'second'),
    marker({ base: 2n, kind: 'commit', producerId: 7n }),
    batchOf({ base: 3n }, 'third'),
  ]);

  it('are CORRUPT_BATCH wherever the checksum or a length covers them, never other records and never a hang', () => {
    const whole = texts(set, 0n);
    const starts = [0, batchOf({ base: 0n }, 'first', 'second').length];
    starts.push(starts[1]! + marker({ base: 2n, kind: 'commit' }).length);
    let found = 0;
    for (let at = 0; at < set.length; at++) {
      const inBatch = at - starts.findLast((start) => start <= at)!;
      // Base offset and leader epoch are the broker's and outside the checksum.
      if (inBatch < 8 || (inBatch >= 12 && inBatch < 16)) continue;
      for (const bit of [0x01, 0x80]) {
        const flipped = Buffer.from(set);
        flipped[at] = flipped[at]! ^ bit;
        try {
          const seen = texts(flipped, 0n);
          // A length that reaches beyond the set is a partial batch: less is seen, nothing else.
          expect(inBatch).toBeLessThan(12);
          expect(whole.values.slice(0, seen.values.length)).toEqual(seen.values);
          expect(seen.next).toBeLessThan(whole.next);
        } catch (error) {
          expect(error).toMatchObject({ code: 'CORRUPT_BATCH', action: 'reconnect' });
          found++;
        }
      }
    }
    expect(found).toBeGreaterThan(200);
  });

  it.each([-12, -1, 0, 48])('are CORRUPT_BATCH when a batch says it has %i bytes', (size) => {
    const short = Buffer.from(set);
    short.writeInt32BE(size, 8);
    expect(() => decodeRecordSet(short, 0n, [])).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }));
  });

  it('are CORRUPT_BATCH even behind a right checksum', () => {
    const noise = random(4);
    let found = 0;
    for (let run = 0; run < 300; run++) {
      const batch = recoded(batchOf({ base: 0n }, 'hello world'), run % 5 === 2 ? 0 : run % 5, (records) => {
        const bad = Buffer.from(records);
        bad[Math.floor(noise() * bad.length)] = Math.floor(noise() * 256);
        return bad;
      });
      try {
        decodeRecordSet(batch, 0n, []);
      } catch (error) {
        expect(error).toMatchObject({ code: 'CORRUPT_BATCH' });
        found++;
      }
    }
    expect(found).toBeGreaterThan(200);
  });

  it('of an older format are named', () => {
    const old = Buffer.from(set);
    old[16] = 1;
    expect(() => decodeRecordSet(old, 0n, [])).toThrow('magic 1, expected 2');
  });
});
