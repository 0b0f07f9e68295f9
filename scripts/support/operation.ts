/**
 * The frame of every operator command: plan, show, confirm, do, report, and leave an audit record.
 *
 *   const program = operatorProgram('backfill', 'Reads rows of Postgres again.');
 *   operationFlags(program, { changes: true }).option(…).action(async (options) => {
 *     await runOperation({
 *       command: 'backfill', arguments: options, flags: options, unit: 'rows',
 *       plan: async (context) => ({ data, lines: ['1,000 rows in 4 chunks'], report: { rows: 1_000 } }),
 *       execute: async (data, context) => ({ lines: ['1,000 rows read'], report: { rows: 1_000 }, complete: true }),
 *     });
 *   });
 *   await runScript(program);
 *
 * `plan` only reads. `--dry-run` ends after it. Without a terminal a change asks for `--yes`. Ctrl-C and SIGTERM abort `context.signal`:
 * `execute` stops at a place from which it can go on, and throws or returns; a second one ends the process.
 *
 * Exit codes: 0 done (or nothing to do); 1 done, with something left to look at; 2 could not, or a bad argument; 130 interrupted: the
 * same command goes on from there.
 */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { SluiceError } from '../../engine/errors.ts';
import { type Config, clickHouseConfig, kafkaOptions, loadConfig } from '../../pipelines/config.ts';
import {
  Audit,
  type AuditEnd,
  type AuditRun,
  jsonText,
  type OperationOutcome,
} from '../../pipelines/operations/audit.ts';
import { type Progress, progressOf } from './progress.ts';

export interface OperationFlags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly yes?: boolean;
}

export interface OperationContext {
  readonly config: Config;
  /** Names this run in the audit, in logs and in what it writes. */
  readonly runId: string;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** A line for the person who watches; standard error, so that `--json` stays clean. */
  readonly say: (line: string) => void;
}

export interface Plan<D> {
  readonly data: D;
  /** What would happen, exactly, for a person. */
  readonly lines: readonly string[];
  /** The same for a program. */
  readonly report: unknown;
  /** There is nothing to do: not an error. */
  readonly nothing?: boolean;
}

export interface Report {
  readonly lines: readonly string[];
  readonly report: unknown;
  /** false: ended, with something left to look at (exit 1). */
  readonly complete: boolean;
}

export interface Operation<D> {
  readonly command: string;
  /** For the audit record: no secrets among them. */
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly flags: OperationFlags;
  /** What progress counts. */
  readonly unit: string;
  plan(context: OperationContext): Promise<Plan<D>>;
  execute(data: D, context: OperationContext): Promise<Report>;
}

/** A command whose faults in arguments are one line and exit code 2. */
export function operatorProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .configureHelp({ sortSubcommands: false });
}

/** Adds the flags that all share; `changes`: it changes something, so it can be tried and must be confirmed. */
export function operationFlags(command: Command, { changes }: { readonly changes: boolean }): Command {
  if (changes) {
    command.option('--dry-run', 'say exactly what would happen, and change nothing');
    command.option('--yes', 'do not ask');
  }
  return command.option('--json', 'the last line is one JSON object');
}

/** Runs a command that changes something. Sets the exit code; throws only what is no SluiceError and no interruption. */
export async function runOperation<D>(operation: Operation<D>): Promise<void> {
  const { flags } = operation;
  await audited(operation, async (context) => {
    const plan = await operation.plan(context);
    const shown = { plan: plan.report };
    if (flags.json !== true || flags.yes !== true) for (const line of plan.lines) context.say(line);
    if (flags.dryRun === true)
      return { outcome: 'dry-run', lines: ['Nothing was changed (--dry-run).'], result: shown };
    if (plan.nothing === true) return { outcome: 'done', lines: ['Nothing to do.'], result: shown };
    if (!(await confirmed(flags, context.signal)))
      return { outcome: 'declined', lines: ['Nothing was changed.'], result: shown };
    const { lines, report, complete } = await operation.execute(plan.data, context);
    return { outcome: complete ? 'done' : 'incomplete', lines, result: { ...shown, result: report } };
  });
}

