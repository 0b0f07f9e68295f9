/** prices.scanner: the candles of the day and the week become boards of movers. */
import { ByteWriter } from '../../engine/avro/byte-writer.ts';
import type { FramedDecoder } from '../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { StageProcessor, ViewStage } from '../../engine/stage.ts';
import type { VersionedRows } from '../../engine/versioned-table.ts';
import type { ViewEntry, ViewStore } from '../../engine/view-store.ts';
import type { Indicators, IndicatorsRecord } from '../../schemas/prices/indicators.ts';
import type { MoversRecord, WatchedCandle } from '../../schemas/prices/movers.ts';
import { decodeIndicatorsKey } from './codec/indicators-key.ts';
import { encodeMovers, moverKey, moversAsOfKey, watchKey } from './codec/movers.ts';
import { zoneOf } from './exchanges.ts';
import { changeBp, isPeriod, type Period, pivotsOf, untilOf } from './scanner/figures.ts';
import { type BoardsChange, Scanner } from './scanner/scanner.ts';
import type { BoardRules } from './scanner/universe.ts';
import type { StockInfo, Watched } from './scanner/watched.ts';
import { DLQ, INDICATORS, MOVERS } from './topics.ts';
import { Zone } from './zone.ts';

export const SCANNER_STAGE = 'prices.scanner';

export interface ScannerStageOptions {
  readonly stocks: Pick<VersionedRows<StockInfo>, 'versionsOf'>;
  readonly decoder: Pick<FramedDecoder<IndicatorsRecord>, 'decode'>;
  /** Knows all versions of the schema that the store may hold. */
  readonly stored: Pick<FramedDecoder<MoversRecord>, 'decode'>;
  /** Of a movers record. */
  readonly schemaId: number;
  readonly rules?: BoardRules;
}

export function scannerStage(options: ScannerStageOptions): ViewStage {
  return {
    kind: 'view',
    name: SCANNER_STAGE,
    input: INDICATORS,
    outputs: [MOVERS],
    view: MOVERS,
    dlq: DLQ,
    open: ({ partition, store }) => new ScannerProcessor(options, partition, store),
  };
}

const PAGE = 1_000;

class ScannerProcessor implements StageProcessor {
  readonly #options: ScannerStageOptions;
  readonly #partition: number;
  readonly #store: ViewStore;
  readonly #scanner: Scanner;
  readonly #writer = new ByteWriter();
  /** The newest stamp of the batch. */
  #stamp: { readonly stream_time: number; readonly source_lsn: bigint } | null = null;
  /** Until there is a stamp, the records' own times stand for it. */
  #stamped = false;

  constructor(options: ScannerStageOptions, partition: number, store: ViewStore) {
    this.#options = options;
    this.#partition = partition;
    this.#store = store;
    const asOf = store.get(Buffer.from(moversAsOfKey(partition)));
    const body = asOf === undefined ? null : options.stored.decode(asOf).body;
    this.#stamped = body?.kind === 'MoversAsOf';
    this.#scanner = new Scanner(body?.kind === 'MoversAsOf' ? body.stream_time : 0, options.rules);
    this.#restore();
  }

  streamTimeMs(): number {
    return this.#scanner.timeMs;
  }

