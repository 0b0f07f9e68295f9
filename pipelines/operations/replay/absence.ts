/**
 * A ClickHouse sink of versions that was away for longer than its topic keeps tombstones may have missed the end of rows: they would be shown for
 * ever. Whether it has missed one cannot be told any more, so its tables are rebuilt from the topic before it goes on.
 *
 * Invariant: what is shown once the partition is open is what the topic says, whatever left it meanwhile. One instance rebuilds for all: that
 * which has partition 0.
 */
import type { Logger } from 'pino';
import { type ClickHouseConfig, clickHouseClient, selectRows } from '../../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../../connectors/clickhouse/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import type { TopicPartition } from '../../../engine/sink.ts';
import { replayWarehouse, type WarehouseReplay } from './warehouse.ts';

const HOUR_MS = 3_600_000;
const REBUILDER = 0;

export interface AbsenceOptions {
  readonly spec: WarehouseReplay;
  readonly kafka: LogClient;
  readonly clickHouse: ClickHouseConfig;
  readonly logger: Logger;
  /** How long the topic keeps tombstones. Half of it is the limit: reading takes its time too. */
  readonly tombstonesMs: number;
  /** Names a run: letters and digits. */
  readonly run: () => string;
}

/** What a sink does before it opens a partition. Throws as `replayWarehouse`. */
export function rebuildAfterAbsence(options: AbsenceOptions): (at: TopicPartition) => Promise<void> {
  const { spec, kafka, clickHouse, logger, tombstonesMs, run } = options;
  return async ({ partition }) => {
    if (partition !== REBUILDER) return;
    const away = await awayMs(clickHouse, spec.tables);
    if (away === null || away <= tombstonesMs / 2) return;
    const hours = Math.floor(away / HOUR_MS);
    logger.warn({ hours, log: spec.tables.log }, 'away for so long that tombstones may have been missed: rebuilding');
    const { states } = await replayWarehouse(spec, {
      kafka,
      clickHouse,
      run: run(),
      months: null,
      mode: 'swap',
      signal: new AbortController().signal,
      progress: () => {},
    });
    logger.info({ states, log: spec.tables.log }, 'rebuilt');
  };
}

/** How long ago the sink last wrote, by the server's clock: the partition that was written longest ago. Null before it has written any. */
async function awayMs(
  clickHouse: ClickHouseConfig,
  { pipeline, topic }: Pick<WarehouseReplay['tables'], 'pipeline' | 'topic'>,
): Promise<number | null> {
  const client = clickHouseClient(clickHouse);
  try {
    const [row] = await selectRows<{ away: string; partitions: string }>(
      client,
      `SELECT max(dateDiff('millisecond', updated_at, now64(3))) AS away, count() AS partitions FROM sluice_progress FINAL
       WHERE pipeline = {pipeline:String} AND topic = {topic:String}`,
      { pipeline, topic },
    );
    return Number(row!.partitions) === 0 ? null : Number(row!.away);
  } catch (error) {
    throw clickHouseError(error, 'ask when the sink last wrote');
  } finally {
    await client.close();
  }
}
