/** What operators run beside the pipeline: backfill, then replay, on one stack, since a stack costs more than either. */
import { afterAll, beforeAll } from 'vitest';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';
import { describeBackfill } from './operations/backfill.ts';
import { describeReplay } from './operations/replay.ts';

let pipeline: Pipeline;
beforeAll(async () => {
  pipeline = await startPipeline({ instances: 1 });
});
afterAll(async () => await pipeline?.stop());

describeBackfill(() => pipeline);
describeReplay(() => pipeline);
