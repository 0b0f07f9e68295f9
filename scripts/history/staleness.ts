/** Reads from ClickHouse how old the prices of each stock are, and says so. */
import { type ClickHouseConfig, clickHouseClient, selectRows } from '../../connectors/clickhouse/client.ts';
import { clickHouseError } from '../../connectors/clickhouse/errors.ts';
import { byExchange, type Listed, stalenessOf } from '../../pipelines/prices/history/staleness.ts';

/** Of what readers see, so from ClickHouse: a bar that is not shown is no news. */
const NEWEST = `SELECT s.symbol AS symbol, s.exchange AS exchange,
    if(b.stock_id = 0, NULL, toString(toUnixTimestamp64Milli(b.newest))) AS newest_ms
  FROM prices_stocks AS s
  LEFT JOIN (SELECT stock_id, max(start) AS newest FROM prices_bars GROUP BY stock_id) AS b ON b.stock_id = s.stock_id
  WHERE s.active ORDER BY symbol`;

/** Active stocks with their newest bars. Throws as `clickHouseError`. */
export async function readListed(config: ClickHouseConfig): Promise<readonly Listed[]> {
  const client = clickHouseClient(config);
  try {
    const rows = await selectRows<{ symbol: string; exchange: string; newest_ms: string | null }>(client, NEWEST);
    return rows.map(({ symbol, exchange, newest_ms: newest }) => ({
      ...{ symbol, exchange },
      newestMs: newest === null ? null : Number(newest),
    }));
  } catch (error) {
    throw clickHouseError(error, 'ask for the newest bars');
  } finally {
    await client.close();
  }
}

export function stalenessReport(listed: readonly Listed[], nowMs: number, limit: number) {
  const stocks = stalenessOf(listed, nowMs);
  const exchanges = byExchange(stocks, nowMs);
  const age = ({ sessionsBehind }: (typeof stocks)[number]) => sessionsBehind ?? Number.POSITIVE_INFINITY;
  const oldest = stocks
    .filter(({ sessionsBehind }) => sessionsBehind !== 0)
    .sort((a, b) => age(b) - age(a) || (a.symbol < b.symbol ? -1 : 1))
    .slice(0, limit);
  const shown = (ms: number | null) => (ms === null ? 'no bar' : `newest bar ${new Date(ms).toISOString()}`);
  return {
    lines: [
      ...exchanges.map(
        ({ exchange, expected, symbols, current, stale, never }) =>
          `${exchange}: session of ${expected} expected; of ${symbols} stocks ${current} have it, ${stale} are behind, ${never} have no bar`,
      ),
      ...oldest.map(
        ({ symbol, exchange, newestMs, sessionsBehind }) =>
          `${symbol} (${exchange}): ${shown(newestMs)}${sessionsBehind === null ? '' : `, ${sessionsBehind} sessions behind`}`,
      ),
    ],
    report: { exchanges, oldest },
  };
}
