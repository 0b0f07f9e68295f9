/**
 * Which leaderboards there are and which are shown. A *variant* is a whole set beside the others: its own consumer group, transactional ids,
 * store and output topic, built from the same changes by its own rules. One is live: the Redis sink mirrors its topic.
 *
 * Invariant: what a swap changes in Redis it changes by a raised generation, so the boards that are shown stay until those of
 * the new topic are whole (docs/redis.md, "Rebuilt out of sight").
 */
import { z } from 'zod';
import { SluiceError } from '../../engine/errors.ts';
import type { LogClient } from '../../engine/log.ts';
import { type Deployed, parseDeployment, readDeployment } from '../operations/deployments.ts';
import { WINDOWS, type WindowSpec } from './leaderboard/windows.ts';
import { LEADERBOARD_CHANGELOG, LEADERBOARDS } from './topics.ts';

/** Its part of `sluice.deployments`. */
export const LEADERBOARD = 'engagement.leaderboard';

const rules = z.object({
  /** Places of a board. */
  limit: z.int().min(1),
  /** Percent samples a content needs to be ranked by its average. */
  minSamples: z.int().min(1),
  /** Those of the first variant when left out. */
  windows: z
    .array(z.object({ name: z.string(), sizeMs: z.int().min(1), paneMs: z.int().min(1) }))
    .min(1)
    .optional(),
});

export type LeaderboardRules = z.infer<typeof rules>;

const schema = z.object({
  live: z.string(),
  /** Added to `SLUICE_GENERATION` of the Redis sink; raised by every swap and every rebuild. */
  generation: z.int().min(0),
  variants: z.record(z.string(), rules),
});

export type LeaderboardDeployment = z.infer<typeof schema>;

export const FIRST_VARIANT = 'a';
export const DEFAULT_RULES: LeaderboardRules = { limit: 100, minSamples: 10 };

/** Until a record says otherwise. */
export const FIRST_LEADERBOARDS: LeaderboardDeployment = {
  live: FIRST_VARIANT,
  generation: 0,
  variants: { [FIRST_VARIANT]: DEFAULT_RULES },
};

/** Throws DEPLOYMENT_INVALID (fatal) for a record that is none. */
export function leaderboardDeployment({ text }: Pick<Deployed, 'text'>): LeaderboardDeployment {
  if (text === null) return FIRST_LEADERBOARDS;
  return parseDeployment(schema, LEADERBOARD, text, ({ live, variants }) => variants[live] !== undefined);
}

/** The rules of a variant. Throws VARIANT_UNKNOWN (fatal). */
export function rulesOf({ variants }: Pick<LeaderboardDeployment, 'variants'>, variant: string): LeaderboardRules {
  const found = variants[variant];
  if (found !== undefined) return found;
  throw new SluiceError(
    `There is no leaderboard variant ${variant} (there is ${Object.keys(variants).join(', ')}): npm run replay -- --stage leaderboard --variant ${variant} --prepare`,
    { code: 'VARIANT_UNKNOWN', action: 'fatal' },
  );
}

export function windowsOf({ windows }: Pick<LeaderboardRules, 'windows'>): readonly WindowSpec[] {
  return windows ?? WINDOWS;
}

export async function readLeaderboards(client: LogClient): Promise<LeaderboardDeployment> {
  return leaderboardDeployment(await readDeployment(client, LEADERBOARD));
}

/** The rules of the boards that are shown, with their windows. */
export async function liveRules(client: LogClient): Promise<Required<LeaderboardRules>> {
  const deployment = await readLeaderboards(client);
  const live = rulesOf(deployment, deployment.live);
  return { ...live, windows: [...windowsOf(live)] };
}

export interface VariantNames {
  /** Consumer group, and prefix of the transactional ids. */
  readonly group: string;
  readonly output: string;
  readonly changelog: string;
}

/** The names of the first variant are those of the pipeline; the others have their own behind them. */
export function variantNames(variant: string): VariantNames {
  const suffix = variant === FIRST_VARIANT ? '' : `.${variant}`;
  return {
    group: `${LEADERBOARD}${suffix}`,
    output: `${LEADERBOARDS}${suffix}`,
    changelog: `${LEADERBOARD_CHANGELOG}${suffix}`,
  };
}
const refused = (message: string) => new SluiceError(message, { code: 'DEPLOYMENT_REFUSED', action: 'fatal' });

/** With one more variant. Throws DEPLOYMENT_REFUSED (fatal) when there is one with other rules. */
export function prepared(
  from: LeaderboardDeployment,
  variant: string,
  wanted: LeaderboardRules,
): LeaderboardDeployment {
  const { [variant]: present } = from.variants;
  if (present !== undefined && JSON.stringify(present) !== JSON.stringify(wanted)) {
    throw refused(
      `Variant ${variant} has other rules already (${JSON.stringify(present)}): retire it first, or take another name`,
    );
  }
  return { ...from, variants: { ...from.variants, [variant]: wanted } };
}

/** With another one live, or with the live one to be shown anew. Throws VARIANT_UNKNOWN (fatal). */
export function shownAnew(from: LeaderboardDeployment, variant: string): LeaderboardDeployment {
  rulesOf(from, variant);
  return { ...from, live: variant, generation: from.generation + 1 };
}

/** Without a variant; harmless when it is gone. Throws DEPLOYMENT_REFUSED (fatal) for the live one. */
export function retired(from: LeaderboardDeployment, variant: string): LeaderboardDeployment {
  if (from.live === variant) throw refused(`Variant ${variant} is live: swap to another one first`);
  const { [variant]: _, ...variants } = from.variants;
  return { ...from, variants };
}
