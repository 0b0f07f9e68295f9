/** `npm run dlq`: what was put aside, why, and what to do about it. */
import { addChangingCommands } from './dlq/changing.ts';
import { addReadingCommands } from './dlq/reading.ts';
import { operatorProgram } from './support/operation.ts';
import { runScript } from './support/run.ts';

const program = operatorProgram(
  'dlq',
  'Dead letters: lists and shows them, writes them back, or marks them as discarded.',
);
addReadingCommands(program);
addChangingCommands(program);
await runScript(program);
