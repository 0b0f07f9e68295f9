/** `npm run reconcile -- --repair` on the frame of operator commands, for each pipeline. */
import { SluiceError } from '../../engine/errors.ts';
import type { Config } from '../../pipelines/config.ts';
import { exclusively } from '../../pipelines/operations/exclusive.ts';
import { reportLines } from '../../pipelines/operations/reconcile/print.ts';
import type { ReconcileReport } from '../../pipelines/operations/reconcile/report.ts';
import type { Rounds } from '../../pipelines/operations/repair-rounds.ts';
import { badArgument } from '../support/arguments.ts';
import {
  type OperationContext,
  type OperationFlags,
  type Plan,
  type Report,
  runOperation,
} from '../support/operation.ts';

export interface RepairFlags extends OperationFlags {
  readonly max: number;
  readonly rate: number;
}

/** What every comparison is told. */
export interface CompareOptions {
  readonly since?: Date;
  readonly deadline: number;
  readonly strict?: boolean;
  readonly limit: number;
}

/** What a repair is told of its run. */
export interface RepairRun {
  readonly max: number;
  /** Rows a second that are told to the pipeline. */
  readonly rate: number;
  readonly runId: string;
  readonly signal: AbortSignal;
  readonly generation: number;
  readonly progress: (done: number, total: number, note: string) => void;
}

/** How a pipeline is repaired; opened for one piece of work. */
export interface Repairing {
  /** Compares, and says what would be done first; changes nothing. */
  look(
    max: number,
  ): Promise<{ readonly before: ReconcileReport; readonly lines: readonly string[]; readonly plan: unknown }>;
  repair(run: RepairRun): Promise<Rounds<ReconcileReport>>;
  close(): Promise<void>;
}

export async function runRepair(flags: RepairFlags, open: (config: Config) => Repairing): Promise<void> {
  for (const name of ['max', 'rate'] as const) if (flags[name] === 0) throw badArgument(`--${name} must be at least 1`);
  await runOperation<null>({
    command: 'reconcile --repair',
    arguments: { ...flags },
    flags,
    unit: 'rows',
    plan: async ({ config }) => await closing(open(config), async (repairing) => await planned(repairing, flags.max)),
    execute: async (_, context) =>
      await closing(open(context.config), async (repairing) => {
        const lock = { url: context.config.SLUICE_POSTGRES_URL, name: 'repair' };
        const run = { max: flags.max, rate: flags.rate, ...running(context) };
        return reported(await exclusively(lock, async () => await repairing.repair(run)));
      }),
  });
}

async function closing<T>(repairing: Repairing, work: (repairing: Repairing) => Promise<T>): Promise<T> {
  try {
    return await work(repairing);
  } finally {
    await repairing.close();
  }
}

function running({ config, runId, signal, progress }: OperationContext) {
  return {
    runId,
    signal,
    generation: config.SLUICE_GENERATION,
    progress: (done: number, total: number, note: string) => progress.update(done, total, note),
  };
}

async function planned(repairing: Repairing, max: number): Promise<Plan<null>> {
  const { before, lines: wouldBe, plan } = await repairing.look(max);
  if (before.result === 'unknown') {
    throw new SluiceError(`Nothing differs as far as could be seen, but not all could be: ${problemsOf(before)}`, {
      code: 'REPAIR_UNKNOWN',
      action: 'retry',
    });
  }
  const shown = shortened(before);
  const lines = [...reportLines(shown), ...wouldBe.map((line) => `would ${line}`)];
  return { data: null, lines, report: { before: shown, plan }, nothing: before.result === 'equal' };
}

function problemsOf({ sinks }: ReconcileReport): string {
  return Object.entries(sinks)
    .flatMap(([name, { problem }]) => (problem === null ? [] : [`${name}: ${problem}`]))
    .join('; ');
}

function reported({ before, after, done }: Rounds<ReconcileReport>): Report {
  const lines = ['Before:', ...counts(before), 'Done:', ...done.map((line) => `  ${line}`), 'After:', ...counts(after)];
  const left = after.result === 'equal' ? [] : reportLines(shortened(after));
  const report = { before: shortened(before), done, after: shortened(after) };
  return { lines: [...lines, ...left], report, complete: after.result === 'equal' };
}

const SHOWN = 20;

/** As many differences as are mended are too many to be read, and to be kept in the audit. */
function shortened(report: ReconcileReport): ReconcileReport {
  const sinks = Object.entries(report.sinks).map(([name, sink]) => {
    const { differences, deadLettered } = sink;
    return [name, { ...sink, differences: differences.slice(0, SHOWN), deadLettered: deadLettered.slice(0, SHOWN) }];
  });
  return { ...report, sinks: Object.fromEntries(sinks) };
}

function counts({ position, result, sinks }: ReconcileReport): readonly string[] {
  const different = Object.entries(sinks).filter(([, sink]) => sink.result !== 'equal');
  const each = different.map(([name, sink]) => `  ${name}: ${sink.problem ?? `${sink.differenceCount} differences`}`);
  return [`  ${result} as of ${position ?? 'no position'}`, ...each];
}
