/** The pipelines as `npm start` runs and shows them. */
import { ENGAGEMENT_SHOWN } from './engagement.ts';
import { PRICES_SHOWN } from './prices.ts';
import type { ShownPipeline } from './shown.ts';

const SHOWN: readonly ShownPipeline[] = [ENGAGEMENT_SHOWN, PRICES_SHOWN];

/** Those of these names. */
export function shownOf(pipelines: readonly string[]): readonly ShownPipeline[] {
  return SHOWN.filter(({ name }) => pipelines.includes(name));
}
