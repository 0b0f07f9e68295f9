/** Planning, doing and describing a run of the backfill command. */

import { CONNECTOR_NAME, notifies } from '../../connectors/debezium/config.ts';
import { ConnectApi } from '../../connectors/debezium/connect-api.ts';
import { waitUntilRunning } from '../../connectors/debezium/status.ts';
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { PostgresPool } from '../../connectors/postgres/pool.ts';
import { RegistryClient } from '../../connectors/registry/client.ts';
import { SluiceError } from '../../engine/errors.ts';
import { sourceClock } from '../../pipelines/capture/source-clock.ts';
import { type Config, kafkaOptions } from '../../pipelines/config.ts';
import { conditionOf } from '../../pipelines/operations/backfill/condition.ts';
import { Ledger, type Run } from '../../pipelines/operations/backfill/ledger.ts';
import { liveLag } from '../../pipelines/operations/backfill/live-lag.ts';
import { planSteps, type Step } from '../../pipelines/operations/backfill/pieces.ts';
import { rowsPlanned } from '../../pipelines/operations/backfill/progress.ts';
import { pieceRows } from '../../pipelines/operations/backfill/reading.ts';
import { Renewed } from '../../pipelines/operations/backfill/renewed.ts';
import { runBackfill } from '../../pipelines/operations/backfill/run.ts';
import type { StraysFound } from '../../pipelines/operations/backfill/strays.ts';
import { reportLines } from '../../pipelines/operations/reconcile/print.ts';
import type { ReconcileReport } from '../../pipelines/operations/reconcile/report.ts';
import type { OperationContext, Plan, Report } from '../support/operation.ts';
import { BACKFILLED } from './pipelines.ts';
import { type Pace, type Request, rangeOf } from './request.ts';

/** The run that is to be done: a new one with its steps, or the one that was left. */
export type Work =
  | { readonly kind: 'new'; readonly request: Request; readonly steps: readonly Step[] }
  | { readonly kind: 'left'; readonly request: Request; readonly run: Run };

const PLAN_TIMEOUT_MS = 60_000;

/** Plans a new run, or finds that the same one was begun. Reads only. */
export async function plan(config: Config, request: Request, pace: Pace): Promise<Plan<Work>> {
  const { table } = BACKFILLED[request.table];
  const condition = conditionOf(table, rangeOf(request));
  await checkCapture(config);
  const url = config.SLUICE_POSTGRES_URL;
  const pool = new PostgresPool({ url, applicationName: 'sluice-backfill', statementTimeoutMs: PLAN_TIMEOUT_MS });
  try {
    const open = await new Ledger(pool).open();
    if (open !== null) return resumed(open, request, pace);
    const steps = await pool.transaction(async (sql) => {
      await sql.query('SET TRANSACTION READ ONLY');
      return await planSteps(sql, table, rangeOf(request));
    });
    const rows = steps.reduce((sum, step) => sum + step.rows, 0);
    const lines = steps.map((step) => `read ${step.rows} rows of ${step.table} again: ${step.condition ?? 'all rows'}`);
    return {
      data: { kind: 'new', request, steps },
      lines: [
        ...lines,
        ...paceLines(rows, pace),
        `take off what the sinks hold of ${condition ?? 'all rows'} and Postgres does not`,
      ],
      report: { request, steps, rows, seconds: Math.ceil(rows / pace.rate) },
    };
  } finally {
    await pool.close();
  }
}

function paceLines(rows: number, { rate, maxLag }: Pace): readonly string[] {
  const pieces = Math.ceil(rows / pieceRows(rate));
  return [
    `about ${pieces} pieces of up to ${pieceRows(rate)} rows, ${rate} rows/s: ${Math.ceil(rows / rate)} s or more; a piece waits while the workers are more than ${maxLag} records behind`,
  ];
}

function resumed(run: Run, request: Request, pace: Pace): Plan<Work> {
  if (JSON.stringify(run.request) !== JSON.stringify(request)) {
    throw new SluiceError(
      `Backfill ${run.runId} (${JSON.stringify(run.request)}) is not over: npm run backfill -- resume, or cancel it first`,
      { code: 'BACKFILL_UNDER_WAY', action: 'fatal' },
    );
  }
  return continued(run, pace);
}

