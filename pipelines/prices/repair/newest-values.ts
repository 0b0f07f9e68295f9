/** Newest prices and indicators that Redis shows wrongly, or not: each is put back from the very record that its mark names. */

import type { LatestOperation } from '../../../connectors/redis/latest.ts';
import { type LatestPlaces, latestMender, type Mark } from '../../../connectors/redis/mend-latest.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient, LogRecord } from '../../../engine/log.ts';
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
  let [mended, moved] = [0, 0];
  try {
    await mender.connect();
    const marks = await mender.marks();
    for (const { name, series } of wrong) {
      const mark = series === null ? undefined : marks.get(series);
      if (mark?.key === of.places.prefix + name) {
        const value = await valueOfMark(log, of, { series: series!, mark });
        if (value !== undefined && (await mender.mend(series!, mark, value))) mended += 1;
        else moved += 1;
      } else if (await mender.takeOff(name, await mender.shown(name))) mended += 1;
    }
    return { mended, moved };
  } finally {
    await mender.close();
  }
}

/** Null: the record took it off. Undefined: the topic no longer has it, so there is a newer one. */
async function valueOfMark(
  log: LogClient,
  of: NewestValues,
  { series, mark: { offset, time } }: { readonly series: string; readonly mark: Mark },
): Promise<Extract<LatestOperation, { kind: 'value' }> | null | undefined> {
  const { topic } = of;
  const partitions = Array.from({ length: await log.partitions(topic) }, (_, partition) => partition);
  const begins = await log.offsets(topic, partitions, 'earliest');
  const ends = await log.offsets(topic, partitions, 'lastStable');
  let found: Extract<LatestOperation, { kind: 'value' }> | null | undefined;
  const reader = log.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 1 << 20 });
  try {
    // The mark does not say in which partition: in one of them the record of that offset is of the series.
    for (const partition of partitions) {
      if (offset < (begins.get(partition) ?? 0n) || offset >= (ends.get(partition) ?? 0n)) continue;
      await readToEnd(reader, { topic, partition, from: offset, end: offset + 1n }, async ({ records }) => {
        await of.prepare(records);
        for (const record of records) {
          const operation = of.operationOf(record);
          if (operation === null || operation.kind === 'stamp') continue;
          if (operation.series !== series || operation.time !== time) continue;
          found = operation.kind === 'gone' ? null : operation;
        }
      });
    }
  } finally {
    await reader.close();
  }
  return found;
}
