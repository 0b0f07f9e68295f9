/**
 * The contents that events are enriched with: the newest version of each in the captured topic, against Postgres. A content that
 * changed while nobody captured is found here, whether or not an event refers to it.
 */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readTopic } from '../../../engine/restore.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';
import type { Findings, SourcePosition } from '../../operations/reconcile/report.ts';
import { contentChangeDecoder } from '../codec/cdc.ts';
import { CDC_CONTENT } from '../topics.ts';
import { contentText, textHash } from './row.ts';
import type { Source } from './source.ts';

/** A content of which the pipeline knows nothing, or something else than Postgres. */
export interface ContentDifference {
  readonly id: string;
}

/** The newest version that a snapshot sees. */
interface Held {
  readonly text: string;
  /** Read by a Debezium snapshot that may be newer: it says nothing of what was there before. */
  readonly later: boolean;
}

export interface ContentsComparison {
  readonly source: Source;
  readonly log: LogClient;
  readonly schemas: SchemaSource;
  readonly deadline: Deadline;
  readonly findings: Findings<ContentDifference>;
}

/** To be called when the pipeline has passed the snapshot. Returns how far the topic was read. */
export async function compareContents(comparison: ContentsComparison): Promise<Readonly<Record<string, string>>> {
  const { source, findings } = comparison;
  const { held, end } = await heldContents(comparison);
  const expected = await source.contentHashes();
  findings.bucketsCompared++;
  findings.rowsCompared += expected.size;
  const ids = [...expected].flatMap(([id, hash]) => {
    const of = held.get(id);
    if (of === undefined) return [id];
    return of.later || textHash(of.text) === hash ? [] : [id];
  });
  const shown = await source.contentTexts(ids.slice(0, findings.room));
  for (const id of ids) {
    const postgres = shown.get(id) ?? null;
    findings.differs({ bucket: 'contents', row: `content ${id}`, postgres, sink: held.get(id)?.text ?? null }, { id });
  }
  return { 0: String(end) };
}

async function heldContents({ source, log, schemas, deadline }: ContentsComparison): Promise<{
  readonly held: ReadonlyMap<string, Held>;
  readonly end: bigint;
}> {
  const asked = async (kind: 'highWatermark' | 'lastStable') =>
    (await log.offsets(CDC_CONTENT, [0], kind)).get(0) ?? 0n;
  const written = await asked('highWatermark');
  const end = await until(deadline, {
    ask: async () => await asked('lastStable'),
    done: (stable) => (stable >= written ? stable : null),
    missing: (stable) => `${CDC_CONTENT}: open at ${stable}, wanted ${written}`,
  });
  const decoder = contentChangeDecoder(schemas);
  const held = new Map<string, Held>();
  await readTopic(log, { topic: CDC_CONTENT, ends: new Map([[0, end]]) }, async ({ records }) => {
    await decoder.prepare(records.map(({ value }) => value));
    for (const { value } of records) {
      if (value === null) continue;
      const { after, xid, lsn, commitTsMs } = decoder.decode(value);
      // A deleted content keeps its last version, and so does the pipeline's table.
      if (after === null || !isVisible({ xid, commitTsMs }, source.position)) continue;
      held.set(after.id, { text: contentText(after), later: xid === 0n && (lsn ?? 0n) > source.position.lsn });
    }
  });
  return { held, end };
}

const LOW_32 = 0xffff_ffffn;
const HORIZON_MS = 3_600_000;

/** Whether the snapshot sees a change; `INVISIBLE` of warehouse.ts says the same in SQL. */
export function isVisible(
  { xid, commitTsMs }: { readonly xid: bigint; readonly commitTsMs: number },
  { xmax, inProgress, timeMs }: SourcePosition,
): boolean {
  if (xid === 0n || commitTsMs < timeMs - HORIZON_MS) return true;
  const low = xid & LOW_32;
  const ahead = (low - (xmax & LOW_32)) & LOW_32;
  return ahead >= 1n << 31n && !inProgress.some((one) => (one & LOW_32) === low);
}
