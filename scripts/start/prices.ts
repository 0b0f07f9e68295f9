/** Prices as `npm start` shows them. */
import { moversReader } from '../../pipelines/prices/movers-reader.ts';
import { BOARD_TIMEOUT_MS, clickHouseAddress, type ShownPipeline } from './shown.ts';

/**
 * Enough that a market can be seen and few enough that the history in front, which movers need (a close before, a mean of 20 days), is through
 * in seconds. Minutes begin a little earlier, so that there are candles at once.
 */
const SAMPLE = { symbols: 1_000, dailyYears: 0.1, minutesBack: 30 } as const;

const percent = (basisPoints: number): string =>
  `+${(basisPoints / 100).toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })} %`;

export const PRICES_SHOWN: ShownPipeline = {
  name: 'prices',
  unit: 'bars',
  entry: 'prices.candles',
  traffic: (rate, nowMs) => [
    ...['--pipeline', 'prices', '--rate', String(rate), '--seconds', '0', '--always-open'],
    ...['--symbols', String(SAMPLE.symbols), '--daily-years', String(SAMPLE.dailyYears)],
    ...['--start', new Date(nowMs - SAMPLE.minutesBack * 60_000).toISOString()],
  ],
  board: {
    title: 'Gainers of the day',
    open: (url) => {
      const reader = moversReader({ url, commandTimeoutMs: BOARD_TIMEOUT_MS });
      return {
        connect: () => reader.connect(),
        close: () => reader.close(),
        async top(count) {
          const { places, asOf } = await reader.top({ period: '1d', universe: 'all', board: 'gainers' }, count);
          return {
            entries: places.map(({ symbol, exchange, close, score }) => ({
              key: symbol,
              name: `${symbol}  ${exchange.padEnd(6)}  ${Number(close).toFixed(2)}`,
              score,
              text: percent(score),
            })),
            asOfMs: asOf?.streamTime ?? null,
          };
        },
      };
    },
  },
  connections: (env, best) => {
    const symbol = best ?? 'SYMBOL';
    const query = `SELECT * FROM ${env.SLUICE_CLICKHOUSE_DATABASE}.prices_bars ORDER BY start DESC LIMIT 5`;
    const { port } = new URL(env.SLUICE_REDIS_URL ?? '');
    return [
      { name: 'ClickHouse', try: `curl ${clickHouseAddress(env)} -d '${query}'` },
      { name: 'Redis', try: `redis-cli -p ${port} HGETALL px:{prices}:latest:${symbol}` },
      { name: 'Topic', try: `kcat -b ${env.SLUICE_KAFKA_BROKERS} -t prices.candles.v1 -C -o -5 -e -f '%k %p %o\\n'` },
      { name: 'Feed', try: `npm run gateway -- watch ${symbol}` },
    ];
  },
};
