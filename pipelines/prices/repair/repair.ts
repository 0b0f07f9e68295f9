/**
 * Brings every sink of prices to say what Postgres says: compares, repairs what differs, and compares again. docs/reconcile.md says what is done about
 * what, and why it is exact while everything runs.
 */
import { clickHouseClient } from '../../../connectors/clickhouse/client.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { rebuildBoards } from '../../operations/rebuild-boards.ts';
import type { ReconcileReport } from '../../operations/reconcile/report.ts';
import { counted, refused, refuseMany } from '../../operations/repair-limits.ts';
import { type Round, type Rounds, repairRounds } from '../../operations/repair-rounds.ts';
import { comparePrices, type PricesCompared, type PricesReconcileOptions } from '../reconcile/reconcile.ts';
import { MOVERS } from '../topics.ts';
import { type BarsRepair, type BarsToTell, barsToForce, missedBars, tellBars } from './bars.ts';
import { mendNewest, type NewestMended, newestIndicators, newestPrices } from './newest-values.ts';
import { forgotten, type PricesPlan, planOf } from './plan.ts';
import { feedAgain } from './warehouse.ts';

export interface PricesRepairOptions
  extends Omit<PricesReconcileOptions, 'limit' | 'schemas'>,
    Omit<BarsRepair, 'schemas' | 'progress'> {
  readonly schemas: PricesReconcileOptions['schemas'] & BarsRepair['schemas'];
  /** Refuses when more bars, or rows of one report, differ. */
  readonly max: number;
  readonly progress: (done: number, total: number, note: string) => void;
}

type Looking = Omit<PricesRepairOptions, 'kafka' | 'runId' | 'rate' | 'signal' | 'progress'>;

/** Bars, then what follows from them, and once more for what only shows then. */
const MAX_ROUNDS = 4;

export async function repairPrices(options: PricesRepairOptions): Promise<Rounds<ReconcileReport>> {
  return await repairRounds(MAX_ROUNDS, async ({ compareOnly }): Promise<Round<ReconcileReport>> => {
    options.signal.throwIfAborted();
    const { report, work } = await lookAtPrices(options);
    if (compareOnly || work === null) return { report, done: [], again: false };
    return { report, ...(await mend(options, work)) };
  });
}

/** What is to be done now: bars first, since all else follows from them. */
interface Work {
  /** Of bars, those that ClickHouse alone has wrong. */
  readonly plan: PricesPlan;
  readonly missed: BarsToTell;
  readonly forced: BarsToTell;
}

export interface PricesLook {
  readonly report: ReconcileReport;
  /** Null: nothing. */
  readonly work: Work | null;
  /** What would be done, for a person. */
  readonly lines: readonly string[];
}

/** Compares, and finds what is to be done. Changes nothing. Throws REPAIR_REFUSED (fatal). */
export async function lookAtPrices(options: Looking): Promise<PricesLook> {
  const compared = await comparePrices({ ...options, limit: options.max });
  const { report } = compared;
  if (report.result !== 'different') return { report, work: null, lines: [] };
  const work = await workOf(options, compared);
  return { report, work, lines: linesOf(work) };
}

async function workOf(options: Looking, { report, subjects }: PricesCompared): Promise<Work> {
  const bars = report.sinks['clickhouse.bar'];
  if (bars === undefined || bars.result === 'unknown') {
    const why = bars?.problem ?? 'it was not compared';
    throw refused(`clickhouse.bar could not be compared, so nobody can tell which bars are wrong: ${why}`);
  }
  refuseMany(report, /^clickhouse\.bar$/, options.max);
  const found = planOf(subjects);
  const missed = await missedBars(options, found.bars);
  const known = new Set([...missed.tell.map(({ stockId, start }) => `bar ${stockId} ${start}`), ...missed.left]);
  const plan = { ...found, bars: found.bars.filter((name) => !known.has(name)) };
  if (missed.tell.length > 0) return { plan, missed, forced: { tell: [], left: [] } };
  refuseMany(report, /^(clickhouse|external|signals|redis)\./, options.max);
  return { plan, missed, forced: await barsToForce(options, plan.publish) };
}

function linesOf({ plan, missed, forced }: Work): readonly string[] {
  const { bars, candles, indicators, prices, newest, boards } = plan;
  if (missed.tell.length > 0) {
    const told = `tell the pipeline ${counted(missed.tell.length, 'bar')} as Postgres has it: all sinks follow`;
    return [told, 'then compare again, and mend what still differs'];
  }
  const rows = bars.length + candles.length;
  return [
    ...line(rows, (n) => `feed ${counted(n, 'row')} of bars and candles in ClickHouse again from the topic`),
    ...line(indicators.length, (n) => `feed ${counted(n, 'row')} of indicators in ClickHouse again from the topic`),
    ...line(plan.publish.length, (n) => `have ${counted(n, 'candle')} told again in the public topics`),
    ...line(prices.length, (n) => `put ${counted(n, 'newest price')} in Redis right`),
    ...line(newest.length, (n) => `put newest indicators of ${n} series in Redis right`),
    ...line(boards.size, (n) => `have ${counted(n, 'board')} of movers written anew from their topic`),
    ...leftLines([...missed.left, ...forced.left]),
    'then compare again',
  ];
}

