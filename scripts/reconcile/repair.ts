/** `npm run reconcile -- --repair` on the frame of operator commands. */
import type { KafkaOptions } from '../../connectors/kafka/cluster.ts';
import { SluiceError } from '../../engine/errors.ts';
import type { Config } from '../../pipelines/config.ts';
import { reconcile } from '../../pipelines/engagement/reconcile/reconcile.ts';
import { describeRepair, type RepairOptions, repair } from '../../pipelines/engagement/repair/repair.ts';
import { exclusively } from '../../pipelines/operations/exclusive.ts';
import { reportLines } from '../../pipelines/operations/reconcile/print.ts';
import type { ReconcileReport } from '../../pipelines/operations/reconcile/report.ts';
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

type Asked = Omit<RepairOptions, 'kafka' | 'connect' | 'generation' | 'runId' | 'max' | 'rate' | 'signal' | 'progress'>;

interface Comparing {
  readonly asked: Asked;
  readonly kafka: KafkaOptions;
  readonly connect: RepairOptions['connect'];
  close(): Promise<void>;
}

export async function runRepair(flags: RepairFlags, comparing: (config: Config) => Comparing): Promise<void> {
  for (const name of ['max', 'rate'] as const) if (flags[name] === 0) throw badArgument(`--${name} must be at least 1`);
  await runOperation<null>({
    command: 'reconcile --repair',
    arguments: { ...flags },
    flags,
    unit: 'rows',
    plan: async ({ config }) => await closing(comparing(config), async ({ asked }) => await planned(asked, flags.max)),
    execute: async (_, context) =>
      await closing(comparing(context.config), async ({ asked, kafka, connect }) => {
        const options = { ...asked, kafka, connect, max: flags.max, rate: flags.rate, ...running(context) };
        const lock = { url: asked.postgresUrl, name: 'repair' };
        return reported(await exclusively(lock, async () => await repair(options)));
      }),
  });
}

async function closing<T>(comparing: Comparing, work: (comparing: Comparing) => Promise<T>): Promise<T> {
  try {
    return await work(comparing);
  } finally {
    await comparing.close();
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

async function planned(asked: Asked, max: number): Promise<Plan<null>> {
  let described: ReturnType<typeof describeRepair> = { lines: [], plan: null };
  const before = await reconcile({
    ...asked,
    limit: max,
    different: async ({ report, subjects }) => {
      described = describeRepair(report, subjects, max);
    },
  });
  if (before.result === 'unknown') {
    throw new SluiceError(`Nothing differs as far as could be seen, but not all could be: ${problemsOf(before)}`, {
      code: 'REPAIR_UNKNOWN',
      action: 'retry',
    });
  }
  const shown = shortened(before);
  const lines = [...reportLines(shown), ...described.lines.map((line) => `would ${line}`)];
  return { data: null, lines, report: { before: shown, plan: described.plan }, nothing: before.result === 'equal' };
}

function problemsOf({ sinks }: ReconcileReport): string {
  return Object.entries(sinks)
    .flatMap(([name, { problem }]) => (problem === null ? [] : [`${name}: ${problem}`]))
    .join('; ');
}

function reported({ before, after, done }: Awaited<ReturnType<typeof repair>>): Report {
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
