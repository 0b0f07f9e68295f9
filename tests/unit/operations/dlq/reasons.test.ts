import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ENGAGEMENT_REASONS } from '../../../../pipelines/engagement/dlq.ts';
import { runbookOf } from '../../../../pipelines/operations/dlq/reasons.ts';
import { PRICES_REASONS } from '../../../../pipelines/prices/dlq.ts';

const ROOT = join(import.meta.dirname, '../../../..');
/** Where records are put aside by a stage or by decoding. What a sink's target refuses has one reason, SINK_REFUSED. */
const SHARED = ['engine', 'pipelines/capture', 'pipelines/operations'];
/** Thrown by a sink's mapping of a record, so refused by that sink. */
const IN_SINKS = ['pipelines/engagement/redis-boards.ts'];

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

/** The codes of the errors with action `dead-letter` that a file makes. */
function codesOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const literal = [...text.matchAll(/code: '([A-Z_]+)',\s*action: 'dead-letter'/g)].map(([, code]) => code!);
  // engagement/semantics.ts and prices/bar.ts make their errors by a function of the code.
  const made = /\{ code, action: 'dead-letter' \}/.test(text) ? [...text.matchAll(/\bbad\('([A-Z_]+)'/g)] : [];
  return [...literal, ...made.map(([, code]) => code!)];
}

describe('the reasons of dead letters', () => {
  const thrownBy = (pipeline: string) =>
    [...SHARED, `pipelines/${pipeline}`]
      .flatMap(sources)
      .filter((path) => !IN_SINKS.includes(path))
      .flatMap(codesOf);

  it('are all that the pipeline throws, and no more', () => {
    expect([...new Set(thrownBy('engagement'))].sort()).toEqual(Object.keys(ENGAGEMENT_REASONS).sort());
    expect([...new Set(thrownBy('prices'))].sort()).toEqual(Object.keys(PRICES_REASONS).sort());
  });

  it('each have their entry in the runbook', () => {
    const runbook = readFileSync(join(ROOT, 'docs/runbooks/dlq.md'), 'utf8');
    const entries = [...runbook.matchAll(/^## (.+)$/gm)].map(([, title]) => title!);
    const reasons = new Set([...Object.keys(ENGAGEMENT_REASONS), ...Object.keys(PRICES_REASONS)]);
    expect(entries.sort()).toEqual([...reasons].sort());
    expect(runbookOf('UNKNOWN_CONTENT')).toBe('docs/runbooks/dlq.md#unknown_content');
  });

  it('say what is wrong in words', () => {
    for (const { meaning } of Object.values({ ...ENGAGEMENT_REASONS, ...PRICES_REASONS }))
      expect(meaning.length).toBeGreaterThan(20);
  });
});
