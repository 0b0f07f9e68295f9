/** A replication slot that is lost: what happens meanwhile is heard by nobody. */
import { expect } from 'vitest';
import { CONNECTOR_NAME } from '../../connectors/debezium/config.ts';
import { ConnectApi } from '../../connectors/debezium/connect-api.ts';
import { registerConnector } from '../../connectors/debezium/register.ts';
import { loadConfig } from '../../pipelines/config.ts';
import type { Pipeline } from './pipeline.ts';

/** Calls `unheard` while nobody listens; afterwards capture begins at the position it finds, as after a lost slot. */
export async function loseSlot(
  { env, script }: Pick<Pipeline, 'env' | 'script'>,
  unheard: () => Promise<void>,
): Promise<void> {
  const api = new ConnectApi(loadConfig(env).SLUICE_CONNECT_URL);
  const config = (await api.config(CONNECTOR_NAME))!;
  const removed = await script('connector.ts', 'delete', '--forget');
  expect(removed.code, removed.output).toBe(0);
  await unheard();
  await registerConnector(api, { name: CONNECTOR_NAME, config: { ...config, 'snapshot.mode': 'no_data' } });
}
