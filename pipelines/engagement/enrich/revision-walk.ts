/**
 * Other logic over the rows that are there: a pass over the whole store, in bounded pieces between batches of live events, its cursor
 * committed with them.
 *
 * Invariants:
 *  - Rows up to the cursor, and all written since the pass began, are of its edition; a pass that has ended left no other.
 *  - A partition's edition only goes up: what a newer one has made is not written by older logic (whoever would, ends).
 */
import { SluiceError } from '../../../engine/errors.ts';
import type { ViewStore } from '../../../engine/view-store.ts';
import { type Edition, editionText, isAhead, sameEdition } from '../enrichment-deployment.ts';
import { topicKeyOf } from './order.ts';
import type { RevisionProgress } from './progress.ts';

const EVERYTHING = Buffer.alloc(0);

export class RevisionWalk {
  readonly #store: ViewStore;
  #progress: RevisionProgress;

  /** `found` is what was committed; null when nobody knows. Throws ENRICHMENT_OLDER (fatal). */
  constructor(store: ViewStore, edition: Edition, found: RevisionProgress | null) {
    this.#store = store;
    this.#progress = begun(store, edition, found);
  }

  get progress(): RevisionProgress {
    return this.#progress;
  }

  /** Revises up to `limit` rows, by the topic's keys. False when there were none left to look at. */
  piece(limit: number, revise: (key: Buffer) => void): boolean {
    const { edition, pass } = this.#progress;
    if (pass === null) return false;
    const entries = this.#store.scan(EVERYTHING, pass.after, limit);
    for (const { key } of entries) revise(topicKeyOf(key));
    const rows = pass.rows + entries.length;
    const ended = entries.length < limit;
    this.#progress = { edition, pass: ended ? null : { ...pass, after: entries.at(-1)!.key, rows } };
    return true;
  }
}

function begun(store: ViewStore, edition: Edition, found: RevisionProgress | null): RevisionProgress {
  if (found !== null && isAhead(found.edition, edition)) {
    throw new SluiceError(
      `Partition ${store.partition} of ${store.topic} is of edition ${editionText(found.edition)} and this worker would write ${editionText(edition)}: ` +
        'it ends, to read sluice.deployments again. When that does not help, its code is older than what ran before: start the newer one',
      { code: 'ENRICHMENT_OLDER', action: 'fatal' },
    );
  }
  if (found !== null && sameEdition(found.edition, edition)) return found;
  const of = store.size;
  return { edition, pass: of === 0 ? null : { after: null, rows: 0, of } };
}
