/** prices.indicators: candles become indicators and signals, each series in the order of time. */
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { Emit, StageProcessor, ViewStage } from '../../engine/stage.ts';
import type { ViewStore } from '../../engine/view-store.ts';
import type { CandlesAsOf } from '../../schemas/prices/candle.ts';
import type { CandleKey } from '../../schemas/prices/candle-key.ts';
import type { IndicatorsRecord } from '../../schemas/prices/indicators.ts';
import type { SeriesCandleRecord } from './codec/candle.ts';
import { KeptSeries } from './indicators/kept-series.ts';
import type { SeriesCandle } from './indicators/series.ts';
import { type IndicatorIds, IndicatorTable } from './indicators/table.ts';
import { BAR, INTERVALS, type Interval } from './intervals.ts';
import { CANDLES, DLQ, INDICATORS, SIGNALS_V1 } from './topics.ts';

export const INDICATORS_STAGE = 'prices.indicators';

export interface IndicatorsStageOptions {
  readonly keys: Pick<FramedDecoder<CandleKey>, 'decode'>;
  readonly candles: Pick<FramedDecoder<SeriesCandleRecord>, 'decode'>;
  /** Knows all versions of the schema that the store may hold. */
  readonly stored: Pick<FramedDecoder<IndicatorsRecord>, 'decode'>;
  readonly ids: IndicatorIds;
  /** Rows read for corrections in the past per transaction, and series kept in memory. */
  readonly limits?: { readonly repairRows: number; readonly series: number };
}

/** A transaction of corrections takes some 50 ms; a partition of a thousand stocks is kept as a whole. */
const LIMITS = { repairRows: 3_000, series: 6_000 };

export function indicatorsStage(options: IndicatorsStageOptions): ViewStage {
  return {
    kind: 'view',
    name: INDICATORS_STAGE,
    input: CANDLES,
    outputs: [INDICATORS, SIGNALS_V1],
    view: INDICATORS,
    dlq: DLQ,
    open: (task) => new IndicatorsProcessor(options, task),
  };
}

type Stamp = Pick<CandlesAsOf, 'stream_time' | 'source_lsn'>;

class IndicatorsProcessor implements StageProcessor {
  readonly #options: IndicatorsStageOptions;
  readonly #partition: number;
  readonly #table: IndicatorTable;
  readonly #series: KeptSeries;
  /** The newest stamp that is not passed on yet. */
  #stamp: Stamp | null;
  #streamTime: number;

  constructor(
    options: IndicatorsStageOptions,
    task: { readonly partition: number; readonly store: ViewStore; readonly emit: Emit; readonly metadata: string },
  ) {
    this.#options = options;
    this.#partition = task.partition;
    const { stored: decoder, ids, limits = LIMITS } = options;
    this.#table = new IndicatorTable({ store: task.store, emit: task.emit, decoder, ids });
    this.#streamTime = this.#table.streamTime(task.partition);
    this.#stamp = decodeStamp(task.metadata);
    this.#series = new KeptSeries(this.#table, limits);
  }

  streamTimeMs(): number {
    return this.#streamTime;
  }

  process({ key, value, timestampMs }: LogRecord): void {
    if (key === null) return;
    const { stock_id, interval, start } = this.#options.keys.decode(key);
    if (interval === BAR) {
      // Nearly half of all records. Of a bar only the time counts, which is that of its record.
      if (value !== null) this.#seen(timestampMs);
      return;
    }
    const body = value === null ? null : this.#options.candles.decode(value).body;
    if (body?.kind === 'CandlesAsOf') {
      this.#stamp = body;
      this.#seen(body.stream_time);
      return;
    }
    if (body !== null) this.#seen(body.source_commit_ts);
    if (!hasIndicators(interval)) return;
    this.#series.change({ stock_id, interval }, start, body === null ? null : (body satisfies SeriesCandle));
  }

  beforeCommit(): void {
    this.#series.apply(this.#streamTime);
    // A stamp says that nothing in front of it is missing.
    if (this.#stamp !== null && !this.#series.behind) {
      this.#table.putAsOf(this.#partition, this.#stamp);
      this.#stamp = null;
    }
    this.#table.publish(this.#streamTime);
  }

  /** The stamp that waits: the record that brought it is behind the committed offset. */
  metadata(): string {
    return this.#stamp === null ? '' : `${this.#stamp.stream_time} ${this.#stamp.source_lsn}`;
  }

  /** The work itself is done at the commit; this asks for one. */
  background(): boolean {
    return this.#series.behind;
  }

  #seen(timeMs: number): void {
    if (timeMs > this.#streamTime) this.#streamTime = timeMs;
  }
}

function decodeStamp(metadata: string): Stamp | null {
  const [time, lsn] = metadata.split(' ');
  return time === undefined || lsn === undefined ? null : { stream_time: Number(time), source_lsn: BigInt(lsn) };
}

function hasIndicators(interval: string): interval is Interval {
  return (INTERVALS as readonly string[]).includes(interval);
}
