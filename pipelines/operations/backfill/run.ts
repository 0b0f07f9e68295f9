/** A run from its beginning, or from where it was left. */
import { NOTIFICATION_TOPIC } from '../../../connectors/debezium/config.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { TAKEOVER_WAIT_MS, trySessionLock } from '../../../connectors/postgres/session-lock.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { CaptureWatch, type ClockTopic, endOf } from './capture-watch.ts';
import { Ledger, type Run, type RunProgress } from './ledger.ts';
import type { Step } from './pieces.ts';
import { planned } from './progress.ts';
import { Reading, type ReadingEnd, type ReadingOptions } from './reading.ts';

/** Any number that nobody else locks by. */
const LOCK_KEY = 7_310_579_661_004n;

export interface BackfillServers {
  readonly postgresUrl: string;
  readonly connect: () => LogClient;
  readonly schemas: SchemaSource;
  readonly clock: ClockTopic;
}

export type BackfillOptions = BackfillServers &
  Omit<ReadingOptions, 'pool' | 'ledger' | 'watch'> & {
    /** A new run, or one to go on with. */
    readonly run: { readonly runId: string; readonly request: unknown; readonly steps: readonly Step[] } | Run;
    /** After everything was read: what no snapshot can bring, and the comparison. Repeated when it is cut short. */
    readonly finish: (runId: string, progress: RunProgress) => Promise<void>;
  };

/** Does the run. Throws BACKFILL_DRIVEN (fatal) when another process does, else as `Reading`. */
export async function runBackfill(options: BackfillOptions): Promise<ReadingEnd> {
  const { postgresUrl: url, connect, schemas, clock, run } = options;
  const applicationName = 'sluice-backfill';
  const lock = await trySessionLock({ url, applicationName, waitMs: TAKEOVER_WAIT_MS }, LOCK_KEY);
  if (lock === null) {
    throw new SluiceError('Another process drives the backfill: npm run backfill -- status', {
      code: 'BACKFILL_DRIVEN',
      action: 'fatal',
    });
  }
  const pool = new PostgresPool({ url, applicationName, statementTimeoutMs: 120_000 });
  const ledger = new Ledger(pool);
  let watch: CaptureWatch | null = null;
  try {
    if ('steps' in run) {
      const noticesFrom = await noticesEnd(connect());
      await ledger.begin({ runId: run.runId, request: run.request, progress: planned(run.steps), noticesFrom });
    }
    const taken = await ledger.takeOver(run.runId);
    watch = new CaptureWatch({ connect, schemas, clock, noticesFrom: taken.noticesFrom });
    const reading = new Reading(taken, { ...options, pool, ledger, watch });
    const end = await reading.read();
    if (end !== 'read') return end;
    await options.finish(taken.runId, reading.progress);
    await ledger.note({ ...taken, progress: reading.progress }, 'done');
    return end;
  } finally {
    await watch?.close();
    await pool.close();
    await lock.release();
  }
}

async function noticesEnd(log: LogClient): Promise<bigint> {
  try {
    return await endOf(log, NOTIFICATION_TOPIC);
  } finally {
    await log.close();
  }
}

/** Whether some process drives a run at this moment. */
export async function isDriven(url: string): Promise<boolean> {
  const lock = await trySessionLock({ url, applicationName: 'sluice-backfill' }, LOCK_KEY);
  await lock?.release();
  return lock === null;
}
