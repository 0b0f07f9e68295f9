/** Puts a sink on a log: one task per assigned partition. */
import type { Logger } from 'pino';
import type { LogClient } from './log.ts';
import { type SinkDefinition, SinkTask } from './sink-task.ts';
import type { RunnableWorker } from './stage-worker.ts';
import { Worker } from './worker.ts';

export interface SinkWorkerOptions<T> {
  readonly definition: SinkDefinition<T>;
  readonly client: LogClient;
  readonly logger: Logger;
  readonly gatherMs: number;
  readonly gatherBytes: number;
}

/** Compressed bytes read ahead for each partition: decoded they are ten times as much. */
const BUFFER_BYTES = 1 << 20;

export function sinkWorker<T>(options: SinkWorkerOptions<T>): RunnableWorker {
  const { definition, client, logger } = options;
  const input = client.reader({
    minBytes: options.gatherBytes,
    maxWaitMs: options.gatherMs,
    maxBufferedBytes: BUFFER_BYTES,
  });
  const restore = client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 4 * BUFFER_BYTES });
  const worker: Worker<SinkTask<T>> = new Worker<SinkTask<T>>({
    name: definition.name,
    input: definition.input,
    client,
    logger,
    createTask: (partition, assignment, { membership, metrics }) =>
      new SinkTask({ definition, assignment, partition, client, membership, input, restore, metrics }),
  });
  return {
    worker,
    run: async () => {
      await definition.sink.connect();
      await worker.run();
    },
    fail: (error) => worker.fail(error),
    stop: async () => {
      await worker.stop();
      await definition.sink.close();
      await input.close();
      await restore.close();
      await client.close();
    },
  };
}
