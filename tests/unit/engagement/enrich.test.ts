import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { MemoryLog } from '../../support/memory-log.ts';
import { checkPartition } from './checks.ts';
import { drive } from './harness.ts';
import { contents, crashes, history, ticks } from './histories.ts';
import type { Policy } from './model.ts';
import { Source } from './source.ts';

const SEED = 20_260_102;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-enrich-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const life = fc.record({
  crashes,
  ticks,
  maxRecords: fc.integer({ min: 1, max: 9 }),
  walkRows: fc.integer({ min: 1, max: 4 }),
});

/** Whatever happens at the source and to the task, in either policy. */
async function holds(policy: Policy, numRuns: number): Promise<void> {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(history, contents, fc.tuple(life, life), async (steps, fields, lives) => {
      const log = new MemoryLog();
      const source = new Source(log, fields);
      const folder = join(dir, String(run++));
      const left = [...steps];
      // The second partition finds everything there when it starts: a rebuild.
      for (const [partition, one] of lives.entries()) {
        await drive({ log, source, steps: left, partition, policy, dir: join(folder, String(partition)), ...one });
        await checkPartition({ log, source, partition, policy });
      }
    }),
    // Shrinking takes longer than a test may: replay with the printed path and without this.
    { seed: SEED, numRuns, endOnFailure: true },
  );
}

describe('engagement.enrich, crashed at any step of any history', () => {
  it('keeps the table equal to the join of the rows with their newest contents', async () => {
    await holds('correct', 100);
  }, 90_000);

  it('leaves rows as they were enriched when asked to', async () => {
    await holds('keep', 50);
  }, 90_000);
});
