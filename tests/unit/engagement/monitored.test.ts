import { expect, it } from 'vitest';
import {
  FIRST_LEADERBOARDS,
  LEADERBOARD,
  prepared,
  shownAnew,
} from '../../../pipelines/engagement/leaderboard-deployment.ts';
import { engagementMonitored } from '../../../pipelines/engagement/monitored.ts';
import { DEPLOYMENTS_TOPIC } from '../../../pipelines/operations/topics.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const deploy = (log: MemoryLog, text: string) =>
  log.append(DEPLOYMENTS_TOPIC, 0, { key: Buffer.from(LEADERBOARD), value: Buffer.from(text) });

it('follows the variant of the leaderboards that is live, with its windows', async () => {
  const log = new MemoryLog();
  const source = engagementMonitored({ mirrored: false });
  await source.refresh(log);
  const seen = () => {
    const { workers, transactional, redisSinks } = source.pipeline;
    return { inputs: workers.map(({ name, input }) => `${name} < ${input}`), transactional, redisSinks };
  };
  expect(seen().inputs).toContain('engagement.leaderboard < engagement.changes');
  expect(seen().redisSinks[0]!.stamps).toHaveLength(4);

  const windows = [{ name: '6h', sizeMs: 21_600_000, paneMs: 300_000 }];
  const two = prepared(FIRST_LEADERBOARDS, 'b', { limit: 10, minSamples: 1, windows });
  deploy(log, JSON.stringify(two));
  await source.refresh(log);
  expect(seen().inputs).toContain('engagement.sink.redis < engagement.leaderboards');

  deploy(log, JSON.stringify(shownAnew(two, 'b')));
  await source.refresh(log);
  expect(seen().inputs).toContain('engagement.leaderboard.b < engagement.changes');
  expect(seen().inputs).toContain('engagement.sink.redis < engagement.leaderboards.b');
  expect(seen().inputs).not.toContain('engagement.leaderboard < engagement.changes');
  expect(seen().transactional).toContain('engagement.leaderboard-store-changelog.b');
  expect(seen().redisSinks[0]!.stamps).toEqual(['lb:{engagement:6h}:asof']);

  // A record that nobody understands changes nothing here.
  deploy(log, '{}');
  await source.refresh(log);
  expect(seen().inputs).toContain('engagement.leaderboard.b < engagement.changes');
});
