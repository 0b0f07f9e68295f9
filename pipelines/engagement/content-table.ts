/** The content table: all versions of what an event takes from its content. */
import type { SchemaSource } from '../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../engine/log.ts';
import { VersionedTable } from '../../engine/versioned-table.ts';
import { preparing } from '../worker-environment.ts';
import { contentChangeDecoder } from './codec/cdc.ts';
import type { ContentVersion } from './content-path.ts';
import { contentVersion } from './enrich.ts';
import { CDC_CONTENT } from './topics.ts';

export function contentTable(
  { client, registry }: { readonly client: LogClient; readonly registry: SchemaSource },
  failed: (error: unknown) => void,
): VersionedTable<ContentVersion> {
  const decoder = contentChangeDecoder(registry);
  return new VersionedTable<ContentVersion>(client, {
    topic: CDC_CONTENT,
    prepare: preparing(decoder),
    decode: ({ value }) => {
      if (value === null) return null;
      const { after, lsn, xid, commitTsMs } = decoder.decode(value);
      if (after === null) return null; // a deleted content keeps its last version for what refers to it
      return { key: after.id, lsn: lsn ?? 0n, value: contentVersion(after, { xid, commitTsMs }) };
    },
    same: (a, b) => a.part.equals(b.part),
    failed,
  });
}
