/** Puts a sink on a log: one task per assigned partition. */
import type { Logger } from 'pino';
import type { LogClient } from './log.ts';
import { type SinkDefinition, SinkTask } from './sink-task.ts';
import type { RunnableWorker } from './stage-worker.ts';
import { type Gathering, taskReaders } from './task-readers.ts';
import { Worker } from './worker.ts';

export interface SinkWorkerOptions<T> extends Gathering {
  readonly definition: SinkDefinition<T>;
  readonly client: LogClient;
  readonly logger: Logger;
}

export function sinkWorker<T>(options: SinkWorkerOptions<T>): RunnableWorker {
  const { definition, client, logger } = options;
  const readers = taskReaders(client, options);
  const worker: Worker<SinkTask<T>> = new Worker<SinkTask<T>>({
    name: definition.name,
    input: definition.input,
    client,
    logger,
    createTask: (partition, assignment, { membership, metrics }) =>
      new SinkTask({
        ...{ definition, assignment, partition, client, membership, metrics },
        ...{ input: readers.input, restore: readers.restore },
        succeeded: () => worker.succeeded(),
      }),
  });
  return {
    worker,
    run: async () => {
      if (await worker.prepare('connect', () => definition.sink.connect())) await worker.run();
    },
    fail: (error) => worker.fail(error),
    stop: async () => {
      await worker.stop();
      await definition.sink.close();
      await readers.close();
      await client.close();
    },
  };
}
