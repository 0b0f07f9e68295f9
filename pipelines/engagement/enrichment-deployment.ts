/**
 * By which logic events are enriched: the code's number and what an operator has set, as a fact in `sluice.deployments`. Together they are an
 * *edition*, which only ever goes up. The stage notes with its offset which edition its rows are of.
 */
import { z } from 'zod';
import type { LogClient } from '../../engine/log.ts';
import { type Deployed, parseDeployment, readDeployment } from '../operations/deployments.ts';
import { ENRICHMENT_LOGIC, type EnrichmentRules, NO_RULES } from './semantics.ts';

/** Its part of `sluice.deployments`, and the name of the stage. */
export const ENRICHMENT = 'engagement.enrich';

const schema = z.object({
  /** Raised by every roll-out: all rows are looked at again. */
  revision: z.int().min(0),
  maxPctBp: z.int().min(1).nullable(),
});

export type EnrichmentDeployment = z.infer<typeof schema>;

const FIRST: EnrichmentDeployment = { revision: 0, ...NO_RULES };

/** Throws DEPLOYMENT_INVALID (fatal) for a record that is none. */
export function enrichmentDeployment({ text }: Pick<Deployed, 'text'>): EnrichmentDeployment {
  return text === null ? FIRST : parseDeployment(schema, ENRICHMENT, text);
}

export async function readEnrichment(client: LogClient): Promise<EnrichmentDeployment> {
  return enrichmentDeployment(await readDeployment(client, ENRICHMENT));
}

/** With other rules, or with the same ones once more. */
export function revised({ revision }: EnrichmentDeployment, rules: EnrichmentRules): EnrichmentDeployment {
  return { revision: revision + 1, ...rules };
}

export interface Edition {
  /** `ENRICHMENT_LOGIC` of the code. */
  readonly logic: number;
  readonly revision: number;
}

/** Of rows that were made before anybody noted an edition. */
export const FIRST_EDITION: Edition = { logic: 1, revision: 0 };

/** What this code makes of a deployment. */
export function editionOf({ revision }: EnrichmentDeployment): Edition {
  return { logic: ENRICHMENT_LOGIC, revision };
}

export function sameEdition(a: Edition, b: Edition): boolean {
  return a.logic === b.logic && a.revision === b.revision;
}

/** Whether `a` has something that `b` does not know of. */
export function isAhead(a: Edition, b: Edition): boolean {
  return a.logic > b.logic || a.revision > b.revision;
}

export function editionText({ logic, revision }: Edition): string {
  return `${logic}.${revision}`;
}
