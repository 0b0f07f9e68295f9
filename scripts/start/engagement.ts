/** Engagement as `npm start` shows it. */
import { leaderboardReader } from '../../pipelines/engagement/leaderboard-reader.ts';
import { BOARD_TIMEOUT_MS, clickHouseAddress, type ShownPipeline } from './shown.ts';

export const ENGAGEMENT_SHOWN: ShownPipeline = {
  name: 'engagement',
  unit: 'events',
  entry: 'engagement.enrich',
  traffic: (rate) => ['--rate', String(rate), '--seconds', '0'],
  board: {
    title: 'Most events in the last 10 minutes',
    open: (url) => {
      const reader = leaderboardReader({ url, commandTimeoutMs: BOARD_TIMEOUT_MS });
      return {
        connect: () => reader.connect(),
        close: () => reader.close(),
        async top(count) {
          const { entries, asOf } = await reader.top('10m', 'events', count);
          return {
            entries: entries.map(({ title, contentId, events }) => ({
              key: contentId,
              name: title === '' ? contentId : title,
              score: events,
              text: events.toLocaleString('en-US'),
            })),
            asOfMs: asOf?.streamTime ?? null,
          };
        },
      };
    },
  },
  connections: (env) => {
    const query = `SELECT * FROM ${env.SLUICE_CLICKHOUSE_DATABASE}.device_breakdown LIMIT 5 FORMAT Pretty`;
    const { port } = new URL(env.SLUICE_REDIS_URL ?? '');
    return [
      { name: 'ClickHouse', try: `curl ${clickHouseAddress(env)} -d '${query}'` },
      { name: 'Redis', try: `redis-cli -p ${port} ZREVRANGE lb:{engagement:10m}:events 0 4 WITHSCORES` },
      {
        name: 'Topic',
        try: `kcat -b ${env.SLUICE_KAFKA_BROKERS} -t engagement.events.v1 -C -o -5 -e -f '%k %p %o\\n'`,
      },
    ];
  },
};
