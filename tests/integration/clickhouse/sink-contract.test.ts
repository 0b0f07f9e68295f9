import { selectRows } from '../../../connectors/clickhouse/client.ts';
import { type ChangeRow, engagementClickHouseSink } from '../../../pipelines/engagement/clickhouse-rows.ts';
import { startClickHouse } from '../../support/clickhouse.ts';
import { engagementDatabase, readFigures } from '../../support/engagement-figures.ts';
import { fixedHistory } from '../../support/engagement-model.ts';
import { describeSinkContract } from '../../support/sink-contract.ts';

const history = fixedHistory(60);

describeSinkContract<ChangeRow>('clickhouse', async () => {
  const server = await startClickHouse();
  const database = await engagementDatabase(server.url, 'contract');
  return {
    makeSink: () => engagementClickHouseSink({ name: 'contract.sink', config: database.config }),
    reset: () => database.reset(),
    records: (from, to) => history.records.filter(({ offset }) => offset >= from && offset < to),
    readBack: async () => ({
      figures: await readFigures(database.client),
      log: await selectRows(
        database.client,
        'SELECT source_offset, sign, toString(event_id) AS event FROM engagement_changes ORDER BY source_offset, sign',
      ),
    }),
    breakConnection: () => server.kill(),
    restoreConnection: () => server.restart(),
    stop: async () => {
      await database.close();
      await server.stop();
    },
  };
});
