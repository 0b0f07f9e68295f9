/**
 * Contents that changed while nobody captured: read again through Debezium, which alone writes their topic. What it reads gives way to
 * every change that comes meanwhile, so nothing newer is undone. Their events follow by correction.
 */
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient } from '../../../engine/log.ts';
import { sourceClock } from '../../capture/source-clock.ts';
import { Ledger, type Run } from '../../operations/backfill/ledger.ts';
import type { Step } from '../../operations/backfill/pieces.ts';
import { runBackfill } from '../../operations/backfill/run.ts';
import { CONTENT_TABLE } from '../capture.ts';

export interface ContentsRepair {
  readonly postgresUrl: string;
  readonly connect: () => LogClient;
  readonly schemas: SchemaSource & Parameters<typeof sourceClock>[0];
  readonly runId: string;
  /** Rows a second. */
  readonly rate: number;
  readonly signal: AbortSignal;
  readonly progress: (read: number) => void;
}

/** A condition with more is longer than Debezium's query should be: then the whole table is read, which is small. */
const MAX_NAMED = 500;

/** What the run is kept as: `npm run backfill -- resume` ends it too, when this process does not. */
function requestOf(ids: readonly string[]) {
  const where = ids.length > MAX_NAMED ? null : `id IN (${ids.map((id) => `'${uuid(id)}'`).join(', ')})`;
  return { table: 'content', from: null, to: null, groups: [], ids: [], where };
}

function uuid(id: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id;
  throw new TypeError(`${JSON.stringify(id)} is no uuid`);
}

/**
 * Returns how many contents were read. A run that a killed repair has left is gone on with first. Throws REPAIR_HELD (fatal) while another
 * backfill is open, else as `runBackfill`.
 */
export async function readContentsAgain(options: ContentsRepair, ids: readonly string[]): Promise<number> {
  const { postgresUrl, connect, schemas, runId, rate, signal, progress } = options;
  const left = await openRun(postgresUrl);
  const request = requestOf(ids);
  const step: Step = {
    table: CONTENT_TABLE.name,
    ...{ chunkBy: 'id', order: null, condition: request.where, bounds: null, rows: ids.length },
  };
  let read = 0;
  await runBackfill({
    ...{ postgresUrl, connect, schemas, signal, clock: sourceClock(schemas) },
    run: left ?? { runId, request, steps: [step] },
    rowsPerSecond: rate,
    // One piece: there is nothing that it could be held back from.
    ...{ maxLag: 0, liveLag: async () => 0 },
    report: ({ rowsRead }) => {
      read = rowsRead;
      progress(read);
    },
    finish: async () => {},
  });
  return left === null ? read : read + (await readContentsAgain(options, ids));
}

/** The open run, when it is one of these. */
async function openRun(url: string): Promise<Run | null> {
  const pool = new PostgresPool({ url, applicationName: 'sluice-repair', maxConnections: 1 });
  try {
    const run = await new Ledger(pool).open();
    if (run === null || (run.request as { readonly table?: string }).table === 'content') return run;
    throw new SluiceError(
      `Contents are to be read again, but backfill ${run.runId} is not over: npm run backfill -- status, then this again`,
      { code: 'REPAIR_HELD', action: 'fatal' },
    );
  } finally {
    await pool.close();
  }
}