export function continued(run: Run, pace: Pace): Plan<Work> {
  const request = run.request as Request;
  const left = Math.max(0, rowsPlanned(run.progress) - run.progress.rowsRead);
  return {
    data: { kind: 'left', request, run },
    lines: [`go on with backfill ${run.runId}: ${describe(run)}`, ...paceLines(left, pace)],
    report: { request, runId: run.runId, rowsRead: run.progress.rowsRead, rowsLeft: left },
  };
}

/** A signal to a connector that does not run, or does not report, would be waited for in vain. */
export async function checkCapture(config: Config): Promise<void> {
  const api = new ConnectApi(config.SLUICE_CONNECT_URL);
  await waitUntilRunning(api, CONNECTOR_NAME, 20_000);
  const registered = await api.config(CONNECTOR_NAME);
  if (registered !== null && notifies(registered)) return;
  throw new SluiceError('The connector does not report its snapshots: npm run connector -- register, then this again', {
    code: 'CONNECTOR_SILENT',
    action: 'fatal',
  });
}

export async function execute(work: Work, pace: Pace, context: OperationContext): Promise<Report> {
  const { config, signal, progress } = context;
  const kafka = kafkaOptions(config, 'sluice-backfill');
  const connect = () => new KafkaClient(kafka);
  const live = new Renewed(connect);
  const schemas = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  let strays: StraysFound | null = null;
  let compared: ReconcileReport | null = null;
  try {
    const { table, live: liveWorkers, strays: correct, compare } = BACKFILLED[work.request.table];
    const range = rangeOf(work.request);
    const condition = conditionOf(table, range);
    const run = work.kind === 'left' ? work.run : { runId: context.runId, request: work.request, steps: work.steps };
    const end = await runBackfill({
      postgresUrl: config.SLUICE_POSTGRES_URL,
      connect,
      schemas,
      clock: sourceClock(schemas),
      run,
      rowsPerSecond: pace.rate,
      maxLag: pace.maxLag,
      liveLag: async () => await live.use(async (log) => await liveLag(log, await liveWorkers(log))),
      signal,
      report: (at, note) => progress.update(at.rowsRead, Math.max(rowsPlanned(at), at.rowsRead), note),
      // With a client of its own: the run may have outlived the broker.
      finish: async (runId) => {
        const log = connect();
        try {
          if (correct !== null) {
            const report = (looked: number) =>
              progress.update(looked, null, 'looking for rows that Postgres has no more');
            strays = await correct(config, log, { runId, range, condition, signal, report });
          }
          compared = await compare(config, log, { range, deadlineSeconds: pace.deadline });
        } finally {
          await log.close();
        }
      },
    });
    return reportOf(run.runId, end, strays, compared);
  } finally {
    await live.close();
  }
}

function reportOf(
  runId: string,
  end: Awaited<ReturnType<typeof runBackfill>>,
  strays: StraysFound | null,
  compared: ReconcileReport | null,
): Report {
  const report = { runId, end, strays, compared };
  if (end !== 'read') {
    const lines = [`Backfill ${runId} was ${end}${end === 'paused' ? ': npm run backfill -- resume' : ''}.`];
    return { lines, report, complete: false };
  }
  const straysLine =
    strays === null
      ? []
      : [
          `${strays.retracted} rows taken off and ${strays.restored} told anew, of ${strays.looked} that the pipeline holds in the range`,
        ];
  return {
    lines: [`Backfill ${runId} is done.`, ...straysLine, ...(compared === null ? [] : reportLines(compared))],
    report,
    complete: compared?.result === 'equal',
  };
}

export function describe({ status, progress, request, startedAt, updatedAt }: Run): string {
  const { steps, step, rowsRead, inFlight } = progress;
  const where = steps[step] === undefined ? 'all is read, comparing' : `at ${steps[step].table}`;
  const flying = inFlight === null ? '' : `, piece ${inFlight.number} asked for`;
  return `${status}, ${rowsRead} of ${rowsPlanned(progress)} rows, ${where}${flying}; begun ${startedAt}, last moved ${updatedAt}; ${JSON.stringify(request)}`;
}

export async function withLedger<T>(config: Config, work: (ledger: Ledger) => Promise<T>): Promise<T> {
  const pool = new PostgresPool({ url: config.SLUICE_POSTGRES_URL, applicationName: 'sluice-backfill' });
  try {
    return await work(new Ledger(pool));
  } finally {
    await pool.close();
  }
}