function line(count: number, text: (count: number) => string): readonly string[] {
  return count === 0 ? [] : [text(count)];
}

function leftLines(left: readonly string[]): readonly string[] {
  return line(left.length, (n) => {
    const which = left.slice(0, 5).join(', ');
    return `leave ${n} whose stock the pipeline has never seen (${which}): npm run backfill -- --table stocks, then stock_prices`;
  });
}

const NONE: NewestMended = { mended: 0, moved: 0 };

type Mended = Omit<Round<unknown>, 'report'>;

async function mend(options: PricesRepairOptions, work: Work): Promise<Mended> {
  const { plan, missed, forced } = work;
  const tell = [...missed.tell, ...forced.tell];
  const done: string[] = [];
  if (tell.length > 0) {
    const progress = (told: number) => options.progress(told, tell.length, 'telling bars');
    await tellBars({ ...options, progress }, tell);
    if (missed.tell.length > 0)
      return { done: [`told the pipeline ${counted(missed.tell.length, 'bar')}`], again: true };
    done.push(`had ${counted(plan.publish.length - forced.left.length, 'candle')} told again in the public topics`);
  }
  options.signal.throwIfAborted();
  done.push(...(await mendWarehouse(options, plan)));
  options.signal.throwIfAborted();
  const parts = [await mendNewestValues(options, plan), await mendBoards(options, plan)];
  const again = done.length > 0 || parts.some((part) => part.again);
  const left = leftLines([...missed.left, ...forced.left]);
  return { done: [...done, ...parts.flatMap((part) => part.done), ...left], again };
}

async function mendWarehouse(options: PricesRepairOptions, { bars, candles, indicators }: PricesPlan) {
  const client = clickHouseClient({ ...options.clickHouse, requestTimeoutMs: 600_000 });
  try {
    const parts = { client, log: options.log, schemas: options.schemas };
    await feedAgain(parts, 'candles', [...bars, ...candles]);
    await feedAgain(parts, 'indicators', indicators);
  } finally {
    await client.close();
  }
  return [
    ...line(bars.length + candles.length, (n) => `fed ${counted(n, 'row')} of bars and candles in ClickHouse again`),
    ...line(indicators.length, (n) => `fed ${counted(n, 'row')} of indicators in ClickHouse again`),
  ];
}

async function mendNewestValues(options: PricesRepairOptions, { prices, newest }: PricesPlan): Promise<Mended> {
  const { schemas } = options;
  const ids = await idsOf(options.postgresUrl, prices);
  const latest = prices.map((name) => ({ name, series: ids.get(name) ?? null }));
  const series = newest.map(({ name, stock }) => {
    return { name, series: stock === null ? null : `${stock}|${name.slice(0, name.indexOf(':'))}` };
  });
  const ofPrices = prices.length === 0 ? NONE : await mendNewest(options, newestPrices(schemas), latest);
  const ofIndicators = newest.length === 0 ? NONE : await mendNewest(options, newestIndicators(schemas), series);
  const seen = [ofPrices, ofIndicators].reduce((sum, { mended, moved }) => sum + mended + moved, 0);
  const done = [
    ...line(ofPrices.mended, (n) => `put ${counted(n, 'newest price')} in Redis right`),
    ...line(ofIndicators.mended, (n) => `put newest indicators of ${n} series in Redis right`),
    ...line(
      prices.length + newest.length - seen,
      (n) =>
        `left ${n} newest values in Redis of which the sink remembers nothing: npm run replay -- --pipeline prices --sink redis`,
    ),
  ];
  return { done, again: seen > 0 };
}

/** By symbol. */
async function idsOf(url: string, symbols: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (symbols.length === 0) return new Map();
  const pool = new PostgresPool({ url, applicationName: 'sluice-repair', maxConnections: 1 });
  try {
    const { rows } = await pool.query<{ id: string; symbol: string }>(
      'SELECT id::text, symbol FROM stocks WHERE symbol = ANY($1)',
      [symbols],
    );
    return new Map(rows.map(({ id, symbol }) => [symbol, id]));
  } finally {
    await pool.close();
  }
}

async function mendBoards(options: PricesRepairOptions, { boards }: PricesPlan): Promise<Mended> {
  if (boards.size === 0) return { done: [], again: false };
  const { redisUrl, deadlineSeconds, log } = options;
  const left = await rebuildBoards({ redisUrl, deadlineSeconds }, forgotten(boards, await log.partitions(MOVERS)));
  const done = [...boards.keys()].map((name) =>
    left.includes(name)
      ? `the boards ${name} were not written anew within ${deadlineSeconds} s: is prices.sink.movers running?`
      : `had the boards ${name} written anew`,
  );
  return { done, again: left.length < boards.size };
}
