/** Boards that differ from their topic: their sink writes them anew from it, out of sight and under its own fence. */
import { type Forgotten, rebuilds } from '../../connectors/redis/forget.ts';
import { SluiceError } from '../../engine/errors.ts';
import { Deadline, until } from './reconcile/deadline.ts';

/** Returns the leaderboards that were not put into place in time: is the sink running? */
export async function rebuildBoards(
  { redisUrl, deadlineSeconds }: { readonly redisUrl: string; readonly deadlineSeconds: number },
  asked: readonly Forgotten[],
): Promise<readonly string[]> {
  const redis = rebuilds({ url: redisUrl });
  try {
    await redis.connect();
    for (const forgotten of asked) await redis.request(forgotten);
    const waiting = async () => {
      const done = await Promise.all(asked.map((forgotten) => redis.done(forgotten)));
      return asked.flatMap(({ leaderboard }, index) => (done[index] === true ? [] : [leaderboard]));
    };
    try {
      await until(new Deadline(deadlineSeconds), {
        ask: waiting,
        done: (left) => (left.length === 0 ? true : null),
        missing: (left) => left.join(', '),
      });
      return [];
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'RECONCILE_DEADLINE') return await waiting();
      throw error;
    }
  } finally {
    await redis.close();
  }
}
