/** Puts a stage on a log: its tables, its clock, one task per assigned partition. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { LogClient, LogRecord } from './log.ts';
import { type ClockReading, SourceClock } from './source-clock.ts';
import type { CheckpointedStage, ViewStage } from './stage.ts';
import { StageTask } from './stage-task.ts';
import { type Gathering, taskReaders } from './task-readers.ts';
import type { VersionedTable } from './versioned-table.ts';
import { Worker } from './worker.ts';

export interface StageWorkerOptions extends Gathering {
  // biome-ignore lint/suspicious/noExplicitAny: the value type of the store is the stage's own business
  readonly stage: ViewStage | CheckpointedStage<any>;
  readonly client: LogClient;
  readonly logger: Logger;
  readonly stateDir: string;
  /** Before records of a partition are processed: loads what processing them looks up. */
  readonly prepare: (records: readonly LogRecord[], partition: number) => Promise<void>;
  // biome-ignore lint/suspicious/noExplicitAny: tables of any value
  readonly tables: readonly VersionedTable<any>[];
  readonly clock?: {
    readonly topic: string;
    readonly decode: (record: LogRecord) => ClockReading | null;
    readonly prepare: (records: readonly LogRecord[]) => Promise<void>;
  };
}

/** What the process around a worker shows of it. */
export type WorkerView = Pick<Worker<StageTask>, 'metrics' | 'readiness'>;

/** A process's worker of either kind. */
export interface RunnableWorker {
  readonly worker: WorkerView;
  /** Runs until `stop`; rejects with what ended it. */
  run(): Promise<void>;
  stop(): Promise<void>;
  /** Ends `run` with this error. */
  fail(error: unknown): void;
}

export function stageWorker(options: StageWorkerOptions): RunnableWorker {
  const { stage, client, logger } = options;
  const readers = taskReaders(client, options);
  const { tables } = options;
  const barrier = async () => {
    await Promise.all(tables.map((table) => table.barrier()));
  };
  const worker: Worker<StageTask> = new Worker<StageTask>({
    name: stage.name,
    input: stage.input,
    client,
    logger,
    createTask: (partition) =>
      new StageTask({
        stage,
        partition,
        client,
        input: readers.input,
        restore: readers.restore,
        dir: join(options.stateDir, stage.name, String(partition)),
        prepare: async (records) => {
          await Promise.all([barrier(), options.prepare(records, partition)]);
        },
        metrics: worker.metrics,
        succeeded: () => worker.succeeded(),
      }),
  });
  for (const table of tables) {
    table.onChange(() => {
      for (const task of worker.tasks.values()) task.wake();
    });
  }
  const clock =
    options.clock === undefined
      ? null
      : new SourceClock(client, {
          ...options.clock,
          listener: async (reading) => await tell(reading),
          failed: (error) => worker.fail(error),
        });

  /** The order matters: tables and inputs are asked after the reading was seen, so they hold all that is in front of it. */
  async function tell(reading: ClockReading): Promise<void> {
    await barrier();
    const { tasks } = worker;
    const ends = await client.offsets(stage.input, [...tasks.keys()], 'highWatermark');
    for (const [partition, task] of tasks) {
      const end = ends.get(partition);
      if (end !== undefined) task.clock(reading, end);
    }
  }

  return {
    worker,
    run: async () => {
      // A worker may be started before its tables are there: it waits for them.
      for (const table of tables) {
        if (!(await worker.prepare(`table ${table.topic}`, () => table.start()))) return;
        logger.info({ table: table.topic, rows: table.rows.size }, 'table loaded');
      }
      if (clock !== null && !(await worker.prepare('source clock', () => clock.start()))) return;
      await worker.run();
    },
    fail: (error) => worker.fail(error),
    stop: async () => {
      await worker.stop();
      await clock?.close();
      for (const table of tables) await table.close();
      await readers.close();
      await client.close();
    },
  };
}
