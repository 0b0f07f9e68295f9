/** `npm run gateway`: tokens for clients of the market feed, and a client to look at it. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { newToken, parseTokens } from '../connectors/websocket/tokens.ts';
import { loadConfig } from '../pipelines/config.ts';
import { FEED_INTERVALS, type FeedInterval, MARKET_PATH } from '../pipelines/prices/gateway/protocol.ts';
import { sessionTokenFile } from './gateway/session-token.ts';
import { type Frame, watch } from './gateway/watch.ts';
import { badArgument, countOf, timeOf } from './support/arguments.ts';
import { runScript } from './support/run.ts';

interface Options {
  readonly expires?: Date;
  readonly connections?: number;
  readonly file?: string;
}

/** The token is shown once and kept nowhere; its hash goes into the file, which running gateways read again within a second. */
function makeToken(name: string, { expires, connections, file }: Options): void {
  const path = file ?? loadConfig(process.env).SLUICE_PRICES_GATEWAY_TOKENS_FILE;
  if (path === undefined) throw badArgument('Give --file, or set SLUICE_PRICES_GATEWAY_TOKENS_FILE');
  const { token, line } = newToken(name, { expiresMs: expires?.getTime(), maxConnections: connections });
  parseTokens(line);
  appendFileSync(path, `${line}\n`, { mode: 0o600 });
  console.error(`${name} may connect; take its line out of ${path} to revoke the token, which is:`);
  console.log(token);
}

interface WatchFlags {
  readonly interval: FeedInterval;
  readonly url?: string;
  readonly token?: string;
  readonly count?: number;
  readonly json?: boolean;
}

/** The token of the command line, of the environment, or of the npm start that runs. */
function tokenFor({ token }: WatchFlags): string | null {
  const given = token ?? process.env.SLUICE_FEED_TOKEN;
  if (given !== undefined) return given;
  const tokens = loadConfig(process.env).SLUICE_PRICES_GATEWAY_TOKENS_FILE;
  const session = tokens === undefined ? undefined : sessionTokenFile(tokens);
  return session !== undefined && existsSync(session) ? readFileSync(session, 'utf8').trim() : null;
}

async function watchSymbols(symbols: readonly string[], flags: WatchFlags): Promise<void> {
  const { SLUICE_PRICES_GATEWAY_HOST: host, SLUICE_PRICES_GATEWAY_PORT: port } = loadConfig(process.env);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
  await watch({
    url: flags.url ?? `ws://${host}:${port}${MARKET_PATH}`,
    token: tokenFor(flags),
    series: symbols.map((symbol) => ({ symbol, interval: flags.interval })),
    count: flags.count ?? null,
    signal: stopping.signal,
    print: flags.json === true ? (frame) => console.log(JSON.stringify(frame)) : printFrame,
    say: (text) => console.error(text),
  });
}

function printFrame(frame: Frame): void {
  switch (frame.type) {
    case 'value': {
      const { symbol, interval, candle } = frame;
      if (candle === null) console.log(`${symbol.padEnd(8)} ${interval.padEnd(4)} no candle`);
      else {
        const { start, open, high, low, close, volume, final } = candle;
        const from = new Date(start).toISOString().slice(0, 16).replace('T', ' ');
        const prices = `open ${open}  high ${high}  low ${low}  close ${close}  volume ${volume}`;
        console.log(`${symbol.padEnd(8)} ${interval.padEnd(4)} ${from}  ${prices}${final ? '  final' : ''}`);
      }
      return;
    }
    case 'status':
      console.error(frame.asOf === null ? frame.state : `${frame.state}, as of ${new Date(frame.asOf).toISOString()}`);
      return;
    default: // hello, subscribed, and what later versions may send
  }
}

const program = new Command('gateway').description(
  'Who may use the market feed (npm run worker -- prices.gateway), and a look at it.',
);
program
  .command('token')
  .description('make a token and add its hash to the token file')
  .argument('<name>', 'whose it is: letters, digits, . _ -')
  .option('--expires <time>', 'when it ends, e.g. 2027-01-31T00:00:00Z', timeOf('expires'))
  .option('--connections <n>', 'how many it may hold at a time, if not as many as any token', countOf('connections'))
  .option('--file <path>', 'the token file; SLUICE_PRICES_GATEWAY_TOKENS_FILE when not given')
  .action(makeToken);
program
  .command('watch')
  .description('print the candles of symbols, now and whenever they change, until Ctrl-C')
  .argument('<symbol...>', 'as in the table stocks')
  .addOption(new Option('--interval <name>', 'of the candles').choices(FEED_INTERVALS).default('5m'))
  .option('--url <url>', 'of the gateway; the one of the environment when not given')
  .option('--token <token>', 'better in SLUICE_FEED_TOKEN; that of the npm start that runs when neither is given')
  .option('--count <n>', 'end after so many values', countOf('count'))
  .option('--json', 'print the frames as they come')
  .action(watchSymbols);

await runScript(program);
