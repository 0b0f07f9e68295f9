/** How far the edition that is deployed has come over the rows of each partition, as the stage has committed it. */
import type { LogClient } from '../../engine/log.ts';
import { parseProgress } from './enrich/progress.ts';
import {
  type Edition,
  ENRICHMENT,
  type EnrichmentDeployment,
  editionOf,
  editionText,
  isAhead,
  readEnrichment,
  sameEdition,
} from './enrichment-deployment.ts';
import { CDC_EVENTS } from './topics.ts';

/** A partition with rows that are not of the edition, or may not be. */
export interface PendingPartition {
  readonly partition: number;
  /** null: nobody knows, the offset was set by hand. */
  readonly edition: Edition | null;
  /** Rows done of those that were there; both 0 before it begins. */
  readonly rows: number;
  readonly of: number;
}

export interface Rollout {
  readonly deployment: EnrichmentDeployment;
  /** What this code makes of the deployment. */
  readonly edition: Edition;
  /** Empty: all rows are of it. */
  readonly pending: readonly PendingPartition[];
}

export async function readRollout(client: LogClient): Promise<Rollout> {
  const deployment = await readEnrichment(client);
  const edition = editionOf(deployment);
  const pending: PendingPartition[] = [];
  for (let partition = 0; partition < (await client.partitions(CDC_EVENTS)); partition++) {
    const committed = await client.committed(ENRICHMENT, CDC_EVENTS, partition);
    if (committed === null) continue; // nothing was ever enriched
    const revision = parseProgress(committed.metadata)?.revision ?? null;
    if (revision === null) pending.push({ partition, edition: null, rows: 0, of: 0 });
    else if (!sameEdition(revision.edition, edition))
      pending.push({ partition, edition: revision.edition, rows: 0, of: 0 });
    else if (revision.pass !== null) {
      const { rows, of } = revision.pass;
      pending.push({ partition, edition, rows, of });
    }
  }
  return { deployment, edition, pending };
}

export function pendingText({ edition: wanted, pending }: Rollout): string {
  return pending
    .map(({ partition, edition, rows, of }) => {
      if (edition === null) return `partition ${partition} does not say of which edition its rows are`;
      if (sameEdition(edition, wanted)) return `partition ${partition} has done ${rows} of ${of} rows`;
      const newer = isAhead(edition, wanted) ? ', which is newer than this code' : '';
      return `partition ${partition} is of edition ${editionText(edition)}${newer}`;
    })
    .join('; ');
}

/** As a comparison with Postgres needs it. */
export function judgedEnrichment(client: LogClient) {
  return async () => {
    const rollout = await readRollout(client);
    const { maxPctBp } = rollout.deployment;
    return { edition: editionText(rollout.edition), maxPctBp, pending: pendingText(rollout) };
  };
}
