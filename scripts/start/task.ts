/** Runs one of the project's scripts to its end, as an operator would. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { StackError } from '../../infra/native/error.ts';
import { REPOSITORY } from '../../infra/native/layout.ts';

export interface TaskResult {
  readonly code: number;
  readonly output: string;
}

const MAX_OUTPUT = 1_000_000;

/** Runs `scripts/<script>` and hands back its exit code and output, whatever they are. Killed after the deadline. */
export function runScript(
  script: string,
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<TaskResult> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(REPOSITORY, 'scripts', script), ...args], {
      cwd: REPOSITORY,
      env: options.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
      signal: options.signal,
    });
    let output = '';
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-MAX_OUTPUT);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', (error) => done({ code: 127, output: `${output}${error.message}` }));
    child.once('close', (code, signal) =>
      done({ code: code ?? 128, output: signal === null ? output : `${output}\nended by ${signal}` }),
    );
  });
}

/** Runs a script that must succeed. Throws DEPLOY_FAILED with what it said. */
export async function mustRun(
  script: string,
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<void> {
  const result = await runScript(script, args, options);
  if (result.code !== 0) throw failed(script, args, result);
}

/** The error of a script that did not do its work: DEPLOY_FAILED. */
export function failed(script: string, args: readonly string[], { code, output }: TaskResult): StackError {
  const command = `scripts/${[script, ...args].join(' ')}`;
  return new StackError(
    'DEPLOY_FAILED',
    `${command} failed (exit code ${code}):\n${output.trim()}`,
    'Read its message above; npm run stack -- reset starts over with empty data.',
  );
}
