/** The end of every script: one clear line for an error of ours, the stack for one we did not expect. */
import type { Command } from 'commander';
import { SluiceError } from '../../engine/errors.ts';
import { endForCertain } from './ending.ts';

/** Parses the arguments and runs the command; exit code 2 when it could not do its work. */
export async function runScript(program: Command): Promise<void> {
  endForCertain();
  try {
    await program.parseAsync();
  } catch (error) {
    console.error(error instanceof SluiceError ? `${error.code}: ${error.message}` : error);
    process.exitCode = 2;
  }
}
