/** What the prices pipeline would have written, put into every sink by hand. */
import { Redis } from 'ioredis';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { compileWriter } from '../../../engine/avro/compile-writer.ts';
import { beginFrame } from '../../../engine/avro/framing.ts';
import { resolveSchema } from '../../../engine/avro/resolve.ts';
import { appendDeadLetter } from '../../../engine/dead-letter.ts';
import type { LogRecord, OutputBatch } from '../../../engine/log.ts';
import { encodeCandle, encodeCandleKey } from '../../../pipelines/prices/codec/candle.ts';
import { encodeIndicators } from '../../../pipelines/prices/codec/indicators.ts';
import { asOfKey } from '../../../pipelines/prices/codec/indicators-key.ts';
import { moversBoards } from '../../../pipelines/prices/redis-movers.ts';
import {
  CANDLES,
  CANDLES_SINK,
  CANDLES_V1,
  CDC_PRICES,
  DLQ,
  INDICATORS,
  INDICATORS_CLICKHOUSE_SINK,
  SIGNALS_V1,
} from '../../../pipelines/prices/topics.ts';
import { type CandleV1, candleV1Schema } from '../../../schemas/prices/candle-v1.ts';
import { type SignalsV1, signalsV1Schema } from '../../../schemas/prices/signals-v1.ts';
import { SUBJECTS } from '../../../schemas/subjects.ts';
import { schemasById } from '../../unit/codec/debezium.ts';
import { PRICE_SCHEMA, PRICE_SCHEMA_ID } from '../../unit/prices/price-rows.ts';
import { PARTITIONS, type Servers } from './servers.ts';

const IDS = { key: 1, candle: 2, candleV1: 3, indicators: 4, signals: 5, cdcKey: 6 };

/** Debezium's key of a bar. */
const CDC_KEY = {
  type: 'record',
  name: 'Key',
  fields: [
    { name: 'stock_id', type: { type: 'long', js: 'bigint' } },
    { name: 'ts', type: 'string' },
  ],
} as const;

export const priceSchemas = schemasById({
  [IDS.key]: SUBJECTS.candleKey.schema,
  [IDS.candle]: SUBJECTS.candle.schema,
  [IDS.candleV1]: SUBJECTS.candleV1.schema,
  [IDS.indicators]: SUBJECTS.indicators.schema,
  [IDS.signals]: signalsV1Schema,
  [IDS.cdcKey]: CDC_KEY,
  [PRICE_SCHEMA_ID]: PRICE_SCHEMA,
});

const writeCandleV1 = compileWriter<CandleV1>(resolveSchema(candleV1Schema));
const writeSignalsV1 = compileWriter<SignalsV1>(resolveSchema(signalsV1Schema));

/** A position behind all that a test reaches. */
const PASSED = 2n ** 62n;

export interface ShownCandle {
  readonly interval: string;
  readonly start: number;
  readonly end: number;
  /** Open, high, low, close, price times volume and VWAP, in millionths. */
  readonly figures: readonly [bigint, bigint, bigint, bigint, bigint, bigint | null];
  readonly volume: bigint;
  readonly bars: number;
  readonly source: string | null;
  readonly final: boolean;
  readonly obv: bigint;
  /** Close, high and low of the candle before, in millionths. */
  readonly previous: readonly [bigint, bigint, bigint] | null;
}

const NO_VALUES = {
  ...{ sma_20: null, sma_50: null, sma_200: null, ema_12: null, ema_26: null, rsi_14: null, macd: null },
  ...{ macd_signal: null, macd_histogram: null, bollinger_upper: null, bollinger_lower: null, atr_14: null },
  ...{ volume_ratio: null, signals: [] },
};

export class PriceSinks {
  readonly redis: Redis;
  readonly #servers: Servers;
  readonly #writer = new ByteWriter();
  #offset = 0;

  constructor(servers: Servers) {
    this.#servers = servers;
    this.redis = new Redis(servers.config.SLUICE_REDIS_URL);
  }