  process({ key, value, timestampMs }: LogRecord): void {
    if (key === null) return;
    const at = decodeIndicatorsKey(key);
    if (at.kind === 'asof' && value !== null) {
      const { body } = this.#options.decoder.decode(value);
      if (body.kind === 'IndicatorsAsOf') this.#stamp = body;
    }
    if (at.kind !== 'candle') return;
    if (!this.#stamped) this.#scanner.advance(timestampMs);
    const { stockId, interval, start } = at;
    if (!isPeriod(interval)) return;
    const body = value === null ? null : this.#options.decoder.decode(value).body;
    const info = this.#infoOf(stockId);
    if (info === null) {
      throw new SluiceError(`Stock ${stockId} is not in the table of stocks`, {
        code: 'UNKNOWN_STOCK',
        action: 'dead-letter',
      });
    }
    const candle = body?.kind === 'Indicators' ? watchedCandle(body, interval, info) : null;
    this.#scanner.change({ stockId, period: interval, start }, info, candle);
  }

  beforeCommit(): void {
    const stamp = this.#stamp;
    if (stamp !== null) {
      this.#stamped = true;
      this.#scanner.advance(stamp.stream_time);
      this.#scanner.reclassify((stockId) => this.#infoOf(stockId));
    }
    const { watched, boards } = this.#scanner.publish();
    for (const one of watched) this.#putWatch(one);
    for (const change of boards) this.#putMover(change);
    // The stamp last: who stops right behind it has consistent boards.
    if (stamp === null) return;
    const { stream_time, source_lsn } = stamp;
    this.#put(moversAsOfKey(this.#partition), {
      body: { kind: 'MoversAsOf', partition: this.#partition, stream_time, source_lsn },
    });
    this.#stamp = null;
  }

  #restore(): void {
    for (let after: Buffer | null = null; ; ) {
      const page: ViewEntry[] = this.#store.scan(Buffer.alloc(0), after, PAGE);
      for (const { value } of page) {
        const { body } = this.#options.stored.decode(value);
        if (body.kind === 'MoversAsOf' || !isPeriod(body.period)) continue;
        const { stock_id: stockId, symbol, exchange, sector, period } = body;
        const info = { symbol, exchange, sector };
        if (body.kind === 'StockWatch') this.#scanner.restore({ stockId, period }, info, body.candles);
        else this.#scanner.restoreBoards({ stockId, period, universe: body.universe }, body.boards, info);
      }
      if (page.length < PAGE) return;
      after = page.at(-1)!.key;
    }
  }

  #putWatch({ stockId, period, info, candles }: Watched): void {
    const state = { kind: 'StockWatch', stock_id: stockId, ...infoOf(info), period, candles } as const;
    this.#put(watchKey(period, stockId), candles.length === 0 ? null : { body: state });
  }

  #putMover({ universe, watched, boards }: BoardsChange): void {
    const { stockId, period, info, shown: candle } = watched;
    const key = moverKey({ period, symbol: info.symbol, universe });
    if (boards.length === 0 || candle === null) {
      this.#put(key, null);
      return;
    }
    const figures = { candle, change_bp: changeBp(candle), ...pivotsOf(candle), boards };
    this.#put(key, { body: { kind: 'Mover', period, universe, stock_id: stockId, ...infoOf(info), ...figures } });
  }

  #put(key: string, value: MoversRecord | null): void {
    this.#writer.reset();
    const bytes = value === null ? null : encodeMovers(this.#writer, this.#options.schemaId, value);
    const before = this.#store.get(Buffer.from(key));
    if (bytes === null ? before === undefined : before?.equals(bytes) === true) return;
    this.#store.put(Buffer.from(key), bytes, this.#scanner.timeMs);
  }

  #infoOf(stockId: bigint): StockInfo | null {
    return this.#options.stocks.versionsOf(String(stockId)).at(-1)?.value ?? null;
  }
}

function infoOf({ symbol, exchange, sector }: StockInfo): StockInfo {
  return { symbol, exchange, sector };
}

function watchedCandle(row: Indicators, period: Period, { exchange }: StockInfo): WatchedCandle {
  const { start, high_e6, low_e6, close_e6, volume, volume_ratio } = row;
  const { previous_close_e6, previous_high_e6, previous_low_e6 } = row;
  const { high_20d_e6, low_20d_e6, high_52w_e6, low_52w_e6 } = row;
  return {
    ...{
      start,
      until: untilOf(period, Zone.of(zoneOf(exchange)), row),
      high_e6,
      low_e6,
      close_e6,
      volume,
      volume_ratio,
    },
    ...{ previous_close_e6, previous_high_e6, previous_low_e6, high_20d_e6, low_20d_e6, high_52w_e6, low_52w_e6 },
  };
}
