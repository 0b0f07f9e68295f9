/** `npm run worker -- NAME`: one worker, or the monitor, configured by environment variables only. Several of one name share the partitions. */
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import pino from 'pino';
import { SluiceError } from '../engine/errors.ts';
import { HealthServer } from '../engine/health.ts';
import { loadConfig } from '../pipelines/config.ts';
import { createProcess, PROCESS_NAMES, type Process } from '../pipelines/processes.ts';
import { runScript } from './support/run.ts';

const STOP_DEADLINE_MS = 20_000;

/**
 * How much the heap may grow between full collections, in percent of what lives. V8's own choice for a heap of 30 MB is 16 MB, young objects and
 * buffers outside of the heap counted: a stage that makes 75 MB of these a second marked its whole heap more often than it cleared its young generation.
 */
const HEAP_GROWTH_PERCENT = 100;

/** The worker whose name is, or ends with, what was asked for. */
function resolveName(asked: string): string {
  const exact = PROCESS_NAMES.find((name) => name === asked);
  if (exact !== undefined) return exact;
  const ending = PROCESS_NAMES.filter((name) => name.endsWith(`.${asked}`));
  if (ending.length === 1) return ending[0]!;
  throw new SluiceError(`No worker ${asked}; there are ${PROCESS_NAMES.join(', ')}`, {
    code: 'UNKNOWN_WORKER',
    action: 'fatal',
  });
}

async function main(asked: string): Promise<void> {
  // V8 looks at it at the end of each full collection, so it may be set while the process runs.
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  const name = resolveName(asked);
  const config = loadConfig(process.env);
  const logger = pino({ name, level: config.SLUICE_LOG_LEVEL });
  const worker = await createProcess(name, config, logger);
  const health = new HealthServer(name, worker.registry, () => worker.readiness());
  const port = await health.listen(config.SLUICE_METRICS_PORT, config.SLUICE_METRICS_HOST);
  logger.info({ port }, 'serving /live, /ready and /metrics');
  const stopped = stopOnSignal(worker, logger);
  try {
    await worker.run();
    await stopped();
  } catch (error) {
    // Crash-only: what cannot go on ends, with its reason, and is started again by whoever supervises it.
    logger.fatal({ err: error }, 'worker ends');
    process.exit(1);
  }
  await health.close();
}

/** SIGTERM and SIGINT end the running transactions and leave the group; what does not end in time is left to crash recovery. */
function stopOnSignal(worker: Process, logger: pino.Logger): () => Promise<void> {
  let stopping: Promise<void> | null = null;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping !== null) return;
    logger.info({ signal }, 'stopping');
    setTimeout(() => {
      logger.error('did not stop in time');
      process.exit(1);
    }, STOP_DEADLINE_MS).unref();
    stopping = worker.stop();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  return async () => {
    await stopping;
  };
}

const program = new Command('worker')
  .description('run one worker until SIGTERM')
  .argument('<name>', `one of ${PROCESS_NAMES.join(', ')}; the last parts are enough`)
  .action(main);

await runScript(program);
