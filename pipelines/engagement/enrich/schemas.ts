/** The schemas by which the stage writes, and those of what its store may hold. */
import type { RegistryClient } from '../../../connectors/registry/client.ts';
import type { FramedDecoder } from '../../../engine/avro/framed-decoder.ts';
import { SUBJECTS } from '../../../schemas/subjects.ts';
import { schemaId } from '../../worker-environment.ts';
import { eventBodyDecoder } from '../codec/event.ts';
import type { SchemaIds } from './rows.ts';

/** The store keeps what earlier versions wrote. A version registered later ends the worker, which then starts with it. */
export async function enrichSchemas(
  registry: RegistryClient,
): Promise<{ readonly ids: SchemaIds; readonly bodies: FramedDecoder<Buffer> }> {
  const ids = {
    key: await schemaId(registry, SUBJECTS.eventKey),
    event: await schemaId(registry, SUBJECTS.event),
    change: await schemaId(registry, SUBJECTS.change),
  };
  const bodies = eventBodyDecoder(registry);
  await bodies.load(await registry.versionIds(SUBJECTS.event.name));
  return { ids, bodies };
}
