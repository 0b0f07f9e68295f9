/** What `npm start` was asked for. */
import { Command, InvalidArgumentError } from 'commander';

export interface StartOptions {
  /** Events, bars, … a second of the sample traffic of each pipeline; null for none. */
  readonly rate: number | null;
  /** Stop after this long and say how it went; null runs until Ctrl-C. */
  readonly forSeconds: number | null;
  readonly json: boolean;
  /** Names of pipelines, or `all`; null for what the environment says. */
  readonly pipelines: string | null;
  readonly docker: boolean;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600 };

/** Reads `90`, `60s`, `5m` or `1h` as seconds. */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^(\d+)([smh]?)$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNIT_SECONDS[unit ?? ''] ?? Number.NaN);
  if (Number.isFinite(seconds) && seconds > 0) return seconds;
  throw new InvalidArgumentError('expected a time like 60s, 5m or 1h.');
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (Number.isInteger(rate) && rate > 0 && rate <= 1_000_000) return rate;
  throw new InvalidArgumentError('expected a whole number.');
}

const DEFAULT_RATE = 200;

/** Parses the command line; prints help or the problem and ends the process where that is what was asked for. */
export function parseOptions(argv: readonly string[]): StartOptions {
  const program = new Command('npm start --')
    .description('Bring up the servers and workers of Sluice, send sample traffic and show what happens.')
    .option('--no-traffic', 'without sample traffic')
    .option('--rate <n>', 'events, and bars, a second of the sample traffic', parseRate, DEFAULT_RATE)
    .option(
      '--for <time>',
      'stop after this long (60s, 5m), compare everything with Postgres, exit 0 when equal',
      parseDuration,
    )
    .option('--json', 'no screen; the last line is one JSON object', false)
    .option('--pipelines <names>', 'which pipelines run: engagement (the default), prices, or all')
    .option('--docker', 'the servers from infra/compose.yaml instead of native ones', false)
    .parse(argv, { from: 'user' });
  const given = program.opts<{
    traffic: boolean;
    rate: number;
    for?: number;
    json: boolean;
    pipelines?: string;
    docker: boolean;
  }>();
  return {
    rate: given.traffic ? given.rate : null,
    forSeconds: given.for ?? null,
    json: given.json,
    pipelines: given.pipelines ?? null,
    docker: given.docker,
  };
}
