/** A load of history in a process of its own, which kills itself (-9) after so many chunks. Arguments: the JSON of `ChildArguments`. */
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { loadHistory } from '../../../pipelines/prices/history/load.ts';
import { type MadeHistory, madeSource, trafficOf } from '../../../pipelines/prices/history/source.ts';
import { addStocks } from '../../../pipelines/prices/history/stocks.ts';

export interface ChildArguments {
  readonly url: string;
  readonly runId: string;
  readonly request: MadeHistory;
  readonly chunkRows: number;
  readonly killAfter: number;
}

const { url, runId, request, chunkRows, killAfter } = JSON.parse(process.argv[2]!) as ChildArguments;
const pool = new PostgresPool({ url, applicationName: 'history-child' });
await loadHistory({
  ...{ postgresUrl: url, pool, runId, chunkRows, maxLag: 0, signal: new AbortController().signal },
  source: madeSource(request, await addStocks(pool, trafficOf(request).listings)),
  lag: async () => 0,
  report: ({ chunks }) => {
    if (chunks === killAfter) process.kill(process.pid, 'SIGKILL');
  },
});
