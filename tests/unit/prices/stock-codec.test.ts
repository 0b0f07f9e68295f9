import { expect, it } from 'vitest';
import { stockRowDecoder } from '../../../pipelines/prices/codec/stock.ts';
import { schemasById } from '../codec/debezium.ts';
import { STOCK_SCHEMA, STOCK_SCHEMA_ID, stockEnvelope } from './price-rows.ts';

it('reads everything that a change says of a stock, and what is NULL', async () => {
  const decoder = stockRowDecoder(schemasById({ [STOCK_SCHEMA_ID]: STOCK_SCHEMA }));
  const block = { lsn: 5n, xid: 7n, commitTsMs: 1_770_000_000_000 };
  const bytes = stockEnvelope({ id: 2n ** 60n, symbol: 'AAA', exchange: 'NYSE' }, 'c', block);
  await decoder.prepare([bytes]);
  expect(decoder.decode(bytes)).toMatchObject({
    ...{ op: 'c', before: null, lsn: 5n, commitTsMs: 1_770_000_000_000 },
    after: {
      ...{ id: 2n ** 60n, symbol: 'AAA', name: 'AAA Inc.', exchange: 'NYSE' },
      ...{ sector: null, industry: null, marketCap: null, active: true },
    },
  });
});
