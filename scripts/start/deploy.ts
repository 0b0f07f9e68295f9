/** Brings SQL, schemas, topics and the connector to what this version of the code wants. Each step is idempotent. */
import { mustRun } from './task.ts';

const STEP_TIMEOUT_MS = 120_000;

export interface DeployOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** Throws DEPLOY_FAILED with what the step said. */
export async function deploy({ env, signal, say }: DeployOptions): Promise<void> {
  const step = async (script: string, ...args: readonly string[]) => {
    await mustRun(script, args, { env, signal, timeoutMs: STEP_TIMEOUT_MS });
  };
  say('Applying SQL, registering schemas, creating topics');
  await Promise.all([step('migrate.ts'), step('schemas.ts', 'register'), step('topics.ts', 'create')]);
  // Needs the capture role and the topics.
  say('Registering the connector');
  await step('connector.ts', 'register');
}
