/** `npm run bench -- e2e|replay|backfill|gateway`: how fast, how fresh and how costly, on this machine. What the figures mean: docs/performance.md. */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { describe } from '../infra/native/error.ts';
import { type BackfillBenchResult, backfillBench } from './bench/backfill.ts';
import { type E2eResult, e2e } from './bench/e2e.ts';
import { FEED_SOURCES, type GatewayFlags, type GatewayResult, gateway } from './bench/gateway.ts';
import { GRAINS, type Grain } from './bench/prices-recording.ts';
import { type ReplayResult, replay } from './bench/replay.ts';
import { ENGAGEMENT_REPLAY, ENGAGEMENT_STAGES, PRICES_STAGES, pricesReplay } from './bench/replay-pipelines.ts';
import { endForCertain } from './support/ending.ts';

const whole = (text: string): number => {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0 && value <= 100_000_000) return value;
  throw new InvalidArgumentError('expected a whole number above 0.');
};

/** Aborted by the first signal: what was started is stopped, and its folder removed. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  return stopping.signal;
}

const say = (text: string): void => console.error(text);

interface E2eFlags {
  readonly rate: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly contents: number;
  readonly updates: number;
  readonly deletes: number;
  readonly seed: number;
  readonly json: boolean;
}

async function runE2e(flags: E2eFlags): Promise<void> {
  const result = await e2e({ ...flags, warmUpSeconds: flags.warmUp, signal: stopSignal(), say });
  if (!flags.json) printE2e(result);
  else console.log(JSON.stringify(result));
  if (result.reconcile !== 'equal') process.exitCode = 1;
}

function printE2e(result: E2eResult): void {
  const { machine, backlog } = result;
  console.log(`${result.events} events at ${result.rate}/s; ${machine.cores} × ${machine.cpu}`);
  console.table({ 'commit to Redis': result.redis, 'commit to ClickHouse': result.clickhouse });
  console.table(result.processes);
  console.log(
    `CPU ${result.cpuPercent} % of the machine (${result.ownCpuPercent} % our own), memory ${result.memoryMiB} MiB (${result.memoryHeldMiB} without mapped files), ` +
      `backlog at the end ${result.backlogEnd} records${backlog.growing ? ' and GROWING' : ''}, drained in ${result.drainSeconds} s`,
  );
  console.log(`compared with Postgres: ${result.reconcile}`);
}

interface ReplayFlags {
  readonly pipeline: 'engagement' | 'prices';
  readonly records: number;
  readonly contents: number;
  readonly symbols: number;
  readonly bars: Grain;
  readonly stage?: string;
  readonly seed: number;
  readonly growthContents: number;
  readonly growthSymbols: number;
  readonly growth: boolean;
  readonly profile?: string | true;
  readonly json: boolean;
}

async function runReplay(flags: ReplayFlags): Promise<void> {
  const folder = flags.profile === undefined ? null : resolve(flags.profile === true ? 'profiles' : flags.profile);
  const ofPrices = flags.pipeline === 'prices';
  const pipeline = ofPrices ? pricesReplay(flags.bars) : ENGAGEMENT_REPLAY;
  if (flags.stage !== undefined && !Object.hasOwn(pipeline.stages, flags.stage)) {
    throw new InvalidArgumentError(
      `--stage ${flags.stage} is none of ${flags.pipeline}: ${Object.keys(pipeline.stages).join(', ')}`,
    );
  }
  if (folder !== null) mkdirSync(folder, { recursive: true });
  const result = await replay({
    pipeline,
    records: flags.records,
    groups: ofPrices ? flags.symbols : flags.contents,
    stage: flags.stage ?? null,
    seed: flags.seed,
    // A profile is about one run.
    growthGroups: flags.growth && folder === null ? (ofPrices ? flags.growthSymbols : flags.growthContents) : null,
    profileFolder: folder,
    signal: stopSignal(),
    say,
  });
  if (!flags.json) printReplay(result, pipeline.words);
  else console.log(JSON.stringify(result));
}

function printReplay(
  { records, groups, recordBytes, machine, stages }: ReplayResult,
  words: { readonly changes: string; readonly groups: string },
): void {
  console.log(
    `${records} ${words.changes} of ${recordBytes} bytes, ${groups} ${words.groups}; ${machine.cores} × ${machine.cpu}`,
  );
  console.table(
    Object.fromEntries(
      Object.entries(stages).map(([name, stage]) => [
        name,
        {
          records: stage.records,
          'records/s': stage.recordsPerSecond,
          'µs CPU a record': stage.cpuMicrosPerRecord,
          'changes/s': stage.perChange.perSecond,
          'µs CPU a change': stage.perChange.cpuMicros,
          'RSS MiB': stage.rssMiB,
          'growth with rows': stage.growth.rows ?? '–',
          [`with ${words.groups}`]: stage.growth.groups ?? '–',
        },
      ]),
    ),
  );
}

interface BackfillFlags {
  readonly rows: number;
  readonly rate: number;
  readonly liveRate: number;
  readonly alone: number;
  readonly contents: number;
  readonly seed: number;
  readonly json: boolean;
}

async function runBackfill(flags: BackfillFlags): Promise<void> {
  const result = await backfillBench({ ...flags, aloneSeconds: flags.alone, signal: stopSignal(), say });
  if (!flags.json) printBackfill(result);
  else console.log(JSON.stringify(result));
  if (result.compared !== 'equal') process.exitCode = 1;
}

function printBackfill({
  rows,
  seconds,
  rowsPerSecond,
  kills,
  liveRate,
  alone,
  beside,
  compared,
}: BackfillBenchResult): void {
  console.log(
    `${rows} rows in ${seconds} s, ${rowsPerSecond}/s, script killed ${kills} times, beside ${liveRate} events/s`,
  );
  console.table({ 'commit to Redis, traffic alone': alone, 'beside the backfill': beside });
  console.log(`compared with Postgres: ${compared}`);
}

async function runGateway(flags: GatewayFlags & { readonly json: boolean }): Promise<void> {
  const result = await gateway({ ...flags, signal: stopSignal(), say });
  if (!flags.json) printGateway(result);
  else console.log(JSON.stringify(result));
}

function printGateway({ machine, commitToClient, peakRssMiB, ...figures }: GatewayResult): void {
  console.log(`${machine.cores} × ${machine.cpu}`);
  console.table({ 'commit to client': commitToClient });
  console.table({ ...figures, peakRssMiB });
}

const program = new Command('bench').description('Measure Sluice on this machine, on servers of its own.');
program
  .command('e2e')
  .description(
    'a fixed rate through everything: freshness at the readers, CPU, memory, backlog, and whether it is right',
  )
  .option('--rate <n>', 'events a second', whole, 10_000)
  .option('--seconds <n>', 'measured time', whole, 300)
  .option('--warm-up <n>', 'seconds in front that are not measured', whole, 15)
  .option('--contents <n>', 'contents that they are about', whole, 1_000)
  .option('--updates <percent>', 'updates, in percent of the events', whole, 4)
  .option('--deletes <percent>', 'deletes, in percent of the events', whole, 1)
  .option('--seed <n>', 'of the traffic', whole, 42)
  .option('--json', 'the last line is one JSON object', false)
  .action(runE2e);
program
  .command('replay')
  .description('each stage and sink alone over recorded changes')
  .addOption(new Option('--pipeline <name>', 'of which').choices(['engagement', 'prices']).default('engagement'))
  .option('--records <n>', 'changes to replay', whole, 1_000_000)
  .option('--contents <n>', 'engagement: contents that they are about', whole, 1_000)
  .option('--symbols <n>', 'prices: stocks that they are about', whole, 1_000)
  .addOption(
    new Option('--bars <grain>', 'prices: live bars with corrections, or history').choices(GRAINS).default('minute'),
  )
  .addOption(
    new Option('--stage <name>', 'one of them alone').choices([
      ...Object.keys(ENGAGEMENT_STAGES),
      ...Object.keys(PRICES_STAGES),
    ]),
  )
  .option('--seed <n>', 'of the traffic', whole, 42)
  .option('--growth-contents <n>', 'engagement: repeat with so many contents to see the growth', whole, 100_000)
  .option('--growth-symbols <n>', 'prices: the same with so many stocks', whole, 4_000)
  .option('--no-growth', 'do not repeat')
  .option('--profile [folder]', 'also write CPU profiles, and print where the time went')
  .option('--json', 'the last line is one JSON object', false)
  .action(runReplay);
program
  .command('backfill')
  .description('rows that nobody captured, read beside live traffic; the script is killed twice on the way')
  .option('--rows <n>', 'rows to read', whole, 1_000_000)
  .option('--rate <n>', 'rows a second at most', whole, 4_000)
  .option('--live-rate <n>', 'live events a second', whole, 2_000)
  .option('--alone <seconds>', 'live traffic alone, to compare with', whole, 30)
  .option('--contents <n>', 'contents that the rows are about', whole, 1_000)
  .option('--seed <n>', 'of the traffic', whole, 42)
  .option('--json', 'the last line is one JSON object', false)
  .action(runBackfill);
program
  .command('gateway')
  .description('the market feed: clients of one gateway, how late values reach them, what it costs')
  .addOption(
    new Option('--from <where>', 'candles written as the stage would, or rows of postgres, through capture and stage')
      .choices(FEED_SOURCES)
      .default('candles'),
  )
  .option('--connections <n>', 'clients', whole, 2_000)
  .option('--deaf <n>', 'among them, clients that never read', whole, 20)
  .option('--subscriptions <n>', 'of each client', whole, 10)
  .option('--symbols <n>', 'each with a candle that changes', whole, 1_000)
  .option('--rate <n>', 'changes a minute', whole, 10_000)
  .option('--history <n>', 'daily bars in the topic when the gateway starts', whole, 0)
  .option('--seconds <n>', 'measured time', whole, 60)
  .option('--json', 'the last line is one JSON object', false)
  .action(runGateway);

endForCertain();
try {
  await program.parseAsync();
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
}
// Whatever a library left open must not hold the terminal; the exit code is set above.
process.exit();
