/** Lets the connector go on from any offset that it ever stored, as after a kill at that moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CONNECTOR_NAME, type ConnectorConfig } from '../../../connectors/debezium/config.ts';
import type { ConnectApi } from '../../../connectors/debezium/connect-api.ts';
import type { KafkaClient } from '../../../connectors/kafka/client.ts';

/** Where Connect keeps the offsets of its connectors (infra/native/connect.ts). */
const OFFSETS = 'sluice.connect.offsets';

export type StoredOffset = Readonly<Record<string, unknown>>;

/** How many offsets were stored so far, counting every offset of the topic. */
export async function storedSoFar(kafka: KafkaClient): Promise<bigint> {
  return (await kafka.offsets(OFFSETS, [0], 'lastStable')).get(0)!;
}

/** The offsets stored since, oldest first (one for each poll of the task), up to the first that is `last`. */
export async function storedUntil(
  kafka: KafkaClient,
  from: bigint,
  last: (offset: StoredOffset) => boolean,
): Promise<StoredOffset[]> {
  const stored: StoredOffset[] = [];
  const deadline = Date.now() + 30_000;
  const reader = kafka.reader({ minBytes: 1, maxWaitMs: 50, maxBufferedBytes: 1 << 20 });
  try {
    const stream = reader.open(OFFSETS, 0, from);
    while (!stored.some(last)) {
      if (Date.now() > deadline) throw new Error(`Not stored within 30 s: ${JSON.stringify(stored)}`);
      for (const { value } of (await stream.next(20))?.records ?? []) {
        if (value !== null) stored.push(JSON.parse(value.toString('utf8')));
      }
    }
  } finally {
    await reader.close();
  }
  return stored;
}

/** Stops the connector with its task, and starts it with another configuration: at an offset, else where it was. */
export async function resume(
  { api, url }: { readonly api: ConnectApi; readonly url: string },
  config: ConnectorConfig,
  offset?: StoredOffset,
): Promise<void> {
  await stopped(api);
  const ask = async (method: string, path: string, body?: unknown) => {
    const headers = { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(30_000);
    const answer = await fetch(`${url}/connectors/${CONNECTOR_NAME}/${path}`, {
      method,
      headers,
      body: JSON.stringify(body),
      signal,
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  };
  if (offset !== undefined) await ask('PATCH', 'offsets', { offsets: [{ partition: { server: 'cdc' }, offset }] });
  await api.putConfig(CONNECTOR_NAME, config);
  await ask('PUT', 'resume');
}

async function stopped(api: ConnectApi): Promise<void> {
  await api.stop(CONNECTOR_NAME);
  const deadline = Date.now() + 30_000;
  for (;;) {
    const status = await api.status(CONNECTOR_NAME);
    if (status?.connector.state === 'STOPPED' && status.tasks.length === 0) return;
    if (Date.now() > deadline) throw new Error(`Not stopped within 30 s: ${JSON.stringify(status)}`);
    await sleep(100);
  }
}
