import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderMigration } from '../../../connectors/clickhouse/render.ts';
import { loadConfig } from '../../../pipelines/config.ts';
import { pricesTtlDays } from '../../../pipelines/prices/retention.ts';

const SQL = fileURLToPath(new URL('../../../sql/clickhouse', import.meta.url));

describe('the retention of prices', () => {
  it('names every table of prices that can have a time to live, bars, candles and indicators', () => {
    const files = readdirSync(SQL).filter((name) => name.endsWith('.sql'));
    const known = files.flatMap((name) => [...renderMigration(readFileSync(join(SQL, name), 'utf8')).ttl.keys()]);
    const named = pricesTtlDays({ minute: 1, hour: 2, day: 3, versions: 4 });
    expect(Object.keys(named).sort()).toEqual(known.filter((table) => table.startsWith('prices_')).sort());
  });

  it('is read by grain; what is not named is kept', () => {
    const { SLUICE_PRICES_RETENTION_DAYS: none } = loadConfig({});
    expect(pricesTtlDays(none)).toEqual({});
    const { SLUICE_PRICES_RETENTION_DAYS: given } = loadConfig({ SLUICE_PRICES_RETENTION_DAYS: 'minute=90, day=1830' });
    expect(pricesTtlDays(given)).toEqual({
      ...{ prices_bars_store: 90, prices_candles_minute_store: 90, prices_indicators_minute_store: 90 },
      ...{ prices_candles_day_store: 1_830, prices_indicators_day_store: 1_830 },
    });
    expect(() => loadConfig({ SLUICE_PRICES_RETENTION_DAYS: 'second=1' })).toThrow('no grain "second"');
  });
});
