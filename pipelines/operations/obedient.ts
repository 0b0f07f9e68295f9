/** A worker that goes by a fact in `sluice.deployments` ends in good order when the fact is another one: it is started again on that. */
import type { Logger } from 'pino';
import type { Follower } from '../../engine/follower.ts';
import type { LogClient } from '../../engine/log.ts';
import type { RunnableWorker } from '../../engine/stage-worker.ts';
import { type Deployed, followDeployment } from './deployments.ts';

export function obedient(
  worker: RunnableWorker,
  options: {
    readonly client: LogClient;
    readonly logger: Logger;
    readonly part: string;
    /** What the worker was built on. */
    readonly deployed: Deployed;
    /** What of the record the worker goes by, as plain data. */
    readonly mine: (deployed: Pick<Deployed, 'text'>) => unknown;
  },
): RunnableWorker {
  const { client, logger, part, deployed, mine } = options;
  const present = JSON.stringify(mine(deployed));
  let follower: Follower | null = null;
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    stopping ??= (async () => {
      await follower?.close();
      await worker.stop();
    })();
    await stopping;
  };
  const changed = (text: string) => {
    if (JSON.stringify(mine({ text })) === present) return;
    logger.info({ deployment: text }, 'another deployment: ending, to be started again');
    // Not awaited: the follower that calls this is what is closed first.
    void stop().catch((error: unknown) => worker.fail(error));
  };
  return {
    ...worker,
    stop,
    run: async () => {
      const failed = (error: unknown) => worker.fail(error);
      follower = followDeployment(client, part, { from: deployed.next, changed, failed });
      await worker.run();
      await stopping;
    },
  };
}
