/** Brings SQL, schemas, topics and the connector to what this version of the code wants. Each step is idempotent. */
import { lastJson } from './finish.ts';
import { failed, mustRun, runScript } from './task.ts';

const STEP_TIMEOUT_MS = 120_000;

export interface DeployOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Where Kafka Connect may still be starting: the connector alone needs it. */
  readonly untilConnect?: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  readonly warn: (text: string) => void;
}

/** Throws DEPLOY_FAILED with what the step said. */
export async function deploy(options: DeployOptions): Promise<void> {
  const { env, signal, say } = options;
  const step = async (script: string, ...args: readonly string[]) => {
    await mustRun(script, args, { env, signal, timeoutMs: STEP_TIMEOUT_MS });
  };
  // Before anything is changed: what others read may only change in ways that they survive.
  say('Checking schemas');
  await step('schemas.ts', 'check');
  say('Applying SQL, registering schemas, creating topics');
  await Promise.all([step('migrate.ts'), step('schemas.ts', 'register'), createTopics(options)]);
  // Needs the capture role and the topics.
  await options.untilConnect?.();
  say('Registering the connector');
  await step('connector.ts', 'register');
}

interface TopicReport {
  readonly topics: readonly { readonly name: string; readonly drift: readonly string[] }[];
}

/** A topic that an older version made with other settings still works: that is worth a word, not a refusal. */
async function createTopics({ env, signal, warn }: DeployOptions): Promise<void> {
  const args = ['create', '--json'];
  const result = await runScript('topics.ts', args, { env, signal, timeoutMs: STEP_TIMEOUT_MS });
  const report = lastJson(result.output);
  if (typeof report !== 'object' || report === null || !('topics' in report)) throw failed('topics.ts', args, result);
  for (const { name, drift } of (report as TopicReport).topics) {
    if (drift.length > 0) warn(`topic ${name} differs from the code: ${drift.join('; ')}`);
  }
}
