/** engagement.enrich over one partition of a log in memory (tests/support/drive.ts), and what came out of it. */
import { contentChangeDecoder, engagementChangeDecoder } from '../../../pipelines/engagement/codec/cdc.ts';
import { changeDecoder } from '../../../pipelines/engagement/codec/change.ts';
import { eventBodyDecoder, eventDecoder } from '../../../pipelines/engagement/codec/event.ts';
import { keyDecoder } from '../../../pipelines/engagement/codec/key.ts';
import type { ContentVersion } from '../../../pipelines/engagement/content-path.ts';
import { type Progress, parseProgress } from '../../../pipelines/engagement/enrich/progress.ts';
import { contentVersion, enrichStage } from '../../../pipelines/engagement/enrich.ts';
import { type Edition, ENRICHMENT, FIRST_EDITION } from '../../../pipelines/engagement/enrichment-deployment.ts';
import { type EnrichmentRules, NO_RULES } from '../../../pipelines/engagement/semantics.ts';
import { CDC_CONTENT, CDC_EVENTS, CHANGES, EVENTS_V1 } from '../../../pipelines/engagement/topics.ts';
import { OperatorGuard } from '../../../pipelines/operations/operator-guard.ts';
import { type Change, changeSchema } from '../../../schemas/engagement/change.ts';
import { type EngagementEvent, eventSchema } from '../../../schemas/engagement/event.ts';
import { eventKeySchema } from '../../../schemas/engagement/event-key.ts';
import { type DriveOptions, driveStage } from '../../support/drive.ts';
import { changeV1, eventV1 } from '../../support/event-v1.ts';
import type { MemoryLog } from '../../support/memory-log.ts';
import { schemasById } from '../codec/debezium.ts';
import { CAPTURE_SCHEMAS } from './capture.ts';
import { keyOf, type Policy } from './model.ts';
import type { Step } from './rows.ts';

export const IDS = { key: 1, event: 2, change: 3, eventV1: 4, changeV1: 5 };
const registry = schemasById({
  [IDS.key]: eventKeySchema,
  [IDS.event]: eventSchema,
  [IDS.change]: changeSchema,
  [IDS.eventV1]: eventV1,
  [IDS.changeV1]: changeV1,
  ...CAPTURE_SCHEMAS,
});

export interface EnrichDriveOptions extends DriveOptions<Step> {
  readonly policy: Policy;
  readonly walkRows?: number;
  /** By which logic; the first one when left out. */
  readonly edition?: Edition;
  readonly rules?: EnrichmentRules;
}

/** Runs until the mark of the source's last heartbeat is out and all rows are of the edition. Returns how often the task was started. */
export async function drive(options: EnrichDriveOptions): Promise<number> {
  const { log, partition, policy, walkRows, edition = FIRST_EDITION, rules = NO_RULES } = options;
  const decoder = engagementChangeDecoder(registry);
  const bodies = eventBodyDecoder(registry);
  const contents = contentChangeDecoder(registry);
  const changes = changeDecoder(registry);
  await contents.load(Object.keys(CAPTURE_SCHEMAS).map(Number));
  await changes.load([IDS.change, IDS.changeV1]);
  await bodies.load([IDS.event, IDS.eventV1]);
  const operators = new OperatorGuard({ client: log, reader: log.reader(), topic: CDC_EVENTS });
  return await driveStage<ContentVersion, Step>(options, {
    stage: (rows) =>
      enrichStage({ contents: rows, decoder, bodies, operators, ids: IDS, policy, walkRows, edition, rules }),
    table: {
      topic: CDC_CONTENT,
      decode: ({ value }) => {
        const { after, lsn, xid, commitTsMs } = contents.decode(value!);
        return { key: after!.id, lsn: lsn!, value: contentVersion(after!, { xid, commitTsMs }) };
      },
      same: (a, b) => a.part.equals(b.part),
    },
    prepare: async (records, at) => {
      await operators.prepare(records, at);
      await decoder.prepare(records.map(({ value }) => value));
    },
    passed: () => {
      if (progressOf(log, partition)?.revision.pass !== null) return null;
      // Behind the last mark there are at most rows that other logic has made anew.
      const records = log.records(CHANGES, partition);
      for (let at = records.length - 1; at >= 0; at--) {
        const { kind, lsn } = changes.decode(records[at]!.value!);
        if (kind === 'mark') return lsn;
        if (kind !== 'correct') return null;
      }
      return null;
    },
  });
}

/** What the task has committed with its offset. */
export function progressOf(log: MemoryLog, partition: number): Progress | null {
  return parseProgress(log.metadata(ENRICHMENT, CDC_EVENTS, partition));
}

/** All changes of a partition, in order, each with the key of its record. */
export async function changesOf(log: MemoryLog, partition: number): Promise<{ key: string | null; change: Change }[]> {
  const decoder = changeDecoder(registry);
  const keys = keyDecoder(registry);
  const records = log.records(CHANGES, partition);
  await decoder.prepare(records.map(({ value }) => value));
  await keys.prepare(records.map(({ key }) => key));
  return records.map(({ key, value }) => {
    return { key: key === null ? null : keyOf(keys.decode(key)), change: decoder.decode(value!) };
  });
}

/** What compaction leaves of the public topic. */
export async function presentOf(log: MemoryLog, partition: number): Promise<Map<string, EngagementEvent>> {
  const decoder = eventDecoder(registry);
  const keys = keyDecoder(registry);
  const present = new Map<string, EngagementEvent>();
  for (const [key, value] of log.compacted(EVENTS_V1, partition)) {
    const bytes = Buffer.from(key, 'latin1');
    await decoder.prepare([value]);
    await keys.prepare([bytes]);
    present.set(keyOf(keys.decode(bytes)), decoder.decode(value));
  }
  return present;
}
