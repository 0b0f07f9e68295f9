/**
 * Brings every sink to say what Postgres says: compares, repairs what differs while the snapshot is there, and compares again.
 * docs/reconcile.md says what is done about what, and why it is exact while everything runs.
 */
import { clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import type { KafkaOptions } from '../../../connectors/kafka/cluster.ts';
import type { LogClient } from '../../../engine/log.ts';
import type { NewestSchemas } from '../../capture/operator-envelope.ts';
import { rebuildBoards } from '../../operations/rebuild-boards.ts';
import type { ReconcileReport } from '../../operations/reconcile/report.ts';
import { counted, refused, refuseMany } from '../../operations/repair-limits.ts';
import { type Round, type Rounds, repairRounds } from '../../operations/repair-rounds.ts';
import { type Comparison, type ReconcileOptions, reconcile, type Subjects } from '../reconcile/reconcile.ts';
import { CHANGES } from '../topics.ts';
import { boardsToRebuild } from './boards.ts';
import { type ContentsRepair, readContentsAgain } from './contents.ts';
import { planRows, type RowPlan } from './plan.ts';
import { correctCells } from './rollups.ts';
import { tellRows } from './tell-rows.ts';
import { repairWarehouseRows, restoreLog } from './warehouse-rows.ts';

export interface RepairOptions extends Omit<ReconcileOptions, 'different' | 'limit' | 'schemas'> {
  readonly kafka: KafkaOptions;
  readonly schemas: ReconcileOptions['schemas'] & NewestSchemas & ContentsRepair['schemas'];
  /** A log client of its own for who watches capture. */
  readonly connect: () => LogClient;
  readonly generation: number;
  readonly runId: string;
  /** Refuses when more rows, or cells of one rollup, differ. */
  readonly max: number;
  /** Rows a second that are told to the pipeline. */
  readonly rate: number;
  readonly signal: AbortSignal;
  readonly progress: (done: number, total: number, note: string) => void;
  /** Between the comparison and the repair; for tests. */
  readonly beforeRepair?: (comparison: Comparison) => Promise<void>;
}

type Mended = Omit<Round<unknown>, 'report'>;

/** Contents, then rows, then sums and boards, and once more for what only shows then. */
const MAX_ROUNDS = 5;

export async function repair(options: RepairOptions): Promise<Rounds<ReconcileReport>> {
  return await repairRounds(MAX_ROUNDS, async ({ compareOnly }): Promise<Round<ReconcileReport>> => {
    options.signal.throwIfAborted();
    let mended: Mended = { done: [], again: false };
    const report = await reconcile({
      ...options,
      limit: options.max,
      different: async (comparison) => {
        if (compareOnly) return;
        await options.beforeRepair?.(comparison);
        mended = await repairOnce(options, comparison);
      },
    });
    return { report, ...mended };
  });
}

/** What would be done first about a comparison. Throws REPAIR_REFUSED (fatal). */
export function describeRepair(
  report: ReconcileReport,
  subjects: Subjects,
  max: number,
): { readonly lines: readonly string[]; readonly plan: unknown } {
  const contents = contentsPlan(report, subjects, max);
  if (contents.length > 0) {
    const line = `read ${counted(contents.length, 'content')} again from Postgres: their events follow`;
    const lines = [line, 'then compare again, and mend what still differs'];
    return { lines, plan: { contents, rows: [], clickHouseRows: [], steps: lines } };
  }
  const rows = rowPlan(report, subjects, max);
  const lines: string[] = [];
  if (rows !== null) {
    const [changes, publishes] = split(rows);
    if (changes > 0) lines.push(`tell the pipeline ${counted(changes, 'row')} as Postgres has it: all sinks follow`);
    if (publishes > 0) lines.push(`publish ${counted(publishes, 'record')} of the external topic again`);
    if (rows.warehouse.length > 0)
      lines.push(`feed ${counted(rows.warehouse.length, 'row')} of ClickHouse again from its log`);
    if (rows.left.length > 0) lines.push(`leave ${counted(rows.left.length, 'row')}: run again`);
    lines.push('then compare again, and correct the sums and boards that still differ');
  } else {
    if (subjects.log.length > 0)
      lines.push(`put back what the log of ClickHouse has lost of ${counted(subjects.log.length, 'event')}`);
    refuseMany(report, /^clickhouse\.(hourly|daily|weekly)$/, max);
    for (const [rollup, cells] of subjects.cells) {
      const days = new Set(cells.map(({ cell }) => cell.period / 86_400n)).size;
      if (cells.length > 0)
        lines.push(`recompute ${counted(cells.length, 'cell')} of ${rollup.view} in ${counted(days, 'day')}`);
    }
    for (const [window, places] of subjects.places) {
      if (places.length > 0) lines.push(`have the boards of ${window} written anew from their topic`);
    }
  }
  const ids = rows?.tell.map(({ id, how }) => ({ event: String(id), how })) ?? [];
  return { lines, plan: { rows: ids, clickHouseRows: rows?.warehouse.map(String) ?? [], steps: lines } };
}

async function repairOnce(options: RepairOptions, comparison: Comparison): Promise<Mended> {
  const { report, subjects } = comparison;
  const contents = contentsPlan(report, subjects, options.max);
  if (contents.length > 0) return await repairContents(options, contents);
  const rows = rowPlan(report, subjects, options.max);
  const client = clickHouseClient({ ...options.clickHouse, requestTimeoutMs: 600_000 });
  try {
    if (rows !== null) return await repairRows({ ...options, client }, comparison, rows);
    const log = await repairLog({ ...options, client }, comparison);
    if (log.again) return log;
    refuseMany(report, /^clickhouse\.(hourly|daily|weekly)$/, options.max);
    const sums = await repairSums({ ...options, client }, comparison);
    const boards = await repairBoards(options, comparison);
    return { done: [...log.done, ...sums.done, ...boards.done], again: sums.again || boards.again };
  } finally {
    await client.close();
  }
}

/** First, since rows follow from them. */
async function repairContents(options: RepairOptions, ids: readonly string[]): Promise<Mended> {
  const progress = (read: number) => options.progress(read, ids.length, 'reading contents');
  const read = await readContentsAgain({ ...options, progress }, ids);
  return { done: [`read ${counted(read, 'content')} again`], again: true };
}

/** Ids of the contents that are to be read again. */
function contentsPlan(report: ReconcileReport, { contents }: Subjects, max: number): readonly string[] {
  refuseMany(report, /^contents$/, max);
  return contents.map(({ id }) => id);
}

type WithClient = RepairOptions & { readonly client: ReturnType<typeof clickHouseClient> };

async function repairRows(options: WithClient, comparison: Comparison, rows: RowPlan): Promise<Mended> {
  const problems: string[] = [];
  const { client, log, schemas, generation, kafka, postgresUrl, runId, rate, signal } = options;
  const done: string[] = [];
  if (rows.tell.length > 0) {
    const total = rows.tell.length;
    const progress = (told: number) => options.progress(told, total, 'telling rows');
    const told = { kafka, log, schemas, postgresUrl, runId, rate, signal, progress };
    await tellRows(told, rows.tell);
    const [changes, publishes] = split(rows);
    if (changes > 0) done.push(`told the pipeline ${counted(changes, 'row')}`);
    if (publishes > 0) done.push(`published ${counted(publishes, 'record')} again`);
  }
  if (rows.warehouse.length > 0) {
    signal.throwIfAborted();
    const left = await repairWarehouseRows({ client, log, schemas, generation }, comparison, rows.warehouse);
    const fed = rows.warehouse.length - left.length;
    if (fed > 0) done.push(`fed ${counted(fed, 'row')} of ClickHouse again`);
    if (left.length > 0) {
      const which = left.slice(0, 10).join(', ');
      problems.push(
        `neither the log of ClickHouse nor ${CHANGES} has what ${counted(left.length, 'row')} came from (${which}): npm run replay -- --sink clickhouse`,
      );
    }
  }
  return { done: [...done, ...problems], again: done.length > 0 };
}

async function repairLog(options: WithClient, { report, subjects }: Comparison): Promise<Mended> {
  refuseMany(report, /^clickhouse\.log$/, options.max);
  if (subjects.log.length === 0) return { done: [], again: false };
  const ids = subjects.log.map(({ id }) => id);
  const restored = await restoreLog(options, ids);
  if (restored > 0) return { done: [`put ${counted(restored, 'row')} back into the log of ClickHouse`], again: true };
  const which = ids.slice(0, 10).join(', ');
  const problem = `${CHANGES} does not have what the log of ClickHouse lacks of ${counted(ids.length, 'event')} (${which}): docs/reconcile.md, "The log of ClickHouse"`;
  return { done: [problem], again: false };
}

async function repairSums({ client, runId, signal }: WithClient, comparison: Comparison): Promise<Mended> {
  const done: string[] = [];
  let again = false;
  for (const [rollup, cells] of comparison.subjects.cells) {
    if (cells.length === 0) continue;
    signal.throwIfAborted();
    const { corrected, left } = await correctCells({ client, runId }, comparison, { rollup, cells });
    again ||= corrected > 0;
    const moving = left === 0 ? '' : `; ${counted(left, 'cell')} moved all the time: run again`;
    if (corrected + left > 0) done.push(`corrected ${counted(corrected, 'cell')} of ${rollup.view}${moving}`);
  }
  return { done, again };
}

async function repairBoards(options: RepairOptions, { subjects }: Comparison): Promise<Mended> {
  const { redisUrl, log, deadlineSeconds = 120 } = options;
  const wrong = boardsToRebuild(subjects.places, await log.partitions(CHANGES));
  if (wrong.size === 0) return { done: [], again: false };
  options.signal.throwIfAborted();
  const left = await rebuildBoards({ redisUrl, deadlineSeconds }, [...wrong.values()]);
  const done = [...wrong].map(([window, { leaderboard }]) =>
    left.includes(leaderboard)
      ? `the boards of ${window} were not written anew within ${deadlineSeconds} s: is engagement.sink.redis running?`
      : `had the boards of ${window} written anew`,
  );
  return { done, again: left.length < wrong.size };
}

/** null when all rows are right. Without both stores of rows nobody can say which of them is wrong. */
function rowPlan({ sinks }: ReconcileReport, subjects: Subjects, max: number): RowPlan | null {
  const stores = ['clickhouse.rows', 'external'];
  const unknown = stores.find((name) => sinks[name] === undefined || sinks[name].result === 'unknown');
  if (unknown !== undefined) {
    const why = sinks[unknown]?.problem ?? 'it was not compared';
    throw refused(`${unknown} could not be compared, so nobody can tell which rows are wrong: ${why}`);
  }
  if (stores.every((name) => sinks[name]!.result === 'equal')) return null;
  refuseMany({ sinks }, /^(clickhouse\.rows|external)$/, max);
  return planRows(subjects);
}

function split({ tell }: RowPlan): readonly [changes: number, publishes: number] {
  const changes = tell.filter(({ how }) => how === 'change').length;
  return [changes, tell.length - changes];
}