/** Runs a command that only reads. */
export async function runReport(
  operation: Omit<Operation<never>, 'plan' | 'execute'> & {
    read(context: OperationContext): Promise<Report>;
  },
): Promise<void> {
  await audited(operation, async (context) => {
    const { lines, report, complete } = await operation.read(context);
    return { outcome: complete ? 'done' : 'incomplete', lines, result: { result: report } };
  });
}

interface End {
  readonly outcome: OperationOutcome;
  readonly lines: readonly string[];
  readonly result: Readonly<Record<string, unknown>>;
}

const EXIT: Readonly<Record<OperationOutcome, number>> = {
  done: 0,
  'dry-run': 0,
  declined: 2,
  incomplete: 1,
  interrupted: 130,
  failed: 2,
};

type Framed = Omit<Operation<never>, 'plan' | 'execute'>;

async function audited(
  { command, arguments: given, flags, unit }: Framed,
  body: (context: OperationContext) => Promise<End>,
) {
  const config = loadConfig(process.env);
  const run: AuditRun = { runId: randomUUID(), command, arguments: given };
  const audit = new Audit({
    kafka: kafkaOptions(config, 'sluice-audit'),
    clickHouse: clickHouseConfig(config),
    env: process.env,
  });
  const say = (line: string) => console.error(line);
  const progress = progressOf({ unit, terminal: process.stderr.isTTY === true && flags.json !== true, write: say });
  const interrupted = interruptions();
  try {
    await audit.started(run);
    const end = await ended(
      async () => await body({ config, runId: run.runId, signal: interrupted.signal, progress, say }),
      interrupted.signal,
    );
    progress.end();
    await recorded(audit, run, end, say);
    if (flags.json === true)
      console.log(jsonText({ runId: run.runId, command, outcome: end.outcome, message: end.message, ...end.shown }));
    else for (const line of end.lines) console.log(line);
    if (end.outcome === 'failed' || end.outcome === 'interrupted') console.error(end.message);
    process.exitCode = EXIT[end.outcome];
  } finally {
    progress.end();
    interrupted.close();
  }
}

type Ended = AuditEnd & { readonly lines: readonly string[]; readonly shown: Readonly<Record<string, unknown>> };

async function ended(body: () => Promise<End>, signal: AbortSignal): Promise<Ended> {
  try {
    const { outcome, lines, result } = await body();
    // What ended by itself although asked to stop did all its work.
    return { outcome, lines, message: '', result, shown: result };
  } catch (error) {
    if (signal.aborted) {
      const message = 'Interrupted. What was done stays done; the same command goes on from there.';
      return { outcome: 'interrupted', lines: [], message, result: null, shown: {} };
    }
    if (!(error instanceof SluiceError)) console.error(error);
    const message = error instanceof SluiceError ? `${error.code}: ${error.message}` : String(error);
    return { outcome: 'failed', lines: [], message, result: null, shown: {} };
  }
}

/** The work is done by now: a record that cannot be written is told, not made an error of the work. */
async function recorded(audit: Audit, run: AuditRun, end: AuditEnd, say: (line: string) => void): Promise<void> {
  try {
    await audit.ended(run, end);
  } catch (error) {
    say(
      `The end of this run could not be recorded in the audit topic: ${error instanceof Error ? error.message : error}`,
    );
    return;
  }
  try {
    await audit.copyToClickHouse();
  } catch (error) {
    say(`Audit records will reach ClickHouse with a later command: ${error instanceof Error ? error.message : error}`);
  }
}

async function confirmed(flags: OperationFlags, signal: AbortSignal): Promise<boolean> {
  if (flags.yes === true) return true;
  if (process.stdin.isTTY !== true) {
    throw new SluiceError('This changes things and nobody can be asked: add --yes, or look first with --dry-run', {
      code: 'CONFIRMATION_NEEDED',
      action: 'fatal',
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question('Go on? [y/N] ', { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}

function interruptions(): { readonly signal: AbortSignal; close(): void } {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    console.error('Stopping at the next safe place; press again to end at once.');
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return {
    signal: controller.signal,
    close: () => {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
    },
  };
}
