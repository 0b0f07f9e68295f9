/** Newest prices and indicators that Redis shows wrongly, or not: each is put back from the very record that its mark names. */

import type { LatestOperation } from '../../../connectors/redis/latest.ts';
import { type LatestPlaces, latestMender, type Mark } from '../../../connectors/redis/mend-latest.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient, LogReader, LogRecord } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { SinkRecord } from '../../../engine/sink.ts';
import { candleDecoder, candleKeyDecoder } from '../codec/candle.ts';
import { preparingBoth, reading } from '../preparing.ts';
import { LATEST_INDICATORS, mapIndicators } from '../redis-indicators.ts';
import { LATEST, mapCandle } from '../redis-latest.ts';
import { timedIndicators } from '../sink-workers.ts';
import { CANDLES, INDICATORS } from '../topics.ts';

/** A kind of newest values, and what their records mean. */
interface NewestValues {
  readonly topic: string;
  readonly places: LatestPlaces;
  prepare(records: readonly LogRecord[]): Promise<void>;
  operationOf(record: LogRecord): LatestOperation | null;
}

export function newestPrices(schemas: SchemaSource): NewestValues {
  const [values, keys] = [candleDecoder(schemas), candleKeyDecoder(schemas)];
  const map = mapCandle(reading(keys));
  return {
    ...{ topic: CANDLES, places: LATEST, prepare: preparingBoth(values, keys) },
    operationOf: (record) => map(sinkRecord(record, (value) => values.decode(value))),
  };
}

export function newestIndicators(schemas: SchemaSource): NewestValues {
  const { prepare, decode } = timedIndicators(schemas);
  return {
    ...{ topic: INDICATORS, places: LATEST_INDICATORS, prepare },
    operationOf: (record) => mapIndicators(sinkRecord(record, (value) => decode(value, record.timestampMs))),
  };
}

function sinkRecord<T>({ offset, key, value }: LogRecord, decode: (value: Buffer) => T): SinkRecord<T> {
  if (value === null) return { kind: 'tombstone', offset, key: key! };
  return { kind: 'upsert', offset, key, value: decode(value) };
}

export interface NewestMended {
  readonly mended: number;
  /** The sink has written another meanwhile: look again. */
  readonly moved: number;
}

/** Of the others nothing remembers what they were. */
export async function mendNewest(
  { redisUrl, log }: { readonly redisUrl: string; readonly log: LogClient },
  of: NewestValues,
  wrong: readonly { readonly name: string; readonly series: string | null }[],
): Promise<NewestMended> {
  const mender = latestMender({ url: redisUrl }, of.places);
  let records: MarkedRecords | null = null;
  let [mended, moved] = [0, 0];
  try {
    await mender.connect();
    const marks = await mender.marks();
    for (const { name, series } of wrong) {
      const mark = series === null ? undefined : marks.get(series);
      if (mark?.key === of.places.prefix + name) {
        // Behind the marks: the topic holds what they name.
        records ??= await MarkedRecords.open(log, of);
        const value = await records.valueOf(series!, mark);
        if (value !== undefined && (await mender.mend(series!, mark, value))) mended += 1;
        else moved += 1;
      } else if (await mender.takeOff(name, await mender.shown(name))) mended += 1;
    }
    return { mended, moved };
  } finally {
    await Promise.all([mender.close(), records?.close()]);
  }
}

type Value = Extract<LatestOperation, { kind: 'value' }>;

/** The records that marks name. */
class MarkedRecords {
  readonly #of: NewestValues;
  readonly #begins: ReadonlyMap<number, bigint>;
  readonly #ends: ReadonlyMap<number, bigint>;
  readonly #reader: LogReader;

  private constructor(
    of: NewestValues,
    parts: {
      readonly begins: ReadonlyMap<number, bigint>;
      readonly ends: ReadonlyMap<number, bigint>;
      readonly reader: LogReader;
    },
  ) {
    this.#of = of;
    this.#begins = parts.begins;
    this.#ends = parts.ends;
    this.#reader = parts.reader;
  }

  static async open(log: LogClient, of: NewestValues): Promise<MarkedRecords> {
    const partitions = Array.from({ length: await log.partitions(of.topic) }, (_, partition) => partition);
    const begins = await log.offsets(of.topic, partitions, 'earliest');
    const ends = await log.offsets(of.topic, partitions, 'lastStable');
    const reader = log.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 1 << 20 });
    return new MarkedRecords(of, { begins, ends, reader });
  }

  /** Null: the record took it off. Undefined: the topic no longer has it, so there is a newer one. */
  async valueOf(series: string, { offset, time }: Mark): Promise<Value | null | undefined> {
    const { topic, prepare, operationOf } = this.#of;
    let found: Value | null | undefined;
    // The mark does not say in which partition: in one of them the record of that offset is of the series.
    for (const [partition, begin] of this.#begins) {
      if (offset < begin || offset >= (this.#ends.get(partition) ?? 0n)) continue;
      await readToEnd(this.#reader, { topic, partition, from: offset, end: offset + 1n }, async ({ records }) => {
        await prepare(records);
        for (const record of records) {
          const operation = operationOf(record);
          if (operation === null || operation.kind === 'stamp') continue;
          if (operation.series !== series || operation.time !== time) continue;
          found = operation.kind === 'gone' ? null : operation;
        }
      });
    }
    return found;
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }
}
