/** What the workers of every pipeline are built from. */
import type { Logger } from 'pino';
import { KafkaClient } from '../connectors/kafka/client.ts';
import { RegistryClient } from '../connectors/registry/client.ts';
import type { FramedDecoder } from '../engine/avro/framed-decoder.ts';
import type { LogClient, LogRecord } from '../engine/log.ts';
import type { RunnableWorker } from '../engine/stage-worker.ts';
import { type Subject, schemaText } from '../schemas/subjects.ts';
import { type Config, kafkaOptions } from './config.ts';

export interface WorkerEnvironment {
  readonly config: Config;
  readonly logger: Logger;
  readonly client: LogClient;
  readonly registry: RegistryClient;
}

/** The workers of a pipeline by their names, which are their consumer groups. Nothing runs yet when one is built. */
export type WorkerTable = Readonly<Record<string, (environment: WorkerEnvironment) => Promise<RunnableWorker>>>;

export function workerEnvironment(name: string, config: Config, logger: Logger): WorkerEnvironment {
  const sessionTimeoutMs = config.SLUICE_SESSION_TIMEOUT_MS;
  const client = new KafkaClient({ ...kafkaOptions(config, name), sessionTimeoutMs });
  return { config, logger, client, registry: new RegistryClient({ url: config.SLUICE_REGISTRY_URL }) };
}

/** Bytes that a stage gathers at most before it goes on. */
export const GATHER_BYTES = 1 << 20;

/** Loads the schemas that records name. */
export function preparing(
  decoder: FramedDecoder<unknown>,
): (records: readonly Pick<LogRecord, 'value'>[]) => Promise<void> {
  return async (records) => await decoder.prepare(records.map(({ value }) => value));
}

/** The id under which the registry has a schema of ours. */
export async function schemaId(registry: RegistryClient, { name, schema }: Subject): Promise<number> {
  return await registry.idOf({ name, text: schemaText(schema) });
}
