/**
 * Runs engagement.enrich over one partition of a log in memory while the source goes on, crashing as told. What the
 * worker would do around the task is done here: the content table follows its topic, behind the read barrier, and a
 * reading of the source's clock is handed over after the table and the input's end have been asked.
 */
import { join } from 'node:path';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogReader } from '../../../engine/log.ts';
import type { ClockReading } from '../../../engine/source-clock.ts';
import { StageTask, type TaskStep } from '../../../engine/stage-task.ts';
import { VersionedRows } from '../../../engine/versioned-table.ts';
import { contentChangeDecoder, engagementChangeDecoder } from '../../../pipelines/engagement/codec/cdc.ts';
import { changeDecoder } from '../../../pipelines/engagement/codec/change.ts';
import { eventBodyDecoder, eventDecoder } from '../../../pipelines/engagement/codec/event.ts';
import { keyDecoder } from '../../../pipelines/engagement/codec/key.ts';
import type { ContentVersion } from '../../../pipelines/engagement/content-path.ts';
import { contentVersion, enrichStage } from '../../../pipelines/engagement/enrich.ts';
import { CDC_CONTENT, CDC_EVENTS, CHANGES, EVENTS_V1 } from '../../../pipelines/engagement/topics.ts';
import { OperatorGuard } from '../../../pipelines/operations/operator-guard.ts';
import { type Change, changeSchema } from '../../../schemas/engagement/change.ts';
import { type EngagementEvent, eventSchema } from '../../../schemas/engagement/event.ts';
import { eventKeySchema } from '../../../schemas/engagement/event-key.ts';
import { changeV1, eventV1 } from '../../support/event-v1.ts';
import type { Fault, MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';
import { CAPTURE_SCHEMAS } from './capture.ts';
import { keyOf, type Policy } from './model.ts';
import type { Step } from './rows.ts';
import type { Source } from './source.ts';

export const IDS = { key: 1, event: 2, change: 3, eventV1: 4, changeV1: 5 };
const registry = schemasById({
  [IDS.key]: eventKeySchema,
  [IDS.event]: eventSchema,
  [IDS.change]: changeSchema,
  [IDS.eventV1]: eventV1,
  [IDS.changeV1]: changeV1,
  ...CAPTURE_SCHEMAS,
});

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
  /** Records by which the content table follows. */
  readonly rows: number;
  /** Whether the clock's newest reading is handed over. */
  readonly clock: boolean;
}

export interface DriveOptions {
  readonly log: MemoryLog;
  readonly source: Source;
  /** Taken from the front as the source goes on. The last one must be a heartbeat. */
  readonly steps: Step[];
  readonly partition: number;
  readonly policy: Policy;
  readonly dir: string;
  readonly crashes: readonly Crash[];
  readonly ticks: readonly Tick[];
  readonly maxRecords: number;
  readonly walkRows?: number;
  /** After each step of the task. */
  readonly probe?: (step: TaskStep) => void;
}

const MAX_PROBES = 20_000;
const FAULTS = ['before-produce', 'after-produce', 'unknown'] as const;

/** Runs until the mark of the source's last heartbeat is out. Returns how often the task was started. */
export async function drive(options: DriveOptions): Promise<number> {
  const drive = new Drive(options);
  return await drive.run();
}

class Drive {
  readonly #options: DriveOptions;
  readonly #crashes: Crash[];
  readonly #decoder = engagementChangeDecoder(registry);
  readonly #bodies = eventBodyDecoder(registry);
  readonly #contents = contentChangeDecoder(registry);
  readonly #changes = changeDecoder(registry);
  readonly #operators: OperatorGuard;
  #table = newTable();
  #tableAt = 0;
  #told = 0;
  #tick = 0;
  #probes = 0;
  #folders = 0;
  #task: StageTask | null = null;

  constructor(options: DriveOptions) {
    this.#options = options;
    this.#crashes = [...options.crashes];
    const { log } = options;
    this.#operators = new OperatorGuard({ client: log, reader: log.reader(), topic: CDC_EVENTS });
  }

