/** The servers that `npm start` runs on: native ones, or those of infra/compose.yaml. */
import type { ProcessStatus } from '../../infra/native/process.ts';
import { startStack } from '../../infra/native/stack.ts';

export interface Servers {
  readonly env: Readonly<Record<string, string>>;
  /** The first of the workers' metrics ports. */
  readonly metricsPort: number;
  status(): readonly ProcessStatus[];
  /** Resolves when Kafka Connect, which takes longest, is up. Throws SERVICE_FAILED with the end of its log. */
  untilConnect(): Promise<void>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly home: string;
  readonly portBase?: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  readonly onChange: (status: ProcessStatus) => void;
}

/** Throws what `startStack` throws. */
export async function startNative(options: ServerOptions): Promise<Servers> {
  const stack = await startStack({
    home: options.home,
    portBase: options.portBase,
    signal: options.signal,
    unawaited: ['connect'],
    onEvent: (event) => (event.kind === 'progress' ? options.say(event.text) : options.onChange(event.status)),
  });
  return {
    env: stack.env,
    metricsPort: stack.ports.metrics,
    status: () => stack.status(),
    untilConnect: () => stack.untilUp('connect'),
    stop: () => stack.stop(),
  };
}
