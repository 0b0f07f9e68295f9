/** By which rules and logic a comparison judges: what is deployed, once all rows are of it. */
import { SluiceError } from '../../../engine/errors.ts';
import { type Deadline, until } from '../../operations/reconcile/deadline.ts';
import { type BoardRules, DEFAULT_BOARDS } from './boards.ts';

/** By which logic events are enriched; a change of it is rolled out by npm run replay. */
export interface JudgedEnrichment {
  readonly edition: string;
  /** The most percent that an event counts for, in basis points; null for no limit. */
  readonly maxPctBp: number | null;
  /** What is not of it yet; empty when all is. */
  readonly pending: string;
}

const NO_LIMIT: JudgedEnrichment = { edition: '', maxPctBp: null, pending: '' };

export interface Asked {
  /** Rules of the boards that are shown: `DEFAULT_BOARDS` when left out. */
  readonly rules?: () => Promise<BoardRules>;
  /** The logic that is deployed, and whether all rows are of it. Without: the first one, of all. */
  readonly enrichment?: () => Promise<JudgedEnrichment>;
}

export interface Deployed {
  readonly logic: JudgedEnrichment;
  readonly rules: BoardRules;
}

/** By what is judged: asked before the snapshot is taken, when all rows are of one logic. A text: why that cannot be said. */
export async function askDeployed({ enrichment, rules }: Asked, deadline: Deadline): Promise<Deployed | string> {
  try {
    const logic =
      enrichment === undefined
        ? NO_LIMIT
        : await until(deadline, {
            ask: enrichment,
            done: (one) => (one.pending === '' ? one : null),
            missing: ({ edition, pending }) =>
              `edition ${edition} of engagement.enrich is being rolled out: ${pending}`,
          });
    return { logic, rules: (await rules?.()) ?? DEFAULT_BOARDS };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

/** Whether the logic is the one that was asked for. */
export async function isStill({ edition }: JudgedEnrichment, { enrichment }: Asked): Promise<boolean> {
  return enrichment === undefined || (await enrichment()).edition === edition;
}
