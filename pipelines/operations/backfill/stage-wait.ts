/** Waiting until a stage has read what is there: a command that tells rows must know that what it told has been taken up. */
import { parseLsn } from '../../../connectors/postgres/lsn.ts';
import type { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { pause } from '../../../engine/backoff.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { ClockTopic } from './capture-watch.ts';

export interface StageWait {
  readonly log: LogClient;
  /** Its consumer group. */
  readonly stage: string;
  /** The captured topic that it reads. */
  readonly captured: string;
  readonly signal: AbortSignal;
}

const PASS_MS = 300_000;
const POLL_MS = 200;
const CLOCK_PARTITION = 0;

/** Resolves when the stage has read all that Postgres committed before the call. Throws BACKFILL_STAGE_BEHIND (retry). */
export async function untilStagePassed(
  { pool, clock }: { readonly pool: PostgresPool; readonly clock: ClockTopic },
  wait: StageWait,
): Promise<void> {
  const { log, signal } = wait;
  const from = (await log.offsets(clock.topic, [CLOCK_PARTITION], 'lastStable')).get(CLOCK_PARTITION) ?? 0n;
  const { rows } = await pool.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  const lsn = parseLsn(rows[0]!.lsn);
  const reader = log.reader({ minBytes: 1, maxWaitMs: POLL_MS, maxBufferedBytes: 1 << 20 });
  const deadline = performance.now() + PASS_MS;
  try {
    // A beat of the source clock behind that position: what was committed before is in the captured topic.
    for (let next = from, passed = false; !passed; ) {
      const end = (await log.offsets(clock.topic, [CLOCK_PARTITION], 'lastStable')).get(CLOCK_PARTITION) ?? 0n;
      await readToEnd(reader, { topic: clock.topic, partition: CLOCK_PARTITION, from: next, end }, async (run) => {
        await clock.prepare(run.records);
        passed ||= run.records.some((record) => (clock.decode(record)?.position ?? 0n) >= lsn);
      });
      if (end > next) next = end;
      if (passed) break;
      if (performance.now() > deadline) throw behind('Capture', 'npm run connector -- status');
      await pause(POLL_MS, signal);
      signal.throwIfAborted();
    }
  } finally {
    await reader.close();
  }
  await untilStageRead(wait);
}

/**
 * Resolves when it has read everything that is in the topic: to the high watermark, since an open transaction of capture may stand in front of
 * what a command wrote. Throws BACKFILL_STAGE_BEHIND (retry).
 */
export async function untilStageRead({ log, stage, captured, signal }: StageWait): Promise<void> {
  const partitions = Array.from({ length: await log.partitions(captured) }, (_, partition) => partition);
  const ends = await log.offsets(captured, partitions, 'highWatermark');
  const deadline = performance.now() + PASS_MS;
  for (const partition of partitions) {
    const end = ends.get(partition) ?? 0n;
    while (((await log.committed(stage, captured, partition))?.offset ?? 0n) < end) {
      signal.throwIfAborted();
      if (performance.now() > deadline) throw behind(`${stage}, partition ${partition},`, 'is it running?');
      await pause(POLL_MS, signal);
    }
  }
}

function behind(who: string, look: string): SluiceError {
  return new SluiceError(`${who} does not come on: ${look} Then: npm run backfill -- resume`, {
    code: 'BACKFILL_STAGE_BEHIND',
    action: 'retry',
  });
}
