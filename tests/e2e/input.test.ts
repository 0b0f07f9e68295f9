/** What comes in that is wrong, and what comes in another shape than before: both on one stack, since a stack costs more than either. */
import { afterAll, beforeAll } from 'vitest';
import { type Pipeline, startPipeline } from '../support/pipeline.ts';
import { describePoison } from './input/poison.ts';
import { describeSchemaEvolution } from './input/schema-evolution.ts';

let pipeline: Pipeline;
beforeAll(async () => {
  pipeline = await startPipeline({ instances: 1, ownRegistry: true });
});
afterAll(async () => await pipeline?.stop());

describePoison(() => pipeline);
describeSchemaEvolution(() => pipeline);