  /** Says that all sinks have written everything, as of this position and stream time. */
  async passed(streamTimeMs: number, finalTo: number, lsn = PASSED): Promise<void> {
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      await this.commit(CANDLES, partition, (batch) => {
        const body = {
          kind: 'CandlesAsOf',
          partition,
          stream_time: streamTimeMs,
          source_lsn: lsn,
          final_to: finalTo,
        } as const;
        const key = { stock_id: BigInt(-1 - partition), interval: 'asof', start: 0 };
        batch.append(
          encodeCandleKey(this.#writer, IDS.key, key),
          encodeCandle(this.#writer, IDS.candle, { body }),
          streamTimeMs,
        );
      });
      await this.commit(INDICATORS, partition, (batch) => {
        const body = { kind: 'IndicatorsAsOf', partition, stream_time: streamTimeMs, source_lsn: lsn } as const;
        batch.append(asOfKey(partition), encodeIndicators(this.#writer, IDS.indicators, { body }), streamTimeMs);
      });
      const at = { lsn: String(lsn), stream_time: new Date(streamTimeMs).toISOString().slice(0, -1) };
      const row = { partition, generation: 1, next_offset: ++this.#offset, ...at };
      const values = [
        { pipeline: CANDLES_SINK, topic: CANDLES, ...row },
        { pipeline: INDICATORS_CLICKHOUSE_SINK, topic: INDICATORS, ...row },
      ];
      await this.#servers.clickHouse.insert({ table: 'sluice_progress', values, format: 'JSONEachRow' });
      const stamp = { [`${partition}:source_lsn`]: String(lsn), [`${partition}:stream_time`]: String(streamTimeMs) };
      for (const sink of ['latest', 'indicators']) await this.redis.hset(`px:{prices}:sink:${sink}:asof`, stamp);
      for (const { name } of moversBoards(this.#servers.config.SLUICE_PRICES_SECTORS).leaderboards)
        await this.redis.hset(`lb:{${name}}:asof`, { ...stamp, partitions: PARTITIONS });
    }
  }

  /** Versions of candles in ClickHouse and, but for bars, in both public topics: a later one replaces an earlier one. */
  async show(candles: readonly ShownCandle[], deleted = false): Promise<void> {
    await this.showInClickHouse(candles, deleted);
    for (const one of candles) {
      if (one.interval === 'bar') continue;
      await this.publish(one, deleted);
      await this.showIndicators(one, {}, deleted);
    }
  }

  async showInClickHouse(candles: readonly ShownCandle[], deleted = false): Promise<void> {
    const time = (ms: number) => new Date(ms).toISOString().slice(0, -1);
    const values = candles.map(({ interval, start, end, figures, volume, bars, final, source }) => {
      const [open, high, low, close, priceVolume, vwap] = figures.map((one) => (one === null ? null : String(one)));
      return {
        ...{ is_deleted: deleted ? 1 : 0, stock_id: 1, symbol: 'ABCD', interval, start: time(start), end: time(end) },
        ...{
          open_e6: open,
          high_e6: high,
          low_e6: low,
          close_e6: close,
          volume: String(volume),
          price_volume: priceVolume,
        },
        ...{ vwap_e6: vwap, bars, final, source, lsn: 1, xid: 1, commit_ts: '2026-01-07 15:00:00' },
        ...{ source_partition: 0, source_offset: ++this.#offset, generation: 1, write_before: '2099-01-01 00:00:00' },
      };
    });
    await this.#servers.clickHouse.insert({ table: 'prices_candles_log', values, format: 'JSONEachRow' });
  }

  /** A version of a candle's indicators in ClickHouse, as of now. */
  async showIndicators(
    one: ShownCandle,
    change: Readonly<Record<string, unknown>> = {},
    deleted = false,
  ): Promise<void> {
    const time = (ms: number) => new Date(ms).toISOString().slice(0, -1);
    const { interval, start, end, volume, final, obv, previous } = one;
    const [open_e6, high_e6, low_e6, close_e6] = one.figures.map(String);
    const [previous_close_e6 = null, previous_high_e6 = null, previous_low_e6 = null] = (previous ?? []).map(String);
    const row = {
      ...{ is_deleted: deleted ? 1 : 0, kind: 'candle', stock_id: 1, symbol: 'ABCD', interval, lsn: 0 },
      ...{ start: time(start), end: time(end), open_e6, high_e6, low_e6, close_e6, volume: String(volume), final },
      ...{
        obv: String(obv),
        signals: [],
        previous_close_e6,
        previous_high_e6,
        previous_low_e6,
        as_of: time(Date.now()),
      },
      ...{ source_partition: 0, source_offset: ++this.#offset, generation: 1, write_before: '2099-01-01 00:00:00' },
    };
    const values = [{ ...row, ...change }];
    await this.#servers.clickHouse.insert({ table: 'prices_indicators_log', values, format: 'JSONEachRow' });
  }

  async publish(one: ShownCandle, deleted = false, change: Partial<SignalsV1> = {}): Promise<void> {
    const { interval, start, end, volume, final, bars, obv } = one;
    const [open_e6, high_e6, low_e6, close_e6, , vwap_e6] = one.figures;
    // Copied: the arena begins anew with each transaction.
    const key = Buffer.from(encodeCandleKey(this.#writer, IDS.key, { stock_id: 1n, interval, start }));
    const about = { stock_id: 1n, symbol: 'ABCD', interval, start, end, close_e6, volume, final };
    const candle = { ...about, open_e6, high_e6, low_e6, vwap_e6, bars, source_lsn: 1n, source_commit_ts: end };
    const signals = { ...about, ...NO_VALUES, obv, ...change };
    await this.commit(CANDLES_V1, 0, (batch) =>
      batch.append(key, deleted ? null : this.#framed(IDS.candleV1, (writer) => writeCandleV1(writer, candle)), end),
    );
    await this.commit(SIGNALS_V1, 0, (batch) =>
      batch.append(key, deleted ? null : this.#framed(IDS.signals, (writer) => writeSignalsV1(writer, signals)), end),
    );
  }

  /** A letter about a bar; without a value one whose bytes do not say what the row was to become. */
  async letter(reason: string, bar: { readonly ts: string; readonly value: Buffer | null }): Promise<void> {
    const key = Buffer.concat([Buffer.from([0, 0, 0, 0, IDS.cdcKey, 2, bar.ts.length * 2]), Buffer.from(bar.ts)]);
    const record: LogRecord = { offset: 7n, timestampMs: 0, key, value: bar.value ?? Buffer.from('?'), headers: [] };
    await this.commit(DLQ, 0, (batch) =>
      appendDeadLetter(batch, record, {
        reason,
        message: '',
        stage: 'prices.candles',
        topic: CDC_PRICES,
        partition: 0,
      }),
    );
  }

  #framed(schemaId: number, write: (writer: ByteWriter) => void): Buffer {
    beginFrame(this.#writer, schemaId);
    write(this.#writer);
    return this.#writer.take();
  }

  async commit(topic: string, partition: number, append: (batch: OutputBatch) => void): Promise<void> {
    const writer = this.#servers.log.writer('test-prices');
    try {
      await writer.fence();
      const batch = writer.batch(topic, partition);
      append(batch);
      await writer.commit([batch], null);
    } finally {
      await writer.close();
      this.#writer.reset();
    }
  }
}
