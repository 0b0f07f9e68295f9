/**
 * Runs a stage over one partition of a log in memory while the source goes on, crashing as told. What the worker would do around the
 * task is done here: the table, where the stage has one, follows its topic behind the read barrier, and a reading of the source's clock is handed
 * over after the table and the input's end have been asked.
 */
import { join } from 'node:path';
import { SluiceError } from '../../engine/errors.ts';
import type { LogReader, LogRecord } from '../../engine/log.ts';
import type { ViewStage } from '../../engine/stage.ts';
import { StageTask, type TaskStep } from '../../engine/stage-task.ts';
import { type TableRow, VersionedRows } from '../../engine/versioned-table.ts';
import type { Fault, MemoryLog } from './memory-log.ts';

export interface Crash {
  /** After how many passings of a step, or commits, it strikes. */
  readonly after: number;
  readonly at: TaskStep | Fault;
  /** What is left: the worker with its table, the folder, or the log alone. */
  readonly leaves: 'worker' | 'folder' | 'log';
}

/** What happens outside at one step of the task. */
export interface Tick {
  /** Steps of the source. */
  readonly steps: number;
  /** Records by which the table follows. */
  readonly rows: number;
  /** Whether the clock's newest reading is handed over. */
  readonly clock: boolean;
}

export interface DriveOptions<Step> {
  readonly log: MemoryLog;
  readonly source: {
    apply(step: Step): void;
    /** Its heartbeats, or what a stage before has made of them. */
    readonly beats: readonly { readonly lsn: bigint; readonly timeMs: number }[];
  };
  /** Taken from the front as the source goes on. The last one must be a heartbeat. */
  readonly steps: Step[];
  readonly partition: number;
  readonly dir: string;
  readonly crashes: readonly Crash[];
  readonly ticks: readonly Tick[];
  readonly maxRecords: number;
  /** After each step of the task. */
  readonly probe?: (step: TaskStep) => void;
}

/** The stage and what the worker would give it. */
export interface Driven<V> {
  stage(rows: VersionedRows<V>): ViewStage;
  /** None for a stage that reads its input alone. */
  readonly table?: {
    readonly topic: string;
    decode(record: LogRecord): TableRow<V>;
    same(a: V, b: V): boolean;
  };
  prepare(records: readonly LogRecord[], partition: number): Promise<void>;
  /** Position of the newest heartbeat that the stage says it has passed. */
  passed(): bigint | null;
}

const MAX_PROBES = 20_000;
const FAULTS = ['before-produce', 'after-produce', 'unknown'] as const;

/** Runs until the stage has passed the source's last heartbeat. Returns how often the task was started. */
export async function driveStage<V, Step>(options: DriveOptions<Step>, driven: Driven<V>): Promise<number> {
  return await new Drive(options, driven).run();
}

class Drive<V, Step> {
  readonly #options: DriveOptions<Step>;
  readonly #driven: Driven<V>;
  readonly #crashes: Crash[];
  #rows: VersionedRows<V>;
  #rowsAt = 0;
  #told = 0;
  #tick = 0;
  #probes = 0;
  #folders = 0;
  #task: StageTask | null = null;

  constructor(options: DriveOptions<Step>, driven: Driven<V>) {
    this.#options = options;
    this.#driven = driven;
    this.#crashes = [...options.crashes];
    this.#rows = this.#newRows();
  }

  async run(): Promise<number> {
    this.#options.log.fault = () => FAULTS.find((fault) => this.#strikes(fault)) ?? null;
    this.#follow();
    for (let starts = 1; ; starts++) {
      if (await this.#start()) return starts;
    }
  }

  async #start(): Promise<boolean> {
    const { log, partition, maxRecords, dir } = this.#options;
    const stage = this.#driven.stage(this.#rows);
    this.#task = new StageTask({
      stage,
      partition,
      client: log,
      input: impatient(log.reader()),
      restore: log.reader(),
      dir: join(dir, String(this.#folders)),
      prepare: async (records, at) => {
        this.#follow();
        await this.#driven.prepare(records, at);
      },
      metrics: { records() {}, deadLetters() {}, transaction() {}, aborted() {} },
      maxRecords,
      probe: (step) => this.#probe(step, stage.input),
    });
    try {
      await this.#task.run();
      return true;
    } catch (error) {
      // Stopped while it was opening: the end of the history is there already.
      if (error instanceof SluiceError && error.code === 'STOPPED') return true;
      if (error instanceof SluiceError && ['CRASH', 'INJECTED', 'COMMIT_UNKNOWN'].includes(error.code)) return false;
      throw error;
    }
  }

  #probe(step: TaskStep, input: string): void {
    if (++this.#probes > MAX_PROBES) throw new Error('the task does not come to the end');
    this.#options.probe?.(step);
    if (this.#strikes(step)) throw new SluiceError('crash', { code: 'CRASH', action: 'reconnect' });
    if (step === 'processed') return; // no await here: nothing else can happen
    const { ticks, steps, source } = this.#options;
    const { steps: count, rows, clock } = ticks[this.#tick++ % ticks.length]!;
    const turn = step === 'gathered';
    for (const one of steps.splice(0, turn ? Math.max(1, count) : count)) source.apply(one);
    this.#follow(turn ? Math.max(1, rows) : rows);
    if (clock || (turn && steps.length === 0)) this.#tell(input);
    this.#task!.wake();
    if (steps.length === 0 && this.#driven.passed() === source.beats.at(-1)!.lsn) this.#task!.stop();
  }

  /** The newest reading; after a start the one before it again. */
  #tell(input: string): void {
    const { log, source, partition } = this.#options;
    const { beats } = source;
    if (this.#told >= beats.length) return;
    this.#told = this.#told === 0 ? Math.max(1, beats.length - 1) : beats.length;
    const { lsn, timeMs } = beats[this.#told - 1]!;
    this.#follow();
    this.#task!.clock({ position: lsn, timeMs }, BigInt(log.records(input, partition).length));
  }

  #follow(count = Number.POSITIVE_INFINITY): void {
    if (this.#driven.table === undefined) return;
    const { topic, decode } = this.#driven.table;
    const records = this.#options.log.records(topic, 0);
    for (const record of records.slice(this.#rowsAt, this.#rowsAt + count)) {
      this.#rows.apply(decode(record), record.offset);
      this.#rowsAt++;
    }
  }

  #strikes(what: string): boolean {
    const next = this.#crashes[0];
    if (next === undefined || next.at !== what) return false;
    if (next.after > 0) {
      this.#crashes[0] = { ...next, after: next.after - 1 };
      return false;
    }
    this.#crashes.shift();
    this.#told = 0;
    if (next.leaves === 'log') this.#folders++;
    if (next.leaves !== 'worker') {
      this.#rows = this.#newRows();
      this.#rowsAt = 0;
      this.#follow();
    }
    return true;
  }

  #newRows(): VersionedRows<V> {
    return new VersionedRows<V>((a, b) => this.#driven.table?.same(a, b) ?? false);
  }
}

/** No test waits for the task's idle time: the source never is. */
function impatient(reader: LogReader): LogReader {
  return {
    ...reader,
    open: (topic, partition, from) => {
      const stream = reader.open(topic, partition, from);
      stream.wake();
      return stream;
    },
  };
}
