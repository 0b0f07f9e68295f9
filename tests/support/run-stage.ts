/** Runs a stage that has no tables over one partition of a log in memory, crashing as told, until its outputs say that it is done. */
import { join } from 'node:path';
import { SluiceError } from '../../engine/errors.ts';
import type { LogRecord } from '../../engine/log.ts';
import type { ViewStage } from '../../engine/stage.ts';
import { StageTask, type TaskStep } from '../../engine/stage-task.ts';
import type { Fault, MemoryLog } from './memory-log.ts';

export interface StageCrash {
  /** After how many passings of a step, or commits, it strikes. */
  readonly after: number;
  readonly at: TaskStep | Fault;
  /** What is left: the folder, or the log alone. */
  readonly leaves: 'folder' | 'log';
}

export interface RunStageOptions {
  readonly log: MemoryLog;
  readonly stage: ViewStage;
  readonly dir: string;
  readonly crashes: readonly StageCrash[];
  readonly maxRecords: number;
  readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  /** Asked after each transaction. */
  readonly finished: () => boolean;
  /** Called after each transaction: what happens outside meanwhile. */
  readonly meanwhile?: () => void;
}

const FAULTS = ['before-produce', 'after-produce', 'unknown'] as const;
const MAX_STEPS = 50_000;

/** Returns how many transactions were made. */
export async function runStage(options: RunStageOptions): Promise<number> {
  const { log, stage, maxRecords } = options;
  const crashes = [...options.crashes];
  let folders = 0;
  let steps = 0;
  let transactions = 0;
  const strikes = (what: string): boolean => {
    const next = crashes[0];
    if (next === undefined || next.at !== what) return false;
    if (next.after > 0) {
      crashes[0] = { ...next, after: next.after - 1 };
      return false;
    }
    crashes.shift();
    if (next.leaves === 'log') folders++;
    return true;
  };
  log.fault = () => FAULTS.find(strikes) ?? null;
  for (;;) {
    const task: StageTask = new StageTask({
      stage,
      partition: 0,
      client: log,
      input: log.reader(),
      restore: log.reader(),
      dir: join(options.dir, String(folders)),
      prepare: async (records) => await options.prepare(records),
      metrics: {
        records() {},
        deadLetters: (reason) => {
          throw new Error(`a letter: ${reason}`);
        },
        transaction: () => void transactions++,
        aborted() {},
      },
      maxRecords,
      probe: (step) => {
        if (++steps > MAX_STEPS) throw new Error('the task does not come to the end');
        if (strikes(step)) throw new SluiceError('crash', { code: 'CRASH', action: 'reconnect' });
        if (step !== 'applied') return;
        options.meanwhile?.();
        if (options.finished()) task.stop();
      },
    });
    try {
      if (options.finished()) return transactions;
      await task.run();
      return transactions;
    } catch (error) {
      const known = error instanceof SluiceError && ['CRASH', 'INJECTED', 'COMMIT_UNKNOWN'].includes(error.code);
      if (!known) throw error;
    }
  }
}