  async run(): Promise<number> {
    const { log } = this.#options;
    await this.#contents.load(Object.keys(CAPTURE_SCHEMAS).map(Number));
    await this.#changes.load([IDS.change, IDS.changeV1]);
    await this.#bodies.load([IDS.event, IDS.eventV1]);
    log.fault = () => FAULTS.find((fault) => this.#strikes(fault)) ?? null;
    this.#follow();
    for (let starts = 1; ; starts++) {
      if (await this.#start()) return starts;
    }
  }

  async #start(): Promise<boolean> {
    const { log, partition, policy, maxRecords, walkRows, dir } = this.#options;
    const parts = { contents: this.#table, decoder: this.#decoder, bodies: this.#bodies, operators: this.#operators };
    const stage = enrichStage({ ...parts, ids: IDS, policy, walkRows });
    this.#task = new StageTask({
      stage,
      partition,
      client: log,
      input: impatient(log.reader()),
      restore: log.reader(),
      dir: join(dir, String(this.#folders)),
      prepare: async (records, at) => {
        this.#follow();
        await this.#operators.prepare(records, at);
        await this.#decoder.prepare(records.map(({ value }) => value));
      },
      metrics: { records() {}, deadLetters() {}, transaction() {}, aborted() {} },
      maxRecords,
      probe: (step) => this.#probe(step),
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

  #probe(step: TaskStep): void {
    if (++this.#probes > MAX_PROBES) throw new Error('the task does not come to the end');
    this.#options.probe?.(step);
    if (this.#strikes(step)) throw new SluiceError('crash', { code: 'CRASH', action: 'reconnect' });
    if (step === 'processed') return; // no await here: nothing else can happen
    const { ticks, steps } = this.#options;
    const { steps: count, rows, clock } = ticks[this.#tick++ % ticks.length]!;
    const turn = step === 'gathered';
    for (const one of steps.splice(0, turn ? Math.max(1, count) : count)) this.#options.source.apply(one);
    this.#follow(turn ? Math.max(1, rows) : rows);
    if (clock || (turn && steps.length === 0)) this.#tell();
    this.#task!.wake();
    if (this.#finished()) this.#task!.stop();
  }

  #finished(): boolean {
    const { log, source, steps, partition } = this.#options;
    if (steps.length > 0) return false;
    const last = log.records(CHANGES, partition).at(-1);
    if (last === undefined) return false;
    const { kind, lsn } = this.#changes.decode(last.value!);
    return kind === 'mark' && lsn === source.beats.at(-1)!.lsn;
  }

  /** The newest reading; after a start the one before it again. */
  #tell(): void {
    const { log, source, partition } = this.#options;
    const { beats } = source;
    if (this.#told >= beats.length) return;
    this.#told = this.#told === 0 ? Math.max(1, beats.length - 1) : beats.length;
    const { lsn, timeMs } = beats[this.#told - 1]!;
    const reading: ClockReading = { position: lsn, timeMs };
    this.#follow();
    this.#task!.clock(reading, BigInt(log.records(CDC_EVENTS, partition).length));
  }

  #follow(count = Number.POSITIVE_INFINITY): void {
    const records = this.#options.log.records(CDC_CONTENT, 0);
    for (const record of records.slice(this.#tableAt, this.#tableAt + count)) {
      const { after, lsn, xid, commitTsMs } = this.#contents.decode(record.value!);
      const value = contentVersion(after!, { xid, commitTsMs });
      this.#table.apply({ key: after!.id, lsn: lsn!, value }, record.offset);
      this.#tableAt++;
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
      this.#table = newTable();
      this.#tableAt = 0;
      this.#follow();
    }
    return true;
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

function newTable(): VersionedRows<ContentVersion> {
  return new VersionedRows<ContentVersion>((a, b) => a.part.equals(b.part));
}

/** All changes of a partition, in order, each with the key of its record. */
export async function changesOf(log: MemoryLog, partition: number): Promise<{ key: string | null; change: Change }[]> {
  const decoder = changeDecoder(registry);
  const keys = keyDecoder(registry);
  const records = log.records(CHANGES, partition);
  await decoder.prepare(records.map(({ value }) => value));
  await keys.prepare(records.map(({ key }) => key));
  return records.map(({ key, value }) => {
    return { key: key === null ? null : keyOf(keys.decode(key)), change: decoder.decode(value!) };
  });
}

/** What compaction leaves of the public topic. */
export async function presentOf(log: MemoryLog, partition: number): Promise<Map<string, EngagementEvent>> {
  const decoder = eventDecoder(registry);
  const keys = keyDecoder(registry);
  const present = new Map<string, EngagementEvent>();
  for (const [key, value] of log.compacted(EVENTS_V1, partition)) {
    const bytes = Buffer.from(key, 'latin1');
    await decoder.prepare([value]);
    await keys.prepare([bytes]);
    present.set(keyOf(keys.decode(bytes)), decoder.decode(value));
  }
  return present;
}
